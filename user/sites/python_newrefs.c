/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * New-reference sites (CPython Objects/object.c, new_reference(); inlined everywhere by LTO):
 *
 *	3.8 - 3.12: if (tracing) _PyTraceMalloc_NewReference(op);   op->ob_refcnt = 1;
 *	3.13 -    : op->ob_refcnt = 1;   if (tracer_func) tracer_func(op, 0, tracer_data);
 *
 * The jump after the test is the site. The object's register is named by two independent ways: what
 * the slow path hands to its call, and through what the reference count 1 (or the type) is stored.
 */
#include "sites/python_newrefs.h"

#include <stdlib.h>

#include "sites/flow.h"

#define TEST_AHEAD  8  /* from the read of the word to the jump */
#define CALL_AHEAD  24 /* from the jump to the slow path's call */
#define ENTRY_AHEAD 16 /* from the entry of _Py_NewReference() to the jump */
#define STORE_SPAN  28 /* from the jump to the store of the reference count, either way */
#define OBJECT_OFF  32 /* an object starts at most this far after its block: GC header, pre-header */

#define OB_REFCNT   0 /* offsetof(PyObject, ob_refcnt), CPython v3.8-v3.15 Include/object.h */
#define OB_TYPE	    8 /* offsetof(PyObject, ob_type), same */

/* Where the object is at the jump: register + c. */
struct object_at {
	bool known;
	uint8_t reg;
	int64_t c;
	bool spilled; /* it is in the stack word at `slot` too */
	int64_t slot;
};

struct slow_walk {
	struct object_at op;
	bool destroy;
};

/* Content of rdi at the first call that gets a register's value; the tracer itself wins (3.14+). */
static enum flow_step slow_call(void *ctx, const struct code *code, size_t idx,
				const struct flow_state *st)
{
	struct slow_walk *w = ctx;
	const struct insn *in = &code->insns[idx];
	const struct flow_value *rdi = &st->reg[REG_RDI], *rsi = &st->reg[REG_RSI];
	bool indirect = in->op == OP_CALL_IND || in->op == OP_JMP_IND;

	if (in->op == OP_RET)
		return FLOW_CUT;
	if (in->op != OP_CALL && !indirect)
		return FLOW_ON;
	if (!rdi->known || rdi->reg == REG_NONE ||
	    (rdi->reg < 16 && (rdi->c < 0 || rdi->c > OBJECT_OFF)))
		return FLOW_CUT;
	if (indirect && rsi->known && rsi->reg == REG_NONE && rsi->c == 1) {
		w->destroy = true;
		return FLOW_DONE;
	}
	if (!w->op.known || indirect)
		w->op = (struct object_at){.known = true, .reg = rdi->reg, .c = rdi->c};
	return indirect ? FLOW_DONE : FLOW_CUT;
}

struct entry_walk {
	size_t jump;
	uint8_t reg;
};

static enum flow_step argument_at(void *ctx, const struct code *code, size_t idx,
				  const struct flow_state *st)
{
	struct entry_walk *w = ctx;
	(void)code;

	if (idx != w->jump)
		return FLOW_ON;
	for (uint8_t r = 0; r < 16 && w->reg == REG_NONE; r++)
		if (r != REG_RSP && st->reg[r].known && st->reg[r].reg == REG_RDI &&
		    st->reg[r].c == 0)
			w->reg = r;
	return FLOW_DONE;
}

/*
 * In _Py_NewReference() itself the object is the first argument. Where the slow path is inlined there (some
 * shared libraries), no call is handed the object and only this tells.
 */
static bool object_by_entry(const struct code *code, size_t jump, uint64_t function,
			    struct object_at *op)
{
	size_t entry = function ? decode_find(code, function) : CODE_NONE;
	struct entry_walk w = {.jump = jump, .reg = REG_NONE};

	if (entry == CODE_NONE || jump < entry || jump - entry > ENTRY_AHEAD)
		return false;
	flow_ahead(code, entry, ENTRY_AHEAD, argument_at, &w);
	if (w.reg == REG_NONE)
		return false;
	*op = (struct object_at){.known = true, .reg = w.reg};
	return true;
}

struct store_walk {
	struct object_at op;	/* from the slow path */
	struct object_at other; /* the first 1 stored through something else */
	bool count, type;	/* stored through op */
};

static bool is_one(const struct insn *in, const struct flow_state *st)
{
	if (in->src == OPERAND_IMM)
		return in->imm == 1;
	return in->src == OPERAND_REG && in->src_reg < 16 && st->reg[in->src_reg].known &&
	       st->reg[in->src_reg].reg == REG_NONE && st->reg[in->src_reg].c == 1;
}

static enum flow_step fast_store(void *ctx, const struct code *code, size_t idx,
				 const struct flow_state *st)
{
	struct store_walk *w = ctx;
	const struct insn *in = &code->insns[idx];
	const struct flow_value *base;
	int64_t c;

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->op != OP_MOV || in->dst != OPERAND_MEM || in->base > 15 || in->base == REG_RSP ||
	    in->index != REG_NONE || in->width < 4)
		return FLOW_ON;
	base = &st->reg[in->base];
	if (base->known && base->reg == FLOW_STACK && w->op.spilled && base->c == w->op.slot &&
	    in->disp == OB_REFCNT && is_one(in, st)) {
		w->count = true;
		return FLOW_DONE;
	}
	if (!base->known || base->reg > 15)
		return FLOW_ON;
	c = (int64_t)((uint64_t)base->c + (uint64_t)(int64_t)in->disp);
	if (!is_one(in, st) || c < OB_REFCNT || c > OBJECT_OFF)
		return FLOW_ON;
	w->count = base->reg == w->op.reg && c == w->op.c + OB_REFCNT;
	if (!w->count && !w->other.known)
		w->other = (struct object_at){.known = true, .reg = base->reg, .c = c - OB_REFCNT};
	return w->count ? FLOW_DONE : FLOW_ON;
}

/* The conditional jump on "word is zero" after the read at idx; CODE_NONE when there is none. */
static size_t test_jump(const struct code *code, size_t idx)
{
	const struct insn *read = &code->insns[idx];
	uint8_t reg = read->op == OP_MOV ? read->dst_reg : REG_NONE;
	bool tested = read->op == OP_CMP;

	for (unsigned n = 0; n < TEST_AHEAD; n++) {
		const struct insn *in;

		idx = code->insns[idx].op == OP_JMP ? decode_target(code, idx)
						    : decode_next(code, idx);
		if (idx == CODE_NONE)
			return CODE_NONE;
		in = &code->insns[idx];
		if (in->op == OP_JCC)
			return tested && (in->cc == CC_E || in->cc == CC_NE) &&
					       (in->flags & INSN_EMULATED)
				       ? idx
				       : CODE_NONE;
		if (in->flags & INSN_FLAGS_WRITE)
			tested = in->op == OP_TEST && in->dst_reg == reg && in->src_reg == reg &&
				 in->width == read->width;
		if (!decode_falls_through(in) && in->op != OP_JMP)
			return CODE_NONE;
		if (!tested && (in->op == OP_CALL || insn_writes(in, reg)))
			return CODE_NONE;
	}
	return CODE_NONE;
}

struct same_walk {
	uint8_t other;
	int64_t stack_off;
};

/* Backwards from a jump: at->reg is a copy of `other`, which is not changed in between. */
static enum flow_step copied_from(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct same_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];

	if (insn_is_copy(in) && in->dst_reg == at->reg && in->src_reg == w->other)
		return FLOW_DONE;
	return insn_writes(in, w->other) ? FLOW_CUT : FLOW_ON;
}

static bool hold_the_same(const struct code *code, size_t jump, uint8_t a, uint8_t b)
{
	struct same_walk from_a = {.other = a}, from_b = {.other = b};

	return flow_back(code, jump, b, STORE_SPAN, copied_from, &from_a) ||
	       flow_back(code, jump, a, STORE_SPAN, copied_from, &from_b);
}

/* Backwards: the count or the type stored through the register that the slow path named. */
static enum flow_step store_before(void *ctx, const struct code *code, const struct flow_place *at)
{
	struct store_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	if (in->op != OP_MOV || in->dst != OPERAND_MEM || in->width < 4 || in->base > 15 ||
	    in->index != REG_NONE)
		return FLOW_ON;
	if (in->src == OPERAND_IMM && in->imm == 1 && in->disp == w->op.c + OB_REFCNT)
		w->count = in->base == at->reg || hold_the_same(code, at->idx, at->reg, in->base);
	if (in->base != at->reg)
		return w->count ? FLOW_DONE : FLOW_ON;
	if (in->width == 8 && in->disp == w->op.c + OB_TYPE)
		w->type = true;
	return w->count ? FLOW_DONE : FLOW_ON;
}

/* Backwards from a jump: at->reg was loaded from, or saved to, the stack word. */
static enum flow_step same_as_stack(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct same_walk *w = ctx;
	const struct insn *in = &code->insns[at->idx];
	bool that_word = insn_mem_is(in, REG_RSP, (int32_t)w->stack_off);

	if (insn_is_load(in, REG_RSP, (int32_t)w->stack_off) && in->dst_reg == at->reg)
		return FLOW_DONE;
	if (insn_is_store(in, REG_RSP, (int32_t)w->stack_off) && in->src_reg == at->reg)
		return FLOW_DONE;
	if ((that_word && (in->flags & INSN_MEM_WRITE)) || insn_writes(in, REG_RSP))
		return FLOW_CUT;
	return FLOW_ON;
}

/* The slow path takes the object from the stack: which register holds it too? */
static bool register_of_stack(const struct code *code, size_t jump, struct object_at *op)
{
	struct same_walk w = {.stack_off = op->c};

	for (uint8_t r = 0; r < 16; r++) {
		if (r == REG_RSP || !flow_back(code, jump, r, STORE_SPAN, same_as_stack, &w))
			continue;
		*op = (struct object_at){.known = true, .reg = r, .spilled = true, .slot = op->c};
		return true;
	}
	return false;
}

/*
 * Argument of the slow path's call. Returns: false when it is no creation of an object in a register.
 */
static bool object_by_call(const struct code *code, size_t jump, size_t slow,
			   struct newref_stats *stats, struct object_at *op)
{
	struct slow_walk w = {.destroy = false};

	if (slow != CODE_NONE)
		flow_ahead(code, slow, CALL_AHEAD, slow_call, &w);
	if (w.destroy) {
		stats->destroy++;
		return false;
	}
	if (!w.op.known || (w.op.reg == FLOW_STACK && !register_of_stack(code, jump, &w.op))) {
		stats->no_call++;
		return false;
	}
	*op = w.op;
	return true;
}

/* Judge one jump. Returns: evidence, 0 when it is no site; *reg. */
static uint8_t newref_judge(const struct code *code, size_t jump, uint64_t function,
			    struct newref_stats *stats, uint8_t *reg)
{
	const struct insn *in = &code->insns[jump];
	size_t taken = decode_target(code, jump), behind = decode_next(code, jump);
	size_t slow = in->cc == CC_NE ? taken : behind, fast = in->cc == CC_NE ? behind : taken;
	struct store_walk st = {.count = false};

	if (!object_by_entry(code, jump, function, &st.op) &&
	    !object_by_call(code, jump, slow, stats, &st.op))
		return 0;
	if (fast != CODE_NONE)
		flow_ahead(code, fast, STORE_SPAN, fast_store, &st);
	if (!st.count && st.other.known && st.other.c == st.op.c)
		st.count = hold_the_same(code, jump, st.op.reg, st.other.reg);
	if (!st.count)
		flow_back(code, jump, st.op.reg, STORE_SPAN, store_before, &st);
	if (!st.count && !st.type) {
		stats->disagree += st.other.known;
		stats->one_way += !st.other.known;
		return 0;
	}
	*reg = st.op.reg;
	return 2;
}

int newrefs_find(const struct code *code, const struct trace_word *word, struct site_list *out,
		 struct newref_stats *stats)
{
	*stats = (struct newref_stats){0};
	for (size_t i = 0; i < code->count; i++) {
		struct site s = {.reg2 = REG_NONE};
		size_t jump;
		int err;

		if (!trace_word_read(code, i, word))
			continue;
		stats->reads++;
		jump = test_jump(code, i);
		if (jump == CODE_NONE) {
			stats->no_jump++;
			continue;
		}
		s.evidence = newref_judge(code, jump, word->creator_vaddr, stats, &s.reg);
		if (!s.evidence)
			continue;
		s.vaddr = insn_vaddr(code, jump);
		err = site_list_add(out, &s);
		if (err)
			return err;
	}
	site_list_sort(out);
	return 0;
}
