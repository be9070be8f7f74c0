/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the word is, in a stripped file: by what exported functions read. Shared libraries reach it
 * through a GOT slot, position-independent programs through lea, the others directly.
 */
#include "sites/trace_word.h"

#include <errno.h>

#include "sites/flow.h"
#include "target/py_offsets.h"

#define SCAN_LEN  60 /* instructions of the exported function looked at */
#define BASE_BACK 48 /* from the access back to the load of its base register; often hoisted */

/* struct _PyTraceMalloc_Config, CPython v3.8.0 Include/internal/pycore_pymem.h: initialized, tracing */
#define CONFIG_TRACING 4

struct base_walk {
	uint64_t vaddr; /* address that the register holds, when found */
	uint64_t slot;	/* or the memory word it was loaded from */
};

static enum flow_step base_def(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct base_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];
	uint64_t mem;

	if (!insn_writes(in, at->reg) || insn_is_copy(in))
		return FLOW_ON;
	if (in->dst_reg != at->reg)
		return FLOW_CUT;
	if (in->op == OP_MOV && in->src == OPERAND_IMM) {
		w->vaddr = (uint64_t)in->imm;
		return FLOW_DONE;
	}
	if (!decode_mem_vaddr(code, in, &mem) || in->src != OPERAND_MEM)
		return FLOW_CUT;
	if (in->op == OP_LEA)
		w->vaddr = mem;
	else if (in->op == OP_MOV && in->width == 8)
		w->slot = mem;
	else
		return FLOW_CUT;
	return FLOW_DONE;
}

static bool base_of(const struct code *code, size_t idx, struct base_walk *w)
{
	const struct insn *in = &code->insns[idx];

	*w = (struct base_walk){0};
	if (in->base > 15 || in->index != REG_NONE)
		return false;
	return flow_back(code, idx, in->base, BASE_BACK, base_def, w);
}

static bool reads_word(const struct insn *in, uint8_t width)
{
	if (in->width != width)
		return false;
	return (in->op == OP_MOV && in->dst == OPERAND_REG && in->src == OPERAND_MEM) ||
	       (in->op == OP_CMP && in->dst == OPERAND_MEM && in->src == OPERAND_IMM &&
		in->imm == 0);
}

/* Fill the word from one instruction that is known to read it. */
static bool word_from(const struct elf_image *img, const struct code *code, size_t idx,
		      const char *symbol, struct trace_word *out)
{
	const struct elf_symbol *sym = elf_image_symbol(img, symbol);
	const struct insn *in = &code->insns[idx];
	struct trace_word w = {.width = in->width, .base = sym ? sym->vaddr : 0};
	struct base_walk b;
	uint64_t vaddr;

	if (decode_mem_vaddr(code, in, &vaddr)) {
		w.vaddr = vaddr;
	} else if (base_of(code, idx, &b)) {
		w.got_slot = b.slot;
		w.disp = in->disp;
		if (b.vaddr || w.base)
			w.vaddr = (b.vaddr ? b.vaddr : w.base) + (uint64_t)(int64_t)in->disp;
	} else {
		return false;
	}
	if (w.vaddr && w.base && !w.got_slot && w.vaddr - w.base <= INT32_MAX)
		w.disp = (int32_t)(w.vaddr - w.base);
	else if (!w.got_slot)
		w.base = 0;
	*out = w;
	return true;
}

/* 3.8 - 3.12: the first 32-bit word that PyTraceMalloc_Track() tests. */
static int word_by_track(const struct elf_image *img, const struct code *code, const char *symbol,
			 struct trace_word *out)
{
	const struct elf_symbol *f = elf_image_symbol(img, "PyTraceMalloc_Track");
	size_t idx = f ? decode_find(code, f->vaddr) : CODE_NONE;

	for (unsigned n = 0; idx != CODE_NONE && n < SCAN_LEN; n++, idx = decode_next(code, idx)) {
		const struct insn *in = &code->insns[idx];

		if (in->op == OP_CALL || in->op == OP_CALL_IND || in->op == OP_RET)
			break;
		if (reads_word(in, 4) && in->base != REG_RSP &&
		    word_from(img, code, idx, symbol, out))
			return 0;
	}
	return -ENOENT;
}

/* 3.13 on: what PyRefTracer_GetTracer() returns: the last load into rax before its first ret. */
static int word_by_tracer(const struct elf_image *img, const struct code *code,
			  struct trace_word *out)
{
	const struct elf_symbol *f = elf_image_symbol(img, "PyRefTracer_GetTracer");
	size_t idx = f ? decode_find(code, f->vaddr) : CODE_NONE, last = CODE_NONE;

	for (unsigned n = 0; idx != CODE_NONE && n < SCAN_LEN; n++, idx = decode_next(code, idx)) {
		const struct insn *in = &code->insns[idx];

		if (in->op == OP_RET)
			return last != CODE_NONE && word_from(img, code, last, "_PyRuntime", out)
				       ? 0
				       : -ENOENT;
		if (reads_word(in, 8) && in->op == OP_MOV && in->dst_reg == REG_RAX &&
		    in->base != REG_RSP)
			last = idx;
	}
	return -ENOENT;
}

static int word_find(const struct elf_image *img, const struct code *code, unsigned minor,
		     struct trace_word *out)
{
	const struct py_offsets *row = py_offsets_get(minor, false);
	const struct elf_symbol *config;

	if (!row || row->trace_word == PY_TRACE_NONE)
		return -ENOENT;
	if (row->trace_word == PY_TRACE_TRACER)
		return word_by_tracer(img, code, out);
	if (row->trace_word == PY_TRACE_RUNTIME)
		return word_by_track(img, code, "_PyRuntime", out);
	config = elf_image_symbol(img, "_Py_tracemalloc_config");
	if (!config)
		return word_by_track(img, code, "_Py_tracemalloc_config", out);
	/*
	 * The function only shows whether there is a GOT slot; the symbol has the address of the
	 * word.
	 */
	if (word_by_track(img, code, "_Py_tracemalloc_config", out) || out->disp != CONFIG_TRACING)
		*out = (struct trace_word){
			.base = config->vaddr, .disp = CONFIG_TRACING, .width = 4};
	out->vaddr = config->vaddr + CONFIG_TRACING;
	return 0;
}

int trace_word_find(const struct elf_image *img, const struct code *code, unsigned minor,
		    struct trace_word *out)
{
	const struct elf_symbol *creator = elf_image_symbol(img, "_Py_NewReference");
	int err = word_find(img, code, minor, out);

	if (!err)
		out->creator_vaddr = creator ? creator->vaddr : 0;
	return err;
}

bool trace_word_read(const struct code *code, size_t idx, const struct trace_word *w)
{
	const struct insn *in = &code->insns[idx];
	struct base_walk b;
	uint64_t vaddr;

	if (!reads_word(in, w->width))
		return false;
	if (decode_mem_vaddr(code, in, &vaddr))
		return w->vaddr && vaddr == w->vaddr;
	if (in->disp != w->disp || (!w->base && !w->got_slot) || in->base == REG_RSP)
		return false;
	if (!base_of(code, idx, &b))
		return false;
	return w->got_slot ? b.slot == w->got_slot : w->base && b.vaddr == w->base;
}
