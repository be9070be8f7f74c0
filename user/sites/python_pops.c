/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pop sites. Every copy of pymalloc's fast path, inlined or not, does (CPython Objects/obmalloc.c,
 * pymalloc_alloc() and pymalloc_pool_extend(); the same in 3.6 to 3.15):
 *
 *	next = pool->nextpool; if (next == pool) goto refill;
 *	block = pool->freeblock; pool->ref.count++; pool->freeblock = *(block **)block;
 *	if (pool->freeblock == NULL) extend(pool);
 *
 * Anchor: the 32-bit increment of (P) with a load from and a store to 8(P) around it. Site: the
 * conditional jump before it whose compare is P against what was loaded from 16(P).
 */
#include "sites/python_pops.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "sites/flow.h"

/* struct pool_header, CPython v3.13.0 Include/internal/pycore_obmalloc.h; same since v3.6 */
#define POOL_REFCOUNT  0
#define POOL_FREEBLOCK 8
#define POOL_NEXTPOOL  16

#define POP_SPAN       14 /* instructions of the pop itself */
#define GUARD_BACK     24 /* from the pop back to the compare */
#define CMP_BACK       8  /* from the jump back to its compare */
#define LOAD_BACK      16 /* from the compare back to the load of nextpool */

/* Facts about one anchor. */
struct pop {
	size_t anchor;
	uint8_t pool;
	size_t load;	/* instruction that loads the block, CODE_NONE */
	uint8_t block;	/* its register */
	size_t store;	/* instruction that stores the new freeblock, CODE_NONE */
	uint8_t stored; /* its register */
};

static bool is_anchor(const struct insn *in)
{
	bool one = in->op == OP_INC || (in->op == OP_ADD && in->src == OPERAND_IMM && in->imm == 1);

	return one && in->dst == OPERAND_MEM && in->width == 4 && in->base < 16 &&
	       in->base != REG_RSP && insn_mem_is(in, in->base, POOL_REFCOUNT);
}

static enum flow_step pop_before(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct pop *p = ctx;
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND || is_anchor(in))
		return FLOW_CUT;
	if (p->store == CODE_NONE && insn_is_store(in, at->reg, POOL_FREEBLOCK) &&
	    in->src == OPERAND_REG) {
		p->store = at->idx;
		p->stored = in->src_reg;
	}
	if (!insn_is_load(in, at->reg, POOL_FREEBLOCK))
		return FLOW_ON;
	p->load = at->idx;
	p->block = in->dst_reg;
	return FLOW_DONE;
}

static bool register_holds(const struct flow_state *st, uint8_t reg, uint8_t what)
{
	return reg < 16 && st->reg[reg].known && st->reg[reg].reg == what && st->reg[reg].c == 0;
}

static enum flow_step pop_behind(void *ctx, const struct code *code, size_t idx,
				 const struct flow_state *st)
{
	struct pop *p = ctx;
	const struct insn *in = &code->insns[idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->base < 16 && register_holds(st, in->base, p->pool)) {
		if (p->load == CODE_NONE && insn_is_load(in, in->base, POOL_FREEBLOCK)) {
			p->load = idx;
			p->block = in->dst_reg;
		}
		if (insn_is_store(in, in->base, POOL_FREEBLOCK) && in->src == OPERAND_REG) {
			p->store = idx;
			p->stored = in->src_reg;
		}
	}
	return p->load != CODE_NONE && p->store != CODE_NONE ? FLOW_DONE : FLOW_ON;
}

static bool pop_recognise(const struct code *code, size_t anchor, struct pop *p)
{
	*p = (struct pop){.anchor = anchor,
			  .pool = code->insns[anchor].base,
			  .load = CODE_NONE,
			  .store = CODE_NONE,
			  .block = REG_NONE,
			  .stored = REG_NONE};
	flow_back(code, anchor, p->pool, POP_SPAN, pop_before, p);
	if (p->load == CODE_NONE)
		p->store = CODE_NONE; /* a store before the load is another pop's */
	if (p->load == CODE_NONE || p->store == CODE_NONE)
		flow_ahead(code, anchor, POP_SPAN, pop_behind, p);
	return p->load != CODE_NONE && p->store != CODE_NONE && p->block < 16 && p->stored < 16;
}

struct guard {
	uint8_t pool;
	size_t cmp;
	bool ok;
};

static enum flow_step guard_load(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct guard *g = ctx;
	const struct insn *in = &code->insns[at->idx];

	if (insn_is_load(in, g->pool, POOL_NEXTPOOL) && in->dst_reg == at->reg)
		return FLOW_DONE;
	return insn_writes(in, g->pool) ? FLOW_CUT : FLOW_ON;
}

/* The compare is nextpool == pool: register against register or against memory, in either order. */
static bool is_guard_compare(const struct code *code, size_t idx, uint8_t pool)
{
	const struct insn *in = &code->insns[idx];
	struct guard g = {.pool = pool};
	uint8_t other;

	if (in->op != OP_CMP || in->width != 8)
		return false;
	if (in->dst == OPERAND_MEM || in->src == OPERAND_MEM)
		return insn_mem_is(in, pool, POOL_NEXTPOOL) &&
		       (in->dst_reg == pool || in->src_reg == pool);
	if (in->dst != OPERAND_REG || in->src != OPERAND_REG ||
	    (in->dst_reg != pool && in->src_reg != pool))
		return false;
	other = in->dst_reg == pool ? in->src_reg : in->dst_reg;
	return other < 16 && other != pool &&
	       flow_back(code, idx, other, LOAD_BACK, guard_load, &g);
}

static enum flow_step guard_compare(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct guard *g = ctx;

	if (!(code->insns[at->idx].flags & INSN_FLAGS_WRITE))
		return code->insns[at->idx].op == OP_CALL ? FLOW_CUT : FLOW_ON;
	if (!is_guard_compare(code, at->idx, at->reg))
		return FLOW_CUT;
	g->ok = true;
	return FLOW_DONE;
}

/* Collects the guards of one anchor. */
struct pop_walk {
	struct site_list *out;
	const struct pop *pop;
	uint8_t evidence;
	size_t added;
	int err;
};

static enum flow_step pop_guard(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct pop_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];
	struct guard g = {.pool = at->reg};
	struct site s = {.vaddr = insn_vaddr(code, at->idx),
			 .reg = at->reg,
			 .reg2 = REG_NONE,
			 .evidence = w->evidence};

	if (insn_is_store(in, at->reg, POOL_FREEBLOCK) && at->idx != w->pop->store)
		return FLOW_CUT; /* the pop before this one */
	if (in->op != OP_JCC || (in->cc != CC_E && in->cc != CC_NE))
		return FLOW_ON;
	flow_back(code, at->idx, at->reg, CMP_BACK, guard_compare, &g);
	if (!g.ok)
		return FLOW_ON;
	if (!(in->flags & INSN_EMULATED) || at->taken != (in->cc == CC_NE))
		return FLOW_CUT; /* we came by the edge of the refill */
	w->err = site_list_add(w->out, &s);
	w->added++;
	return w->err ? FLOW_DONE : FLOW_CUT;
}

struct after_walk {
	uint8_t block, pool;
	bool seen_store;
	size_t store;
	size_t jump;
	uint8_t block_reg, pool_reg;
};

static enum flow_step after_jump(void *ctx, const struct code *code, size_t idx,
				 const struct flow_state *st)
{
	struct after_walk *w = ctx;
	const struct insn *in = &code->insns[idx];

	if (idx == w->store)
		w->seen_store = true;
	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->op != OP_JCC)
		return FLOW_ON;
	for (uint8_t r = 0; r < 16; r++) {
		if (w->block_reg > 15 && register_holds(st, r, w->block))
			w->block_reg = r;
		if (w->pool_reg > 15 && register_holds(st, r, w->pool))
			w->pool_reg = r;
	}
	if (w->seen_store && (in->flags & INSN_EMULATED))
		w->jump = idx;
	return FLOW_DONE; /* only the first jump runs once for every pop */
}

/*
 * Second form: use the jump after the pop (is the free list empty now?), since none before it is usable.
 */
static int pop_add_after(const struct code *code, const struct pop *p, uint8_t evidence,
			 struct site_list *out)
{
	size_t from = p->load > p->anchor ? decode_next(code, p->load) : p->anchor;
	struct after_walk w = {.block = p->block,
			       .pool = p->pool,
			       .store = p->store,
			       .seen_store = p->store < p->anchor,
			       .jump = CODE_NONE,
			       .block_reg = REG_NONE,
			       .pool_reg = REG_NONE};
	struct site s = {.after_pop = true, .evidence = evidence};

	if (from == CODE_NONE)
		return 0;
	flow_ahead(code, from, POP_SPAN, after_jump, &w);
	if (w.jump == CODE_NONE || w.block_reg > 15 || w.pool_reg > 15)
		return 0;
	s.vaddr = insn_vaddr(code, w.jump);
	s.reg = w.pool_reg;
	s.reg2 = w.block_reg;
	return site_list_add(out, &s);
}

static enum flow_step stored_from_block(void *ctx, const struct code *code,
					const struct flow_place *at)
{
	const struct pop *p = ctx;
	const struct insn *in = &code->insns[at->idx];

	return insn_is_load(in, p->block, 0) && in->dst_reg == at->reg ? FLOW_DONE : FLOW_ON;
}

/* From first to last there is one way: no jump between, none into it. */
static bool is_straight(const struct code *code, size_t first, size_t last)
{
	for (size_t i = first; i < last; i++) {
		size_t next = decode_next(code, i), count = 0;
		uint8_t op = code->insns[i].op;

		if (next != CODE_NONE)
			decode_branches_to(code, next, &count);
		if (next == CODE_NONE || count || !decode_falls_through(&code->insns[i]) ||
		    op == OP_JCC || op == OP_CALL || op == OP_CALL_IND)
			return false;
	}
	return true;
}

/* Remember where the pop loads its block, if it is sure that only the pop does. */
static int add_block(const struct code *code, const struct pop *p, struct pop_blocks *b)
{
	size_t first = p->load < p->anchor ? p->load : p->anchor;
	size_t last = p->load < p->anchor ? p->anchor : p->load;
	size_t *bigger;

	if (!is_straight(code, first, last))
		return 0;
	bigger = array_grow(b->load, &b->cap, b->count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	b->load = bigger;
	b->load[b->count++] = p->load;
	return 0;
}

static int index_cmp(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

int pops_find_blocks(const struct code *code, struct site_list *out, struct pop_blocks *blocks)
{
	for (size_t i = 0; i < code->count; i++) {
		struct pop p;
		struct pop_walk w = {.out = out, .pop = &p};
		size_t before = out->count;

		if (!is_anchor(&code->insns[i]) || !pop_recognise(code, i, &p))
			continue;
		/* second sign: the new freeblock is the first word of the old one */
		w.evidence =
			1 + flow_back(code, p.store, p.stored, POP_SPAN, stored_from_block, &p);
		flow_back(code, i, p.pool, GUARD_BACK, pop_guard, &w);
		if (!w.added && w.evidence > 1)
			w.err = pop_add_after(code, &p, w.evidence, out);
		if (!w.err && out->count > before && w.evidence > 1)
			w.err = add_block(code, &p, blocks);
		if (w.err)
			return w.err;
	}
	site_list_sort(out);
	if (blocks->count)
		qsort(blocks->load, blocks->count, sizeof(*blocks->load), index_cmp);
	return 0;
}

int pops_find(const struct code *code, struct site_list *out)
{
	struct pop_blocks blocks = {0};
	int err = pops_find_blocks(code, out, &blocks);

	pop_blocks_release(&blocks);
	return err;
}

void pop_blocks_release(struct pop_blocks *b)
{
	free(b->load);
	*b = (struct pop_blocks){0};
}
