/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc's _int_malloc(arena, bytes) in a stripped libc: the function that malloc() calls most often
 * with its own argument in rsi. Believed only when calloc() calls it too and it is no exported
 * function.
 *
 * At its entry the return address of the call is on top of the stack; how far up malloc's own return
 * address is follows from the pushes and stack adjustments on the way from malloc's entry to the call.
 */
#include "sites/libc_slow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/flow.h"
#include "sites/stack_depth.h"

#define TARGETS_MAX 32	/* distinct functions called from one body */
#define TRACE_BACK  250 /* instructions from a call back to the function's entry */
#define ARGS_BACK   10	/* the second argument is set this shortly before the call */

#define WORD	    8
#define UP_MAX	    4096

struct callee {
	uint64_t vaddr;
	unsigned calls;	    /* with both arguments set, rsi = the caller's rdi */
	unsigned all_calls; /* with rsi set */
};

static enum flow_step is_first_argument(void *ctx, const struct code *code,
					const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];

	if (insn_writes(in, at->reg))
		return insn_is_copy(in)
			       ? (at->idx == 0 && in->src_reg == REG_RDI ? FLOW_DONE : FLOW_ON)
			       : FLOW_CUT;
	return at->idx == 0 && at->reg == REG_RDI ? FLOW_DONE : FLOW_ON;
}

static enum flow_step is_set(void *ctx, const struct code *code, const struct flow_place *at)
{
	const struct insn *in = &code->insns[at->idx];

	if (in->op == OP_CALL || in->op == OP_CALL_IND)
		return FLOW_CUT;
	return insn_writes(in, at->reg) ? FLOW_DONE : FLOW_ON;
}

/* Functions called from a body with both arguments set. Returns: number of them. */
static size_t callees_collect(const struct code *body, struct callee *list)
{
	size_t n = 0;

	for (size_t i = 0; i < body->count; i++) {
		const struct insn *in = &body->insns[i];
		uint64_t target;
		size_t k;

		if (in->op != OP_CALL)
			continue;
		target = insn_target_vaddr(body, i);
		if (!flow_back(body, i, REG_RSI, ARGS_BACK, is_set, NULL) ||
		    !flow_back(body, i, REG_RDI, ARGS_BACK, is_set, NULL))
			continue;
		for (k = 0; k < n && list[k].vaddr != target; k++)
			;
		if (k == TARGETS_MAX)
			continue;
		if (k == n)
			list[n++] = (struct callee){.vaddr = target};
		list[k].all_calls++;
		list[k].calls += flow_back(body, i, REG_RSI, TRACE_BACK, is_first_argument, NULL);
	}
	return n;
}

static unsigned calls_from(const struct elf_image *img, const char *caller, uint64_t callee)
{
	const struct elf_symbol *sym = elf_image_symbol(img, caller);
	struct callee list[TARGETS_MAX];
	unsigned calls = 0;
	struct code body;
	size_t n;

	if (!sym || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return 0;
	n = callees_collect(&body, list);
	for (size_t k = 0; k < n; k++)
		if (list[k].vaddr == callee)
			calls = list[k].all_calls;
	decode_release(&body);
	return calls;
}

/* The best candidate in malloc's body. Returns: number of calls of it; 0 = none, or two are alike. */
static unsigned best_callee(const struct elf_image *img, uint64_t *vaddr)
{
	const struct elf_symbol *sym = elf_image_symbol(img, "malloc");
	struct callee list[TARGETS_MAX];
	unsigned best = 0, second = 0;
	struct code body;
	size_t n;

	if (!sym || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return 0;
	n = callees_collect(&body, list);
	for (size_t k = 0; k < n; k++) {
		if (list[k].calls > best) {
			second = best;
			best = list[k].calls;
			*vaddr = list[k].vaddr;
		} else if (list[k].calls > second) {
			second = list[k].calls;
		}
	}
	decode_release(&body);
	return best > second ? best : 0;
}

struct walk_place {
	struct stack_place stack;
	bool seen, pending;
};

struct stack_walk {
	const struct code *body;
	struct walk_place *at; /* by instruction */
	size_t *todo;	       /* at most one entry an instruction */
	size_t len;
};

/* Control reaches idx with this stack. */
static void stack_meet(struct stack_walk *w, size_t idx, const struct stack_place *stack)
{
	struct walk_place *p;
	bool changed;

	if (idx == CODE_NONE)
		return;
	p = &w->at[idx];
	changed = !p->seen;
	if (p->seen)
		changed = stack_merge(&p->stack, stack);
	else
		p->stack = *stack;
	p->seen = true;
	if (changed && !p->pending) {
		p->pending = true;
		w->todo[w->len++] = idx;
	}
}

/* Follow control from the first instruction until nothing changes: at most 3 visits of each. */
static void stack_follow(struct stack_walk *w)
{
	const struct stack_place entry = {.depth = 0, .frame = STACK_LOST};

	stack_meet(w, 0, &entry);
	while (w->len) {
		size_t idx = w->todo[--w->len];
		const struct insn *in = &w->body->insns[idx];
		struct stack_place after = stack_after(in, &w->at[idx].stack);

		w->at[idx].pending = false;
		if (decode_falls_through(in))
			stack_meet(w, decode_next(w->body, idx), &after);
		if (in->op == OP_JCC || in->op == OP_JMP)
			stack_meet(w, decode_target(w->body, idx), &after);
	}
}

static void slow_calls_take(const struct stack_walk *w, struct libc_sites *s)
{
	for (size_t i = 0; i < w->body->count && s->slow_call_count < TM_SLOW_CALLS; i++) {
		const struct insn *in = &w->body->insns[i];
		int32_t up =
			w->at[i].stack.depth + WORD; /* the call pushes its own return address */

		if (in->op != OP_CALL ||
		    insn_target_vaddr(w->body, i) != s->slow_malloc.entry_vaddr)
			continue;
		if (!w->at[i].seen || w->at[i].stack.depth == STACK_LOST || up % WORD ||
		    up > UP_MAX)
			continue;
		s->slow_calls[s->slow_call_count++] = (struct slow_call){
			.ret_vaddr = insn_vaddr(w->body, i) + in->len, .up_bytes = (uint16_t)up};
	}
}

/* The calls of the slow path in one function, where its stack can be followed. */
static void slow_calls_find(const struct elf_image *img, const char *caller, struct libc_sites *s)
{
	const struct elf_symbol *sym = elf_image_symbol(img, caller);
	struct stack_walk w = {.len = 0};
	struct code body;

	/* Without a size a call that never returns would lead into the next function. */
	if (!sym || !sym->len || fn_body_decode(img, sym->vaddr, sym->len, &body))
		return;
	w.body = &body;
	w.at = calloc(body.count + 1, sizeof(*w.at));
	w.todo = calloc(body.count + 1, sizeof(*w.todo));
	if (w.at && w.todo && body.count) {
		stack_follow(&w);
		slow_calls_take(&w, s);
	}
	free(w.at);
	free(w.todo);
	decode_release(&body);
}

static void slow_calls_of(const struct elf_image *img, const char *caller, bool tail,
			  struct libc_sites *s)
{
	if (tail)
		slow_graph_take(img, caller, s);
	else
		slow_calls_find(img, caller, s);
}

void slow_malloc_find(const struct elf_image *img, struct libc_sites *s, char *reason, size_t len)
{
	const struct elf_symbol *at;
	unsigned from_malloc, from_calloc;
	struct fn_site site;
	bool tail;
	uint64_t vaddr = 0;

	s->slow_malloc = (struct fn_site){.present = false};
	s->slow_call_count = 0;
	from_malloc = best_callee(img, &vaddr);
	tail = from_malloc < 2;
	if (tail)
		from_malloc = slow_graph_best(img, &vaddr);
	if (from_malloc < 2) {
		snprintf(reason, len,
			 "slow path not found: malloc calls no function twice with its size");
		return;
	}
	from_calloc = tail ? slow_graph_calls_from(img, "calloc", vaddr)
			   : calls_from(img, "calloc", vaddr);
	at = elf_image_symbol_at(img, vaddr);
	if (from_calloc == 0) {
		snprintf(reason, len, "slow path not proven: calloc does not call 0x%llx",
			 (unsigned long long)vaddr);
		return;
	}
	if (at && at->vaddr == vaddr && strcmp(at->name, "_int_malloc") != 0) {
		snprintf(reason, len, "slow path not proven: it would be %.40s", at->name);
		return;
	}
	if (fn_site_at(img, vaddr, 0, 1u << REG_RDI | 1u << REG_RSI, &site)) {
		snprintf(reason, len, "slow path not proven: 0x%llx is not code",
			 (unsigned long long)vaddr);
		return;
	}
	s->slow_malloc = site;
	slow_calls_of(img, "malloc", tail, s);
	slow_calls_of(img, "calloc", tail, s);
	snprintf(reason, len, "slow path 0x%llx (%u calls in malloc, %u in calloc)",
		 (unsigned long long)vaddr, from_malloc, from_calloc);
}
