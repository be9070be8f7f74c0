/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All code that can run before a place is visited backwards, with the distance of its rsp from the
 * rsp of that place. Compilers put spilled registers below the variables whose addresses they take.
 */
#include "sites/fresh_stack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define REGION_MAX 16384 /* instructions */
#define SEEN_SIZE  (2 * REGION_MAX)
#define MARGIN	   8 /* vectorcall passes &args[1] and lets the callee write args[0] */
#define DISP_MAX   (1 << 24)

struct region_item {
	uint32_t idx;
	int32_t delta; /* rsp before idx - rsp at the start of the walk */
};

struct region {
	const struct fresh_known *k;
	struct region_item items[REGION_MAX];
	unsigned count;
	uint16_t seen[SEEN_SIZE]; /* hash: index into items + 1 */
	int32_t lowest;		  /* address that escapes */
	int32_t door;		  /* smallest distance at which control can arrive unseen */
};

bool fresh_stack_change(const struct insn *in, int32_t *change)
{
	*change = 0;
	if (in->op == OP_CALL || in->op == OP_CALL_IND || !insn_writes(in, REG_RSP))
		return true;
	if (in->op == OP_PUSH || in->op == OP_POP) {
		*change = in->op == OP_PUSH ? -8 : 8;
		return in->width == 8 && !(in->op == OP_POP && in->dst_reg == REG_RSP);
	}
	if (in->dst != OPERAND_REG || in->dst_reg != REG_RSP || in->width != 8)
		return false;
	if (in->op == OP_LEA && in->base == REG_RSP && in->index == REG_NONE) {
		*change = in->disp;
		return in->disp > -DISP_MAX && in->disp < DISP_MAX;
	}
	if ((in->op != OP_ADD && in->op != OP_SUB) || in->src != OPERAND_IMM ||
	    in->imm <= -DISP_MAX || in->imm >= DISP_MAX)
		return false;
	*change = (int32_t)(in->op == OP_ADD ? in->imm : -in->imm);
	return true;
}

/* Returns: the item of idx, NULL when there is no room. */
static struct region_item *region_at(struct region *r, size_t idx, bool *added)
{
	size_t h = hash_finish(idx) % SEEN_SIZE;

	for (*added = false; r->seen[h]; h = (h + 1) % SEEN_SIZE)
		if (r->items[r->seen[h] - 1].idx == idx)
			return &r->items[r->seen[h] - 1];
	if (r->count == REGION_MAX)
		return NULL;
	*added = true;
	r->items[r->count] = (struct region_item){.idx = (uint32_t)idx};
	r->seen[h] = (uint16_t)++r->count;
	return &r->items[r->count - 1];
}

/* Control runs from `from` to a place where rsp is at `delta`. False: not proven. */
static bool region_before(struct region *r, size_t from, int32_t delta)
{
	struct region_item *it;
	int32_t change;
	bool added;

	if (!fresh_stack_change(&r->k->code->insns[from], &change))
		return false;
	delta -= change;
	it = region_at(r, from, &added);
	if (!it || delta <= -DISP_MAX || delta >= DISP_MAX)
		return false;
	if (added)
		it->delta = delta;
	return it->delta == delta;
}

/* All ways to the instruction at idx. False: not proven. */
static bool region_ways(struct region *r, size_t idx, int32_t delta)
{
	const struct code *code = r->k->code;
	size_t count;
	const struct code_branch *b = decode_branches_to(code, idx, &count);
	bool falls = fresh_falls_into(r->k, idx);

	bool padding = !count && !falls && code->insns[idx].op == OP_NOP;

	if ((fresh_is_door(r->k, idx) || (!count && !falls && !padding)) && delta < r->door)
		r->door = delta;
	if (fresh_is_door(r->k, idx))
		return true; /* judged at the end: an entry lies above the words, others do not */
	for (size_t i = 0; i < count; i++)
		if (!region_before(r, b[i].from_idx, delta))
			return false;
	return !falls || region_before(r, idx - 1, delta);
}

/* The stack address that the instruction takes. Returns: false when it is unknown. */
static bool region_escape(struct region *r, const struct insn *in, int32_t delta)
{
	bool mem = in->dst == OPERAND_MEM || in->src == OPERAND_MEM;
	int32_t at = delta;

	if (in->base == REG_RSP && mem && in->index != REG_NONE)
		return false;
	if (in->op == OP_LEA && in->base == REG_RSP && in->dst_reg != REG_RSP) {
		if (in->disp <= -DISP_MAX || in->disp >= DISP_MAX)
			return false;
		at += in->disp;
	} else if (!(in->reads & (1u << REG_RSP)) || (mem && in->base == REG_RSP) ||
		   in->op == OP_PUSH || in->op == OP_POP || in->op == OP_CALL ||
		   in->op == OP_CALL_IND || in->op == OP_RET || in->dst_reg == REG_RSP) {
		/* push %rsp, and an operation of rsp with another register, are no compiler's work */
		return in->op != OP_PUSH || in->dst_reg != REG_RSP;
	}
	if (at < r->lowest)
		r->lowest = at;
	return true;
}

static bool region_visit(struct region *r, size_t from)
{
	if (!region_ways(r, from, 0))
		return false;
	for (unsigned i = 0; i < r->count; i++) {
		struct region_item it = r->items[i];

		if (!region_escape(r, &r->k->code->insns[it.idx], it.delta) ||
		    !region_ways(r, it.idx, it.delta))
			return false;
	}
	return true;
}

int fresh_stack_private(const struct fresh_known *k, size_t from, const struct stack_word *words,
			unsigned count)
{
	_cleanup_free_ struct region *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->k = k;
	r->lowest = INT32_MAX;
	r->door = INT32_MAX;
	if (!region_visit(r, from))
		return 0;
	for (unsigned i = 0; i < count; i++) {
		bool added;
		struct region_item *it = region_at(r, words[i].idx, &added);
		int64_t at;

		if (!it || added)
			return 0;
		at = (int64_t)it->delta + words[i].disp;
		if (at >= r->door || at + MARGIN >= r->lowest)
			return 0;
	}
	return 1;
}
