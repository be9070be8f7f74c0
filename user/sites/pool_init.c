/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Up to 3.8 a new pool is set up inside the allocator itself (CPython v3.8 Objects/obmalloc.c,
 * pymalloc_alloc(), label init_pool):
 *
 *	pool->ref.count = 1;
 *	if (pool->szidx == size) { bp = pool->freeblock; ...; goto success; }
 *	pool->szidx = size;
 *	bp = (block *)pool + POOL_OVERHEAD;
 *	pool->nextoffset = ...; pool->maxnextoffset = ...;
 *
 * Anchor: the store of a register to szidx, with the stores of both offsets and of freeblock and the
 * address of the first block after it (nodes of syntax trees have such fields too, but not all of this). Site: the
 * last jump before it on every path; pool and size are live there, and which of the two blocks it is follows from the
 * pool. A compiler that knows szidx to differ (a pool carved off an arena) goes to the store directly: that jump is a
 * site too.
 */
#include "sites/pool_init.h"

#include "sites/flow.h"

/* struct pool_header, CPython v3.8.0 Objects/obmalloc.c */
#define POOL_FREEBLOCK	   8
#define POOL_SZIDX	   36
#define POOL_NEXTOFFSET	   40
#define POOL_MAXNEXTOFFSET 44
#define POOL_OVERHEAD	   48 /* where the first block is */

#define INIT_SPAN	   24 /* instructions from the store of szidx to those of the offsets */
#define JUMP_BACK	   12 /* from the store of szidx back to the jump */

static bool stores_u32(const struct insn *in, uint8_t base, int32_t disp)
{
	return in->op == OP_MOV && in->dst == OPERAND_MEM && in->width == 4 &&
	       insn_mem_is(in, base, disp);
}

struct offsets_walk {
	uint8_t pool;
	bool next, max, free, first;
};

static enum flow_step offset_stores(void *ctx, const struct code *code, size_t idx,
				    const struct flow_state *st)
{
	struct offsets_walk *w = ctx;
	const struct insn *in = &code->insns[idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->base > 15 || !st->reg[in->base].known || st->reg[in->base].reg != w->pool ||
	    st->reg[in->base].c != 0)
		return FLOW_ON;
	w->next |= stores_u32(in, in->base, POOL_NEXTOFFSET);
	w->max |= stores_u32(in, in->base, POOL_MAXNEXTOFFSET);
	w->free |= insn_is_store(in, in->base, POOL_FREEBLOCK);
	w->first |= in->op == OP_LEA && insn_mem_is(in, in->base, POOL_OVERHEAD);
	return w->next && w->max && w->free && w->first ? FLOW_DONE : FLOW_ON;
}

struct jump_walk {
	struct site_list *out;
	uint8_t size; /* register that holds szidx */
	size_t uncovered;
	int err;
};

/* Nothing in this code leads here but a call. */
static bool is_entry(const struct code *code, size_t idx)
{
	size_t branches;

	decode_branches_to(code, idx, &branches);
	return !branches && (!idx || decode_next(code, idx - 1) != idx ||
			     !decode_falls_through(&code->insns[idx - 1]));
}

static enum flow_step jump_before(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct jump_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];
	struct site s = {.vaddr = insn_vaddr(code, at->idx),
			 .reg = at->reg,
			 .reg2 = w->size,
			 .init = true,
			 .evidence = 2};

	if ((in->op == OP_JMP || in->op == OP_JCC) && (in->flags & INSN_EMULATED)) {
		w->err = site_list_add(w->out, &s);
		return w->err ? FLOW_DONE : FLOW_CUT;
	}
	if (in->op == OP_JMP || in->op == OP_JCC || in->op == OP_CALL || in->op == OP_CALL_IND ||
	    insn_writes(in, w->size) || (insn_writes(in, at->reg) && !insn_is_copy(in))) {
		w->uncovered++;
		return FLOW_CUT;
	}
	/* Give up this way, because it is too far back, or the top of a function without a jump. */
	if (!at->left || is_entry(code, at->idx)) {
		w->uncovered++;
		return FLOW_CUT;
	}
	return FLOW_ON;
}

int pool_inits_find(const struct code *code, struct site_list *out, size_t *uncovered)
{
	*uncovered = 0;
	for (size_t i = 0; i < code->count; i++) {
		const struct insn *in = &code->insns[i];
		struct offsets_walk offsets = {.pool = in->base};
		struct jump_walk jumps = {.out = out, .size = in->src_reg};

		if (in->base > 15 || in->base == REG_RSP || in->src != OPERAND_REG ||
		    in->src_reg > 15 || !stores_u32(in, in->base, POOL_SZIDX))
			continue;
		if (!flow_ahead(code, i, INIT_SPAN, offset_stores, &offsets))
			continue;
		jumps.uncovered = is_entry(code, i);
		flow_back(code, i, in->base, JUMP_BACK, jump_before, &jumps);
		if (jumps.err)
			return jumps.err;
		*uncovered += jumps.uncovered;
	}
	site_list_sort(out);
	return 0;
}
