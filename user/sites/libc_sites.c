/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cheap instruction of each libc allocation function: the first one that the kernel emulates,
 * that every call runs exactly once, with the arguments still in their registers.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/fn_result.h"
#include "sites/libc_slow.h"
#include "sites/site_check.h"
#include "sites/sites.h"

#define BODY_MAX   4096 /* bytes of one function that we decode */
#define BODY_GUESS 512	/* when its symbol has no size */

#define REG_RBP	   5

#define ARG1	   (1u << REG_RDI)
#define ARG2	   (ARG1 | 1u << REG_RSI)
#define ARG3	   (ARG2 | 1u << REG_RDX)

static const struct {
	const char *name;
	uint16_t args; /* registers that hold its arguments */
} fns[TM_FN_COUNT] = {
	[TM_FN_MALLOC] = {"malloc", ARG1},
	[TM_FN_CALLOC] = {"calloc", ARG2},
	[TM_FN_REALLOC] = {"realloc", ARG2},
	[TM_FN_FREE] = {"free", ARG1},
	[TM_FN_MEMALIGN] = {"memalign", ARG2},
	[TM_FN_POSIX_MEMALIGN] = {"posix_memalign", ARG3},
	[TM_FN_VALLOC] = {"valloc", ARG1},
	[TM_FN_PVALLOC] = {"pvalloc", ARG1},
	[TM_FN_REALLOCARRAY] = {"reallocarray", ARG3},
	[TM_FN_ALIGNED_ALLOC] = {"aligned_alloc", ARG2},
};

const char *libc_fn_name(enum tm_fn fn)
{
	return (unsigned)fn < TM_FN_COUNT ? fns[fn].name : "?";
}

/* Change of the stack pointer, or false when the instruction moves it in a way we do not follow. */
static bool stack_step(const struct insn *in, unsigned *sp_bytes)
{
	if (!insn_writes(in, REG_RSP))
		return true;
	if (in->op == OP_PUSH)
		*sp_bytes += 8;
	else if (in->op == OP_SUB && in->src == OPERAND_IMM && in->dst_reg == REG_RSP &&
		 in->imm > 0 && in->imm < UINT8_MAX)
		*sp_bytes += (unsigned)in->imm;
	else
		return false;
	return *sp_bytes <= UINT8_MAX;
}

/* A loop back to idx would hit the probe more than once per call. */
static bool is_looped_to(const struct code *body, size_t idx)
{
	size_t count;

	decode_branches_to(body, idx, &count);
	return count > 0;
}

/*
 * Where gdb puts `break FUNCTION` without debug information: at the first instruction, or after
 * push %rbp; mov %rsp,%rbp, with or without an endbr64 before (gdb 16, amd64_analyze_prologue()). Two
 * breakpoints at one address each take the other's for the program's own byte: who ends last writes it back.
 */
static bool is_debugger_spot(const struct code *body, size_t idx)
{
	size_t first = body->insns[0].op == OP_ENDBR;
	const struct insn *push = first < body->count ? &body->insns[first] : NULL;

	if (idx <= first)
		return true;
	return push && push->op == OP_PUSH && push->dst_reg == REG_RBP && idx <= first + 2;
}

struct cheap_site {
	size_t idx;
	unsigned sp_bytes;
	bool at_debugger;
};

/* The first emulated instruction of the entry block that debuggers leave alone, else the first of all. */
static bool cheap_find(const struct code *body, uint16_t args, struct cheap_site *out)
{
	unsigned sp_bytes = 0;
	bool found = false;
	size_t idx = 0;

	while (idx != CODE_NONE && !is_looped_to(body, idx)) {
		const struct insn *in = &body->insns[idx];
		bool at_debugger = is_debugger_spot(body, idx);

		if ((in->flags & INSN_EMULATED) && (!found || !at_debugger)) {
			*out = (struct cheap_site){idx, sp_bytes, at_debugger};
			found = true;
			if (!at_debugger)
				return true;
		}
		if ((in->writes & args) || in->op == OP_CALL || in->op == OP_CALL_IND ||
		    in->op == OP_JCC || !decode_falls_through(in) || !stack_step(in, &sp_bytes))
			return found;
		idx = decode_next(body, idx);
	}
	return found;
}

int fn_body_decode(const struct elf_image *img, uint64_t vaddr, uint64_t len, struct code *out)
{
	uint64_t want = len ? len : BODY_GUESS;
	const uint8_t *p = NULL;

	want = want > BODY_MAX ? BODY_MAX : want;
	for (; want && !p; want = p ? want : want / 2)
		p = elf_image_bytes(img, vaddr, want);
	return p ? decode_bytes(p, want, vaddr, out) : -ENOENT;
}

int fn_site_at(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint16_t args,
	       struct fn_site *out)
{
	struct fn_site s = {.present = true, .entry_vaddr = vaddr, .vaddr = vaddr};
	struct cheap_site site;
	struct code body;
	int err;

	if (!address_is_code(img, vaddr) || !elf_image_file_off(img, vaddr, &s.entry_off))
		return -ENOENT;
	err = fn_body_decode(img, vaddr, len, &body);
	if (err)
		return err;
	if (body.count && cheap_find(&body, args, &site)) {
		s.vaddr = insn_vaddr(&body, site.idx);
		s.sp_bytes = (uint8_t)site.sp_bytes;
		s.at_debugger = site.at_debugger;
	} else {
		s.single_step = s.at_debugger = true;
	}
	decode_release(&body);
	s.file_off = s.entry_off + (s.vaddr - s.entry_vaddr);
	s.ret_vaddr = s.sp_bytes ? s.entry_vaddr : s.vaddr;
	s.ret_off = s.sp_bytes ? s.entry_off : s.file_off;
	*out = s;
	return 0;
}

/* Only the first name gets a probe, because aliases share an address. */
static bool is_taken(const struct libc_sites *s, uint64_t vaddr)
{
	for (int f = 0; f < TM_FN_COUNT; f++)
		if (s->fn[f].present && s->fn[f].entry_vaddr == vaddr)
			return true;
	return false;
}

/*
 * The sites at which the result of one function is known. A function that only checks its arguments and
 * jumps to another of the family (reallocarray to realloc, musl's valloc to memalign) needs no probe because
 * the other one sees the call, with the same caller.
 */
static void results_find(struct fn_scope *scope, struct fn_site *f, bool by_pointer)
{
	const struct result_query query = {.entry_site = f->vaddr, .by_pointer = by_pointer};
	struct fn_graph g;

	f->unproven = "its code cannot be followed";
	if (fn_graph_build(scope, f->entry_vaddr, &g))
		return;
	if (fn_is_forwarder(scope, &g))
		f->present = false;
	else if (!fn_results_find(scope, &g, &query, &f->results, &f->unproven))
		f->unproven = NULL;
	fn_graph_release(&g);
}

/*
 * Functions that end in one common part (memalign, valloc) share its sites, because one probe must serve them
 * all.
 */
static bool is_served_by(const struct result_site *a, const struct result_site *b)
{
	return a->vaddr != b->vaddr || (a->reg == b->reg && a->kind == b->kind &&
					a->sp_bytes == b->sp_bytes && a->cc == b->cc);
}

static bool results_agree(const struct fn_site *a, const struct fn_site *b)
{
	for (size_t i = 0; i < a->results.count; i++)
		for (size_t k = 0; k < b->results.count; k++)
			if (!is_served_by(&a->results.v[i], &b->results.v[k]))
				return false;
	return true;
}

static void disagreeing_drop(struct libc_sites *s)
{
	for (int f = 0; f < TM_FN_COUNT; f++) {
		struct fn_site *b = &s->fn[f];

		for (int before = 0; before < f; before++) {
			if (!b->present || !s->fn[before].present ||
			    results_agree(&s->fn[before], b))
				continue;
			b->results.count = 0;
			b->unproven = "it shares a jump with another function, in another state";
		}
	}
}

static void all_results_find(const struct elf_image *img, struct libc_sites *s)
{
	struct fn_scope scope = {.img = img};

	for (int f = 0; f < TM_FN_COUNT; f++)
		if (s->fn[f].present)
			scope.others[scope.other_count++] = s->fn[f].entry_vaddr;
	for (int f = 0; f < TM_FN_COUNT; f++)
		if (s->fn[f].present && f != TM_FN_FREE)
			results_find(&scope, &s->fn[f], f == TM_FN_POSIX_MEMALIGN);
	disagreeing_drop(s);
	if (s->slow_malloc.present)
		results_find(&scope, &s->slow_malloc, false);
}

static void reason_write(struct libc_sites *s, const char *slow)
{
	unsigned present = 0, cheap = 0;

	for (int f = 0; f < TM_FN_COUNT; f++) {
		present += s->fn[f].present;
		cheap += s->fn[f].present && !s->fn[f].single_step;
	}
	snprintf(s->reason, sizeof(s->reason),
		 "%u functions, %u of them at an emulated instruction; %s", present, cheap, slow);
}

int libc_sites_find(const struct elf_image *img, struct libc_sites *out)
{
	struct libc_sites s = {0};
	char slow[SITES_REASON_LEN - 64];

	for (int f = 0; f < TM_FN_COUNT; f++) {
		const struct elf_symbol *sym = elf_image_symbol(img, fns[f].name);

		if (sym && !is_taken(&s, sym->vaddr))
			fn_site_at(img, sym->vaddr, sym->len, fns[f].args, &s.fn[f]);
	}
	if (!s.fn[TM_FN_MALLOC].present || !s.fn[TM_FN_FREE].present)
		return -ENOENT;
	slow_malloc_find(img, &s, slow, sizeof(slow));
	all_results_find(img, &s);
	reason_write(&s, slow);
	*out = s;
	return 0;
}
