/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocating functions: the refill function, those exported by name, and what PyMem_RawMalloc and
 * PyMem_RawCalloc call in libc. Allocator tables: {ctx, malloc, calloc, realloc, free} (CPython
 * v3.13.0 Include/cpython/pymem.h, PyMemAllocatorEx; same since v3.5); only malloc and calloc count: a
 * block that realloc gave back may be an old one, and an object in it is a re-use.
 */
#include "sites/fresh_known.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/search.h"
#include "sites/flow.h"
#include "sites/fresh_doors.h"

#define SCAN_LEN   160 /* instructions of an exported function looked at */
#define QUIT_LEN   8   /* instructions of a function that only calls another */
#define WORD_BACK  60  /* from an indirect call back to the load of the pointer */
#define CTX_MALLOC 8   /* offsetof(PyMemAllocatorEx, malloc) - offsetof(.., ctx) */
#define CTX_CALLOC 16

struct alloc_name {
	const char *name;
	uint8_t ctx; /* distance of the table's entry from its ctx */
	bool libc;   /* calls libc's allocator through the PLT */
};

static const struct alloc_name names[] = {
	{"PyObject_Malloc", CTX_MALLOC, false}, {"PyObject_Calloc", CTX_CALLOC, false},
	{"PyMem_Malloc", CTX_MALLOC, false},	{"PyMem_Calloc", CTX_CALLOC, false},
	{"PyMem_RawMalloc", CTX_MALLOC, true},	{"PyMem_RawCalloc", CTX_CALLOC, true},
};

/* Functions that never return, so that the code after a call of them is no path of the function. */
static const char *const quits[] = {
	"_Py_FatalErrorFunc",	     "Py_FatalError", "_Py_FatalErrorFormat",
	"_Py_FatalError_TstateNULL", "Py_Exit",	      "_Py_FatalRefcountErrorFunc"};

static void add_fn(struct fresh_known *k, size_t idx)
{
	if (idx != CODE_NONE && !fresh_known_fn(k, idx) && k->fn_count < FRESH_FNS)
		k->fns[k->fn_count++] = idx;
}

bool fresh_known_fn(const struct fresh_known *k, size_t idx)
{
	for (unsigned i = 0; i < k->fn_count; i++)
		if (k->fns[i] == idx)
			return true;
	return false;
}

static bool same_word(const struct fresh_word *a, const struct fresh_word *b)
{
	return a->vaddr == b->vaddr && a->disp == b->disp && a->got == b->got;
}

static bool have_word(const struct fresh_known *k, const struct fresh_word *w)
{
	for (unsigned i = 0; i < k->word_count; i++)
		if (same_word(&k->words[i], w))
			return true;
	return false;
}

bool fresh_known_word(const struct fresh_known *k, uint64_t vaddr)
{
	return have_word(k, &(struct fresh_word){.vaddr = vaddr});
}

bool fresh_known_pop(const struct fresh_known *k, size_t idx)
{
	size_t at = first_index(i, k->pops->count, k->pops->load[i] >= idx);

	return at < k->pops->count && k->pops->load[at] == idx;
}

static bool is_quit(const struct fresh_known *k, size_t idx)
{
	for (unsigned i = 0; i < k->quit_count; i++)
		if (k->quits[i] == idx)
			return true;
	return false;
}

/* The function itself, or a short one that goes straight to it. */
bool fresh_call_quits(const struct fresh_known *k, size_t idx)
{
	size_t at = k->code->insns[idx].op == OP_CALL ? decode_target(k->code, idx) : CODE_NONE;

	for (unsigned n = 0; at != CODE_NONE && n < QUIT_LEN; n++) {
		const struct insn *in = &k->code->insns[at];

		if (is_quit(k, at))
			return true;
		if (in->op == OP_CALL || in->op == OP_JMP)
			return is_quit(k, decode_target(k->code, at));
		if (in->op == OP_CALL_IND || in->op == OP_JCC || !decode_falls_through(in))
			return false;
		at = decode_next(k->code, at);
	}
	return false;
}

bool fresh_falls_into(const struct fresh_known *k, size_t idx)
{
	return idx > 0 && decode_next(k->code, idx - 1) == idx &&
	       decode_falls_through(&k->code->insns[idx - 1]) && !fresh_call_quits(k, idx - 1);
}

/* A jump through the GOT, after an endbr64 or not. */
static bool is_plt_stub(const struct code *code, size_t idx)
{
	uint64_t slot;

	if (idx != CODE_NONE && code->insns[idx].op == OP_ENDBR)
		idx = decode_next(code, idx);
	return idx != CODE_NONE && code->insns[idx].op == OP_JMP_IND &&
	       code->insns[idx].base == REG_RIP && decode_mem_vaddr(code, &code->insns[idx], &slot);
}

/* Value that a base register was set to: the content of a GOT slot, or an address. */
static enum flow_step base_set(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];
	struct fresh_word *w = ctx;

	if (!insn_writes(in, at->reg) || insn_is_copy(in))
		return FLOW_ON;
	if (in->dst_reg != at->reg || in->width != 8 || !decode_mem_vaddr(code, in, &w->vaddr) ||
	    (in->op != OP_MOV && in->op != OP_LEA))
		return FLOW_CUT;
	w->got = in->op == OP_MOV;
	return FLOW_DONE;
}

/* The word that the memory operand at idx names, directly or by a base. */
static bool word_at(const struct code *code, size_t idx, struct fresh_word *w)
{
	const struct insn *in = &code->insns[idx];

	*w = (struct fresh_word){.got = false};
	if (decode_mem_vaddr(code, in, &w->vaddr))
		return true;
	if (in->base > 15 || in->base == REG_RSP || in->index != REG_NONE ||
	    !flow_back(code, idx, in->base, WORD_BACK, base_set, w))
		return false;
	if (w->got)
		w->disp = in->disp;
	else
		w->vaddr += (uint64_t)(int64_t)in->disp;
	return true;
}

static enum flow_step word_load(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_MOV && in->dst_reg == at->reg && in->src == OPERAND_MEM &&
	    in->width == 8 && word_at(code, at->idx, ctx))
		return FLOW_DONE;
	return FLOW_ON;
}

/* Does the function load this word? */
static bool loads_word(const struct code *code, size_t idx, size_t end,
		       const struct fresh_word *want)
{
	struct fresh_word w;

	for (; idx < end; idx++)
		if (code->insns[idx].op == OP_MOV && code->insns[idx].src == OPERAND_MEM &&
		    word_at(code, idx, &w) && same_word(&w, want))
			return true;
	return false;
}

/* The pointer that the indirect call at idx goes through is an entry, when its ctx is loaded too. */
static void take_word(struct fresh_known *k, size_t from, size_t end, size_t idx, uint8_t ctx)
{
	const struct insn *in = &k->code->insns[idx];
	struct fresh_word w = {.got = false}, before;
	bool found = in->dst == OPERAND_MEM
			     ? word_at(k->code, idx, &w)
			     : in->dst_reg < 16 && flow_back(k->code, idx, in->dst_reg, WORD_BACK,
							     word_load, &w);

	before = w;
	if (w.got)
		before.disp -= ctx;
	else
		before.vaddr -= ctx;
	if (found && loads_word(k->code, from, end, &before) && !have_word(k, &w) &&
	    k->word_count < FRESH_WORDS)
		k->words[k->word_count++] = w;
}

/* One exported allocating function: itself, the table entries it goes through, libc's function. */
static void take_named(struct fresh_known *k, const struct elf_image *img,
		       const struct alloc_name *n)
{
	const struct elf_symbol *sym = elf_image_symbol(img, n->name);
	size_t from = sym ? decode_find(k->code, sym->vaddr) : CODE_NONE, end;
	size_t stub = CODE_NONE;
	bool single = true;

	if (from == CODE_NONE || sym->type != STT_FUNC)
		return;
	add_fn(k, from);
	for (end = from; end < k->code->count && end - from < SCAN_LEN; end++)
		if (insn_vaddr(k->code, end) >= sym->vaddr + sym->len)
			break;
	for (size_t i = from; i < end; i++) {
		const struct insn *in = &k->code->insns[i];
		size_t to = decode_target(k->code, i);

		if (in->op == OP_CALL_IND || in->op == OP_JMP_IND)
			take_word(k, from, end, i, n->ctx);
		if ((in->op != OP_CALL && in->op != OP_JMP) || !is_plt_stub(k->code, to))
			continue;
		single &= stub == CODE_NONE || stub == to;
		stub = to;
	}
	if (n->libc && single)
		add_fn(k, stub);
}

int fresh_known_init(const struct elf_image *img, const struct code *code,
		     const struct pop_blocks *pops, uint64_t refill, struct fresh_known *out)
{
	struct fresh_known k = {.code = code, .pops = pops};
	size_t idx = refill ? decode_find(code, refill) : CODE_NONE;

	k.doors = fresh_doors(img, code);
	if (!k.doors)
		return -ENOMEM;
	add_fn(&k, idx);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		take_named(&k, img, &names[i]);
	for (size_t i = 0; i < ARRAY_LEN(quits) && i < FRESH_QUITS; i++) {
		const struct elf_symbol *sym = elf_image_symbol(img, quits[i]);

		if (sym && sym->type == STT_FUNC && decode_find(code, sym->vaddr) != CODE_NONE)
			k.quits[k.quit_count++] = decode_find(code, sym->vaddr);
	}
	*out = k;
	return 0;
}

void fresh_known_release(struct fresh_known *k)
{
	free(k->doors);
	*k = (struct fresh_known){0};
}
