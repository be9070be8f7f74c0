/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a new-reference site the object is followed backwards, on every path, to what defines it: a
 * pop, the refill function, an allocating function. Loops end where a (place, location) was seen
 * before. A zero ends a path too: an object at NULL cannot be.
 */
#include "sites/fresh.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "sites/fresh_known.h"
#include "sites/fresh_stack.h"

#define STATES_MAX  4096      /* of one walk; more is not proven */
#define BUDGET	    12288     /* of all walks for one site */
#define BUDGET_FILE (1 << 20) /* of all sites; only hostile text needs as much */
#define COST_WALK   16	      /* to begin a walk */
#define COST_STACK  256	      /* to read the stack slots of a walk */
#define SEEN_SIZE   (2 * STATES_MAX)
#define NEST_MAX    5 /* walks within walks: calls of local functions, pointers, sums */
#define WORDS_MAX   16
#define FN_MAX	    1024 /* instructions of a local function */
#define MEMO_MAX    128
#define IN_STACK    16 /* as place.reg: the word at disp(%rsp) */

enum step {
	STEP_ON,
	STEP_FRESH, /* the path ends in an allocation */
	STEP_ZERO,  /* in a zero */
	STEP_FAIL,
};

enum goal {
	GOAL_BLOCK,   /* a fresh block, or something in it */
	GOAL_SUMMAND, /* the same as part of a sum: a zero proves nothing */
	GOAL_POINTER, /* the pointer to an allocating function */
	GOAL_BASE,    /* the base of the table with that pointer */
};

/* The value is in reg after the instruction at idx. */
struct place {
	uint32_t idx;
	int32_t disp; /* IN_STACK */
	uint8_t reg;
};

struct walk {
	struct place items[STATES_MAX];
	unsigned count;
	uint16_t seen[SEEN_SIZE]; /* hash: index into items + 1 */
	struct stack_word words[WORDS_MAX];
	unsigned word_count;
	enum goal goal;
	uint64_t slot,
		addr; /* GOAL_BASE: the GOT slot that has it, or the base itself; 0 = that way not */
	bool fresh;
};

struct fn_memo {
	size_t idx;
	unsigned depth; /* at which it was judged */
	enum step verdict;
};

struct prover {
	const struct fresh_known *k;
	struct walk *walks; /* NEST_MAX */
	struct fn_memo memo[MEMO_MAX];
	unsigned memo_count;
	unsigned budget; /* left for this site */
	unsigned spent;	 /* by all sites */
	int err;
};

static enum step prove_goal(struct prover *p, unsigned depth, enum goal goal, size_t from,
			    uint8_t reg);
static enum step prove_base(struct prover *p, unsigned depth, size_t from, uint8_t reg,
			    uint64_t slot, uint64_t addr);
static enum step fn_returns(struct prover *p, unsigned depth, size_t idx);

static bool spend_budget(struct prover *p, unsigned cost)
{
	if (p->budget < cost || p->spent >= BUDGET_FILE)
		return false;
	p->budget -= cost;
	p->spent += cost;
	return true;
}

/* Returns: false when there is no room. */
static bool walk_add(struct prover *p, struct walk *w, struct place at)
{
	size_t h = hash_mix(hash_mix(at.idx, at.reg), (uint32_t)at.disp) % SEEN_SIZE;

	for (; w->seen[h]; h = (h + 1) % SEEN_SIZE) {
		const struct place *old = &w->items[w->seen[h] - 1];

		if (old->idx == at.idx && old->reg == at.reg && old->disp == at.disp)
			return true;
	}
	if (w->count == STATES_MAX || !spend_budget(p, 1))
		return false;
	w->items[w->count] = at;
	w->seen[h] = (uint16_t)++w->count;
	return true;
}

/*
 * All that can run right before idx, where the value is at `at`. Returns: false = not proven. Padding
 * that nothing leads to is never run.
 */
static bool walk_before(struct prover *p, struct walk *w, size_t idx, struct place at)
{
	const struct code *code = p->k->code;
	size_t count;
	const struct code_branch *b = decode_branches_to(code, idx, &count);
	bool falls = fresh_falls_into(p->k, idx);

	if (fresh_is_door(p->k, idx))
		return false;
	if (!count && !falls)
		return code->insns[idx].op == OP_NOP;
	for (size_t i = 0; i < count; i++) {
		at.idx = b[i].from_idx;
		if (!walk_add(p, w, at))
			return false;
	}
	at.idx = (uint32_t)idx - 1;
	return !falls || walk_add(p, w, at);
}

/* The value was loaded from disp(%rsp) by the instruction at at->idx. */
static enum step load_from_stack(struct walk *w, struct place *at, int32_t disp)
{
	if (w->word_count == WORDS_MAX)
		return STEP_FAIL;
	w->words[w->word_count++] = (struct stack_word){.idx = at->idx, .disp = disp};
	at->reg = IN_STACK;
	at->disp = disp;
	return STEP_ON;
}

static enum step copy_of(struct place *at, uint8_t reg)
{
	if (reg > 15 || reg == REG_RSP)
		return STEP_FAIL;
	at->reg = reg;
	at->disp = 0;
	return STEP_ON;
}

static enum step zero_result(const struct walk *w)
{
	return w->goal == GOAL_BLOCK ? STEP_ZERO : STEP_FAIL;
}

/* A store while the value is in the stack. */
static enum step store_to_stack(const struct walk *w, const struct insn *in, struct place *at)
{
	int64_t from = in->disp, to = from + (in->width ? in->width : 64);

	if (in->index != REG_NONE)
		return STEP_FAIL;
	if (to <= at->disp || from >= (int64_t)at->disp + 8)
		return STEP_ON;
	if (in->op != OP_MOV || in->dst != OPERAND_MEM || in->width != 8 || in->disp != at->disp)
		return STEP_FAIL;
	if (in->src == OPERAND_IMM)
		return in->imm == 0 ? zero_result(w) : STEP_FAIL;
	return in->src == OPERAND_REG ? copy_of(at, in->src_reg) : STEP_FAIL;
}

static enum step step_in_stack(const struct walk *w, const struct insn *in, struct place *at)
{
	bool mem = in->dst == OPERAND_MEM || in->src == OPERAND_MEM;
	int32_t change;

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return at->disp < 0 ? STEP_FAIL : STEP_ON;
	if (mem && (in->flags & INSN_MEM_WRITE) && in->base == REG_RSP)
		return insn_writes(in, REG_RSP) ? STEP_FAIL : store_to_stack(w, in, at);
	if (!fresh_stack_change(in, &change))
		return STEP_FAIL;
	if (!change)
		return STEP_ON;
	if (in->op == OP_PUSH && at->disp < 8)
		return at->disp == 0 && in->dst == OPERAND_REG ? copy_of(at, in->dst_reg)
							       : STEP_FAIL;
	if (at->disp < 0 || at->disp + change < 0)
		return STEP_FAIL; /* not part of the frame then */
	at->disp += change;
	return STEP_ON;
}

/* The memory operand at idx: is it an entry of an allocator table, on every path that leads there? */
static enum step is_table_entry(struct prover *p, unsigned depth, size_t idx)
{
	const struct insn *in = &p->k->code->insns[idx];
	uint64_t vaddr;

	if (decode_mem_vaddr(p->k->code, in, &vaddr))
		return fresh_known_word(p->k, vaddr) ? STEP_FRESH : STEP_FAIL;
	if (in->base > 15 || in->base == REG_RSP || in->index != REG_NONE)
		return STEP_FAIL;
	for (unsigned i = 0; i < p->k->word_count; i++) {
		const struct fresh_word *w = &p->k->words[i];
		uint64_t addr = w->got ? 0 : w->vaddr - (uint64_t)(int64_t)in->disp;

		if (w->got && w->disp != in->disp)
			continue;
		if (prove_base(p, depth + 1, idx, in->base, w->got ? w->vaddr : 0, addr) ==
		    STEP_FRESH)
			return STEP_FRESH;
	}
	return STEP_FAIL;
}

/* The indirect call or jump at idx: through an entry of an allocator table? */
static enum step through_pointer(struct prover *p, unsigned depth, size_t idx)
{
	const struct insn *in = &p->k->code->insns[idx];

	return in->dst == OPERAND_MEM ? is_table_entry(p, depth, idx)
				      : prove_goal(p, depth, GOAL_POINTER, idx, in->dst_reg);
}

/* rax after a call. */
static enum step step_call(struct prover *p, unsigned depth, const struct walk *w, size_t idx)
{
	const struct code *code = p->k->code;
	const struct insn *in = &code->insns[idx];
	size_t to = decode_target(code, idx);
	enum step end;

	if (w->goal == GOAL_POINTER || w->goal == GOAL_BASE)
		return STEP_FAIL;
	if (in->op == OP_CALL)
		end = to == CODE_NONE ? STEP_FAIL : fn_returns(p, depth + 1, to);
	else
		end = through_pointer(p, depth + 1, idx);
	return end == STEP_ZERO ? zero_result(w) : end;
}

static enum step step_load(struct prover *p, unsigned depth, struct walk *w, const struct insn *in,
			   struct place *at)
{
	uint64_t vaddr;

	if (in->base == REG_RSP && in->index == REG_NONE)
		return load_from_stack(w, at, in->disp);
	if (w->goal == GOAL_POINTER)
		return is_table_entry(p, depth, at->idx);
	if (w->goal == GOAL_BASE)
		return w->slot && decode_mem_vaddr(p->k->code, in, &vaddr) && vaddr == w->slot
			       ? STEP_FRESH
			       : STEP_FAIL;
	return fresh_known_pop(p->k, at->idx) ? STEP_FRESH : STEP_FAIL;
}

/* A fresh block plus a number: which of the two is the block is not known beforehand. */
static enum step step_sum(struct prover *p, unsigned depth, size_t idx, uint8_t a, uint8_t b)
{
	enum step end = prove_goal(p, depth + 1, GOAL_SUMMAND, idx, a);

	return end == STEP_FRESH ? end : prove_goal(p, depth + 1, GOAL_SUMMAND, idx, b);
}

static enum step step_arithmetic(struct prover *p, unsigned depth, const struct walk *w,
				 const struct insn *in, struct place *at)
{
	bool same = in->src == OPERAND_REG && in->src_reg == at->reg;

	if ((in->op == OP_XOR || in->op == OP_SUB) && same && in->width >= 4)
		return zero_result(w);
	uint64_t vaddr;

	if (in->width != 8 || w->goal == GOAL_POINTER)
		return STEP_FAIL;
	if (w->goal == GOAL_BASE)
		return w->addr && in->op == OP_LEA && decode_mem_vaddr(p->k->code, in, &vaddr) &&
				       vaddr == w->addr
			       ? STEP_FRESH
			       : STEP_FAIL;
	if (in->op == OP_LEA) {
		if (in->index == REG_NONE)
			return copy_of(at, in->base);
		if (in->index > 15 || in->scale != 1 || in->base > 15 || in->base == REG_RSP)
			return STEP_FAIL;
		return step_sum(p, depth, at->idx, in->base, in->index);
	}
	if ((in->op == OP_ADD || in->op == OP_SUB) && in->src == OPERAND_IMM)
		return STEP_ON;
	if (in->op == OP_ADD && in->src == OPERAND_REG && in->src_reg < 16 && !same)
		return step_sum(p, depth, at->idx, at->reg, in->src_reg);
	return STEP_FAIL;
}

/* From after the instruction at at->idx to before it. */
static enum step walk_step(struct prover *p, unsigned depth, struct walk *w, struct place *at)
{
	const struct insn *in = &p->k->code->insns[at->idx];

	if (at->reg == IN_STACK)
		return step_in_stack(w, in, at);
	if (!insn_writes(in, at->reg))
		return STEP_ON;
	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return at->reg == REG_RAX ? step_call(p, depth, w, at->idx) : STEP_FAIL;
	if (in->dst != OPERAND_REG || in->dst_reg != at->reg)
		return STEP_FAIL;
	if (in->op == OP_POP)
		return load_from_stack(w, at, 0);
	if (in->op != OP_MOV)
		return step_arithmetic(p, depth, w, in, at);
	if (in->src == OPERAND_IMM)
		return in->imm == 0 && in->width >= 4 ? zero_result(w) : STEP_FAIL;
	if (in->width != 8)
		return STEP_FAIL;
	return in->src == OPERAND_REG ? copy_of(at, in->src_reg) : step_load(p, depth, w, in, at);
}

/* Returns: STEP_FRESH, STEP_ZERO (nothing but zeros), STEP_FAIL. */
static enum step walk_run(struct prover *p, unsigned depth, struct walk *w)
{
	for (unsigned i = 0; i < w->count; i++) {
		struct place at = w->items[i];
		size_t idx = at.idx;

		switch (walk_step(p, depth, w, &at)) {
		case STEP_FAIL:
			return STEP_FAIL;
		case STEP_FRESH:
			w->fresh = true;
			break;
		case STEP_ZERO:
			break;
		case STEP_ON:
			if (!walk_before(p, w, idx, at))
				return STEP_FAIL;
		}
	}
	return w->fresh ? STEP_FRESH : zero_result(w);
}

/* The goal is set in the walk of this depth. Returns as walk_run(). */
static enum step prove_walk(struct prover *p, unsigned depth, size_t from, uint8_t reg)
{
	struct walk *w;
	enum step end;
	int private;

	if (depth >= NEST_MAX || reg > 15 || reg == REG_RSP || !spend_budget(p, COST_WALK))
		return STEP_FAIL;
	w = &p->walks[depth];
	w->count = w->word_count = 0;
	w->fresh = false;
	memset(w->seen, 0, sizeof(w->seen));
	if (!walk_before(p, w, from, (struct place){.reg = reg}))
		return STEP_FAIL;
	end = walk_run(p, depth, w);
	if (end == STEP_FAIL || !w->word_count)
		return end;
	if (!spend_budget(p, COST_STACK))
		return STEP_FAIL;
	private = fresh_stack_private(p->k, from, w->words, w->word_count);
	if (private < 0)
		p->err = private;
	return private > 0 ? end : STEP_FAIL;
}

/*
 * Does what is in reg before the instruction at `from` meet the goal on every path? Returns as
 * walk_run().
 */
static enum step prove_goal(struct prover *p, unsigned depth, enum goal goal, size_t from,
			    uint8_t reg)
{
	if (depth < NEST_MAX) {
		p->walks[depth].goal = goal;
		p->walks[depth].slot = p->walks[depth].addr = 0;
	}
	return prove_walk(p, depth, from, reg);
}

/* Is what is in reg the content of this GOT slot, or this address (where they are not 0)? */
static enum step prove_base(struct prover *p, unsigned depth, size_t from, uint8_t reg,
			    uint64_t slot, uint64_t addr)
{
	if (depth < NEST_MAX) {
		p->walks[depth].goal = GOAL_BASE;
		p->walks[depth].slot = slot;
		p->walks[depth].addr = addr;
	}
	return prove_walk(p, depth, from, reg);
}

/* One instruction of a local function that may end it. Returns: STEP_ON when it does not. */
static enum step fn_end(struct prover *p, unsigned depth, size_t fn, size_t idx)
{
	const struct code *code = p->k->code;
	const struct insn *in = &code->insns[idx];
	size_t to = decode_target(code, idx);

	if (in->op == OP_RET)
		return prove_goal(p, depth, GOAL_BLOCK, idx, REG_RAX);
	if (in->op == OP_JMP_IND)
		return through_pointer(p, depth, idx);
	if (in->op != OP_JMP && in->op != OP_JCC)
		return in->op == OP_BAD ? STEP_FAIL : STEP_ON;
	if (to == CODE_NONE)
		return STEP_FAIL;
	return to == fn || !fresh_is_door(p->k, to) ? STEP_ON : fn_returns(p, depth + 1, to);
}

struct fn_walk {
	uint32_t idx[FN_MAX];
	unsigned count;
};

static bool fn_add(struct prover *p, struct fn_walk *f, size_t idx)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->idx[i] == idx)
			return true;
	if (idx == CODE_NONE || f->count == FN_MAX || !spend_budget(p, 1))
		return false;
	f->idx[f->count++] = (uint32_t)idx;
	return true;
}

/* Every way out of the function returns a fresh block or NULL. */
static enum step fn_judge(struct prover *p, unsigned depth, size_t fn)
{
	const struct code *code = p->k->code;
	struct fn_walk f = {.count = 0};
	bool fresh = false, ends = false;

	if (!fn_add(p, &f, fn))
		return STEP_FAIL;
	for (unsigned i = 0; i < f.count; i++) {
		size_t idx = f.idx[i], to = decode_target(code, idx);
		const struct insn *in = &code->insns[idx];
		enum step end = fn_end(p, depth, fn, idx);

		if (end == STEP_FAIL)
			return STEP_FAIL;
		ends |= end != STEP_ON;
		fresh |= end == STEP_FRESH;
		if (end == STEP_ON && (in->op == OP_JMP || in->op == OP_JCC) && !fn_add(p, &f, to))
			return STEP_FAIL;
		if (decode_falls_through(in) && !fresh_call_quits(p->k, idx) &&
		    !fn_add(p, &f, decode_next(code, idx)))
			return STEP_FAIL;
	}
	return fresh ? STEP_FRESH : ends ? STEP_ZERO : STEP_FAIL;
}

/* Classify the return value of the function at idx: STEP_FRESH, STEP_ZERO, STEP_FAIL. */
static enum step fn_returns(struct prover *p, unsigned depth, size_t idx)
{
	struct fn_memo *m = NULL;

	if (fresh_known_fn(p->k, idx))
		return STEP_FRESH;
	if (depth >= NEST_MAX)
		return STEP_FAIL;
	for (unsigned i = 0; i < p->memo_count; i++)
		if (p->memo[i].idx == idx)
			m = &p->memo[i];
	if (m && (m->verdict != STEP_FAIL || depth >= m->depth))
		return m->verdict;
	if (!m && p->memo_count < MEMO_MAX)
		m = &p->memo[p->memo_count++];
	if (!m)
		return STEP_FAIL;
	/* while it is judged: not proven */
	*m = (struct fn_memo){.idx = idx, .depth = depth, .verdict = STEP_FAIL};
	m->verdict = fn_judge(p, depth, idx);
	return m->verdict;
}

int fresh_prove(const struct elf_image *img, const struct code *code, const struct pop_blocks *pops,
		uint64_t refill, struct site *sites, size_t count)
{
	_cleanup_free_ struct prover *p = calloc(1, sizeof(*p));
	struct fresh_known k;
	int err = p ? fresh_known_init(img, code, pops, refill, &k) : -ENOMEM;

	if (err)
		return err;
	p->k = &k;
	p->walks = calloc(NEST_MAX, sizeof(*p->walks));
	if (!p->walks)
		p->err = -ENOMEM;
	for (size_t i = 0; i < count && !p->err; i++) {
		size_t idx = decode_find(code, sites[i].vaddr);

		p->budget = BUDGET;
		sites[i].fresh_proven = idx != CODE_NONE && prove_goal(p, 0, GOAL_BLOCK, idx,
								       sites[i].reg) == STEP_FRESH;
	}
	free(p->walks);
	fresh_known_release(&k);
	return p->err;
}
