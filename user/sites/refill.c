/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The refill function: what the equal edge of nearly all pop sites calls; and the jumps at which what it
 * returned is seen.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sites/flow.h"
#include "sites/fn_graph.h"
#include "sites/python_pops.h"

#define REFILL_AHEAD 14 /* from the jump to the call */
#define SITE_CALLS   8	/* distinct calls looked at per site */
#define RESULT_AHEAD 16 /* instructions from the call to the jump that sees its result */

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

/* Completeness: every call of the function in the text should follow a pop site. */
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

/*
 * The first emulated instruction after the call, with the block still in a register. Nothing else may lead
 * there: a jump that pops come by, too, would be hit at each of them. Returns: false when there is none.
 */
static bool result_after_call(const struct code *code, size_t call, struct site *out)
{
	uint32_t holders = 1u << REG_RAX;
	size_t idx = decode_next(code, call);

	for (unsigned n = 0; n < RESULT_AHEAD && idx != CODE_NONE && holders; n++) {
		const struct insn *in = &code->insns[idx];
		size_t branches;

		decode_branches_to(code, idx, &branches);
		if (branches)
			return false;
		if (in->flags & INSN_EMULATED) {
			out->vaddr = insn_vaddr(code, idx);
			out->reg = (uint8_t)__builtin_ctz(holders);
			return true;
		}
		if (!decode_falls_through(in) || in->op == OP_JCC || in->op == OP_CALL_IND)
			return false;
		if (insn_is_copy(in) && in->src_reg < 16 && (holders >> in->src_reg & 1))
			holders |= 1u << in->dst_reg;
		else
			holders &= ~(uint32_t)in->writes;
		idx = decode_next(code, idx);
	}
	return false;
}

/* The instruction right after the call: single-stepped, but only this call leads to it. */
static bool result_at_once(const struct code *code, size_t call, struct site *out)
{
	size_t idx = decode_next(code, call), branches;

	if (idx == CODE_NONE)
		return false;
	decode_branches_to(code, idx, &branches);
	switch (code->insns[idx].op) {
	case OP_MOV:
	case OP_LEA:
	case OP_ADD:
	case OP_POP:
	case OP_RET:
	case OP_TEST:
		break;
	default: /* a nop of several bytes must not be probed in mid-function; the others were not seen */
		return false;
	}
	if (branches)
		return false;
	out->vaddr = insn_vaddr(code, idx);
	out->reg = REG_RAX;
	out->single_step = true;
	return true;
}

int refill_results_find(const struct code *code, uint64_t refill_vaddr, struct site_list *out,
			size_t *uncovered)
{
	uint64_t off = refill_vaddr - code->base_vaddr;

	*uncovered = 0;
	for (size_t i = 0; i < code->count; i++) {
		const struct insn *in = &code->insns[i];
		struct site s = {.reg2 = REG_NONE, .evidence = 2, .refill = true};
		int err;

		if ((in->op != OP_CALL && in->op != OP_JMP) || in->imm < 0 ||
		    (uint64_t)in->imm != off)
			continue;
		if (in->op == OP_JMP ||
		    (!result_after_call(code, i, &s) && !result_at_once(code, i, &s))) {
			++*uncovered;
			continue;
		}
		err = site_list_add(out, &s);
		if (err)
			return err;
	}
	site_list_sort(out);
	return 0;
}

int refill_rets_find(const struct elf_image *img, uint64_t refill_vaddr, struct site_list *out)
{
	_cleanup_free_ struct fn_scope *scope = calloc(1, sizeof(*scope));
	struct fn_graph g;
	int err;

	if (!scope)
		return -ENOMEM;
	scope->img = img;
	err = fn_graph_build(scope, refill_vaddr, &g);
	for (size_t i = 0; !err && i < g.count; i++) {
		struct site s = {.vaddr = g.nodes[i].vaddr,
				 .reg = REG_RAX,
				 .reg2 = REG_NONE,
				 .evidence = 2,
				 .single_step = true,
				 .refill = true};

		if (g.nodes[i].exit == FN_RET && elf_image_file_off(img, s.vaddr, &s.file_off))
			err = site_list_add(out, &s);
		else if (g.nodes[i].exit)
			err = -ENOENT;
	}
	if (!err && (g.cut || !out->count))
		err = -ENOENT;
	fn_graph_release(&g);
	site_list_sort(out);
	return err;
}
