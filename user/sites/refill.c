/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The refill function: what the equal edge of nearly all pop sites calls. */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sites/flow.h"
#include "sites/python_pops.h"

#define REFILL_AHEAD 14 /* from the jump to the call */
#define SITE_CALLS   8	/* distinct calls looked at per site */

/* One call reached from the equal edge of a pop site. */
struct reach {
	uint64_t target_off;
	uint32_t call_idx;
	uint32_t site;
};

struct reach_walk {
	struct reach calls[SITE_CALLS];
	unsigned count;
	uint32_t site;
};

static enum flow_step reach_call(void *ctx, const struct code *code, size_t idx,
				 const struct flow_state *st)
{
	struct reach_walk *w = ctx;
	const struct insn *in = &code->insns[idx];

	if (in->op == OP_CALL_IND || in->op == OP_JMP_IND)
		return FLOW_CUT;
	if (in->op != OP_CALL && in->op != OP_JMP)
		return FLOW_ON;
	if (in->imm >= 0 && w->count < SITE_CALLS)
		w->calls[w->count++] = (struct reach){.target_off = (uint64_t)in->imm,
						      .call_idx = (uint32_t)idx,
						      .site = w->site};
	return in->op == OP_CALL ? FLOW_CUT : FLOW_ON;
}

static int reach_cmp(const void *a, const void *b)
{
	const struct reach *x = a, *y = b;

	if (x->target_off != y->target_off)
		return x->target_off < y->target_off ? -1 : 1;
	return x->site < y->site ? -1 : x->site > y->site;
}

/* Calls that the equal edges reach, sorted by target, then site. */
static size_t reach_collect(const struct code *code, const struct site_list *pops,
			    struct reach *all)
{
	size_t n = 0;

	for (size_t i = 0; i < pops->count; i++) {
		struct reach_walk w = {.site = (uint32_t)i};
		size_t idx = decode_find(code, pops->v[i].vaddr), from;

		if (pops->v[i].after_pop || idx == CODE_NONE)
			continue;
		from = code->insns[idx].cc == CC_E ? decode_target(code, idx)
						   : decode_next(code, idx);
		if (from != CODE_NONE)
			flow_ahead(code, from, REFILL_AHEAD, reach_call, &w);
		for (unsigned k = 0; k < w.count; k++)
			all[n++] = w.calls[k];
	}
	qsort(all, n, sizeof(*all), reach_cmp);
	return n;
}

static bool is_reached(const struct reach *all, size_t n, size_t call_idx)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].call_idx == call_idx)
			return true;
	return false;
}

/* Completeness: every call of the function in the text should lie behind a pop site. */
static void count_calls(const struct code *code, const struct reach *all, size_t n,
			struct refill *out)
{
	uint64_t off = out->vaddr - code->base_vaddr;

	for (size_t i = 0; i < code->count; i++) {
		const struct insn *in = &code->insns[i];

		if ((in->op != OP_CALL && in->op != OP_JMP) || in->imm < 0 ||
		    (uint64_t)in->imm != off)
			continue;
		out->calls++;
		out->calls_missed += !is_reached(all, n, i);
	}
}

/* A jump counts as a tail call only when its target is called from somewhere too. */
static bool is_called(const struct reach *all, size_t from, size_t to, const struct code *code)
{
	for (size_t i = from; i < to; i++)
		if (code->insns[all[i].call_idx].op == OP_CALL)
			return true;
	return false;
}

int refill_find(const struct code *code, const struct site_list *pops, struct refill *out)
{
	_cleanup_free_ struct reach *all = calloc(pops->count * SITE_CALLS + 1, sizeof(*all));
	size_t n;

	if (!all)
		return -ENOMEM;
	*out = (struct refill){0};
	n = reach_collect(code, pops, all);
	for (size_t i = 0, j; i < n; i = j) {
		size_t votes = 0;

		for (j = i; j < n && all[j].target_off == all[i].target_off; j++)
			votes += j == i || all[j].site != all[j - 1].site;
		if (!is_called(all, i, j, code))
			continue;
		if (votes > out->votes) {
			out->best_other = out->votes;
			out->votes = votes;
			out->vaddr = code->base_vaddr + all[i].target_off;
		} else if (votes > out->best_other) {
			out->best_other = votes;
		}
	}
	if (out->vaddr)
		count_calls(code, all, n, out);
	return 0;
}
