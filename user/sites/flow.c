/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Depth-first walks with a budget: hostile text costs a bounded number of steps per site. */
#include "sites/flow.h"

#include <string.h>

#include "base/cleanup.h"

#define BACK_STACK   64
#define BACK_BUDGET  400 /* instructions visited in one backward walk */
#define AHEAD_STACK  12
#define AHEAD_BUDGET 200

struct back_item {
	struct flow_place at;
	unsigned depth;
};

struct back_walk {
	struct back_item items[BACK_STACK];
	unsigned len;
};

static void back_push(struct back_walk *w, size_t idx, uint8_t reg, bool taken, unsigned depth)
{
	if (depth && w->len < ARRAY_LEN(w->items))
		w->items[w->len++] = (struct back_item){
			.at = {.idx = idx, .reg = reg, .taken = taken}, .depth = depth};
}

/* Push all that can run right before idx; what is popped first is what lies before it in memory. */
static void back_push_before(struct back_walk *w, const struct code *code, size_t idx, uint8_t reg,
			     unsigned depth)
{
	size_t count;
	const struct code_branch *b = decode_branches_to(code, idx, &count);

	for (size_t i = 0; i < count && i < BACK_STACK / 4; i++)
		back_push(w, b[i].from_idx, reg, true, depth);
	if (idx > 0 && decode_next(code, idx - 1) == idx &&
	    decode_falls_through(&code->insns[idx - 1]))
		back_push(w, idx - 1, reg, false, depth);
}

bool flow_back(const struct code *code, size_t from, uint8_t reg, unsigned depth, flow_back_fn fn,
	       void *ctx)
{
	struct back_walk w = {.len = 0};

	back_push_before(&w, code, from, reg, depth);
	for (unsigned budget = BACK_BUDGET; w.len && budget; budget--) {
		struct back_item it = w.items[--w.len];
		const struct insn *in = &code->insns[it.at.idx];

		it.at.left = it.depth - 1;
		enum flow_step step = fn(ctx, code, &it.at);

		if (step == FLOW_DONE)
			return true;
		if (step == FLOW_CUT)
			continue;
		if (insn_writes(in, it.at.reg)) {
			if (!insn_is_copy(in) || in->dst_reg != it.at.reg || in->src_reg > 15)
				continue;
			it.at.reg = in->src_reg;
		}
		back_push_before(&w, code, it.at.idx, it.at.reg, it.depth - 1);
	}
	return false;
}

static struct flow_value *slot_find(struct flow_state *st, int32_t disp)
{
	for (unsigned i = 0; i < st->slot_count; i++)
		if (st->slot_disp[i] == disp)
			return &st->slot[i];
	return NULL;
}

static struct flow_value slot_load(struct flow_state *st, int32_t disp)
{
	struct flow_value *slot = slot_find(st, disp);

	if (slot)
		return *slot;
	return (struct flow_value){.known = !st->rsp_moved, .reg = FLOW_STACK, .c = disp};
}

static void slot_store(struct flow_state *st, int32_t disp, struct flow_value v)
{
	struct flow_value *slot = slot_find(st, disp);

	if (!slot && st->slot_count < FLOW_SLOTS) {
		st->slot_disp[st->slot_count] = disp;
		slot = &st->slot[st->slot_count++];
	}
	if (slot)
		*slot = v;
}

/* The value of the first operand after the instruction, where it is simple enough to name. */
static struct flow_value value_of(const struct insn *in, struct flow_state *st)
{
	struct flow_value none = {.known = false};
	bool stack = in->base == REG_RSP && in->index == REG_NONE;

	switch (in->op) {
	case OP_MOV:
		if (in->src == OPERAND_IMM)
			return (struct flow_value){true, REG_NONE, in->imm};
		if (in->width == 8 && in->src == OPERAND_REG && in->src_reg < 16)
			return st->reg[in->src_reg];
		return in->width == 8 && in->src == OPERAND_MEM && stack ? slot_load(st, in->disp)
									 : none;
	case OP_LEA:
		if (in->width != 8 || in->base > 15 || in->index != REG_NONE ||
		    !st->reg[in->base].known || st->reg[in->base].reg == FLOW_STACK)
			return none;
		return (struct flow_value){
			true, st->reg[in->base].reg,
			(int64_t)((uint64_t)st->reg[in->base].c + (uint64_t)(int64_t)in->disp)};
	case OP_XOR:
		if (in->dst == OPERAND_REG && in->src == OPERAND_REG && in->dst_reg == in->src_reg)
			return (struct flow_value){true, REG_NONE, 0};
		return none;
	case OP_ADD:
	case OP_SUB:
		if (in->width != 8 || in->src != OPERAND_IMM || in->dst_reg > 15 ||
		    !st->reg[in->dst_reg].known || st->reg[in->dst_reg].reg == FLOW_STACK)
			return none;
		none = st->reg[in->dst_reg];
		none.c = (int64_t)((uint64_t)none.c +
				   (uint64_t)(in->op == OP_ADD ? in->imm : 0 - in->imm));
		return none;
	default:
		return none;
	}
}

static void state_step(struct flow_state *st, const struct insn *in)
{
	struct flow_value v = value_of(in, st);

	if (in->dst == OPERAND_MEM && (in->flags & INSN_MEM_WRITE) && in->base == REG_RSP &&
	    in->index == REG_NONE)
		slot_store(st, in->disp, in->width == 8 ? v : (struct flow_value){.known = false});
	if (insn_writes(in, REG_RSP) && in->op != OP_CALL && in->op != OP_CALL_IND) {
		st->slot_count = 0;
		st->rsp_moved = true;
	}
	for (unsigned r = 0; r < 16; r++)
		if (in->writes & (1u << r))
			st->reg[r].known = false;
	if (in->dst == OPERAND_REG && in->dst_reg < 16 && in->width >= 4 &&
	    insn_writes(in, in->dst_reg))
		st->reg[in->dst_reg] = v;
}

struct ahead_item {
	struct flow_state st;
	size_t idx;
	unsigned depth;
};

static void ahead_push(struct ahead_item *items, unsigned *len, size_t idx,
		       const struct flow_state *st, unsigned depth)
{
	if (idx == CODE_NONE || !depth || *len >= AHEAD_STACK)
		return;
	items[(*len)++] = (struct ahead_item){.st = *st, .idx = idx, .depth = depth};
}

bool flow_ahead(const struct code *code, size_t from, unsigned depth, flow_ahead_fn fn, void *ctx)
{
	struct ahead_item items[AHEAD_STACK];
	struct flow_state start = {.slot_count = 0};
	unsigned len = 0;

	for (uint8_t r = 0; r < 16; r++)
		start.reg[r] = (struct flow_value){.known = true, .reg = r};
	ahead_push(items, &len, from, &start, depth);
	for (unsigned budget = AHEAD_BUDGET; len && budget; budget--) {
		struct ahead_item it = items[--len];
		const struct insn *in = &code->insns[it.idx];
		enum flow_step step = fn(ctx, code, it.idx, &it.st);

		if (step == FLOW_DONE)
			return true;
		if (step == FLOW_CUT)
			continue;
		state_step(&it.st, in);
		if (in->op == OP_JCC || in->op == OP_JMP)
			ahead_push(items, &len, decode_target(code, it.idx), &it.st, it.depth - 1);
		if (decode_falls_through(in))
			ahead_push(items, &len, decode_next(code, it.idx), &it.st, it.depth - 1);
	}
	return false;
}
