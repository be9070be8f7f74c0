/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Backwards over the graph: in which registers the value that will be returned lies already. At a ret
 * it is rax; a register copy moves the knowledge to the source, any other write of the register ends it,
 * and where paths meet only what all of them agree on holds. Then a smallest set of sites is chosen.
 */
#include "sites/fn_result.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define IN_REG(r)    (1u << (r))
#define IS_NOTHING   (1u << 16) /* 0, or nothing more will be stored */
#define IS_FORWARDED (1u << 17)
#define ANYTHING     0x3ffffu
#define REGISTERS    0xffffu
#define CALLER_SAVED 0x0fc7u /* System V ABI 3.2.1 */

#define SP_BYTES_MAX 2040
#define WORD	     8
#define CANDIDATES   512
#define EDGE_NEXT    1u
#define EDGE_TAKEN   2u
#define TEST_BACK    6 /* instructions from a jump back to its test */

struct result_walk {
	const struct fn_scope *scope;
	const struct elf_image *img;
	const struct fn_graph *g;
	uint32_t *known;     /* by node: where the result is before it */
	uint16_t *first_arg; /* by node: registers that hold the first argument; NULL = not asked */
	uint32_t *preds;     /* by node: number of predecessors, the only one in pred */
	uint32_t *pred;
	bool *stored; /* by node: after a store through the first argument */
	bool *chosen;
	uint8_t *edges; /* by node: of a conditional jump only these ways out are a site */
	bool *mark;
	uint32_t *stack;
};

static bool is_copy_zero(const struct insn *in)
{
	if (in->dst != OPERAND_REG || in->width < 4)
		return false;
	return (in->op == OP_XOR && in->src == OPERAND_REG && in->src_reg == in->dst_reg) ||
	       (in->op == OP_MOV && in->src == OPERAND_IMM && in->imm == 0);
}

static bool is_result_store(const struct result_walk *w, uint32_t idx)
{
	const struct insn *in = &w->g->nodes[idx].in;

	return w->first_arg && in->op == OP_MOV && in->dst == OPERAND_MEM && in->width == WORD &&
	       in->base < 16 && insn_mem_is(in, in->base, 0) &&
	       (w->first_arg[idx] & IN_REG(in->base));
}

/* Where the result is before the instruction, by where it is after it. */
static uint32_t known_before(const struct result_walk *w, uint32_t idx, uint32_t after)
{
	const struct fn_node *n = &w->g->nodes[idx];
	const struct insn *in = &n->in;
	uint32_t before = after & ~(uint32_t)in->writes;

	if (is_result_store(w, idx))
		return in->src == OPERAND_REG && in->src_reg < 16 ? IN_REG(in->src_reg) : 0;
	if (in->op == OP_CALL && (after & IN_REG(REG_RAX)) && fn_is_memset(w->img, n->target))
		return before | IN_REG(REG_RDI);
	if (in->dst != OPERAND_REG || in->dst_reg > 15 || !(after & IN_REG(in->dst_reg)))
		return before;
	if (insn_is_copy(in) && in->src_reg < 16)
		return before | IN_REG(in->src_reg);
	return is_copy_zero(in) ? before | IS_NOTHING : before;
}

/* The register that the jump at idx finds to be 0 or not, REG_NONE. */
static uint8_t tested_register(const struct result_walk *w, uint32_t idx)
{
	uint8_t reg = REG_NONE;

	for (unsigned back = 0; back < TEST_BACK && w->preds[idx] == 1; back++) {
		const struct insn *in;

		idx = w->pred[idx];
		in = &w->g->nodes[idx].in;
		if (in->op == OP_JCC || in->op == OP_CALL || in->op == OP_CALL_IND)
			return REG_NONE;
		if (!(in->flags & INSN_FLAGS_WRITE))
			continue;
		if (in->op == OP_TEST && in->width == WORD && in->dst == OPERAND_REG &&
		    in->src == OPERAND_REG && in->dst_reg == in->src_reg)
			reg = in->dst_reg;
		break;
	}
	return reg;
}

/* Is reg as the test saw it when control comes to the jump? */
static bool is_untouched(const struct result_walk *w, uint32_t idx, uint8_t reg)
{
	while (!(w->g->nodes[w->pred[idx]].in.flags & INSN_FLAGS_WRITE)) {
		idx = w->pred[idx];
		if (insn_writes(&w->g->nodes[idx].in, reg))
			return false;
	}
	return true;
}

/* After a conditional jump: on the edge where a register is 0, "nothing" and that register are one. */
static uint32_t known_after_jcc(const struct result_walk *w, uint32_t idx)
{
	const struct fn_node *n = &w->g->nodes[idx];
	uint32_t next = n->next == FN_NODE_NONE ? ANYTHING : w->known[n->next];
	uint32_t taken = n->taken == FN_NODE_NONE ? ANYTHING : w->known[n->taken];
	uint8_t reg;

	if (n->in.cc != CC_E && n->in.cc != CC_NE)
		return next & taken;
	reg = tested_register(w, idx);
	if (reg > 15 || !is_untouched(w, idx, reg))
		return next & taken;
	if (n->in.cc == CC_E && (taken & IS_NOTHING))
		taken |= IN_REG(reg);
	if (n->in.cc == CC_NE && (next & IS_NOTHING))
		next |= IN_REG(reg);
	return next & taken;
}

static uint32_t known_at(const struct result_walk *w, uint32_t idx)
{
	const struct fn_node *n = &w->g->nodes[idx];
	uint32_t after;

	switch (n->exit) {
	case FN_RET:
		return w->first_arg ? IS_NOTHING : IN_REG(REG_RAX);
	case FN_TAIL:
		return fn_is_memset(w->img, n->vaddr) ? IN_REG(REG_RDI) : IS_FORWARDED;
	case FN_HOOK:
		return IS_FORWARDED;
	case FN_LOST:
		return 0;
	default:
		break;
	}
	if (n->in.op == OP_JCC)
		return known_after_jcc(w, idx);
	after = ANYTHING;
	if (n->next != FN_NODE_NONE)
		after &= w->known[n->next];
	if (n->taken != FN_NODE_NONE)
		after &= w->known[n->taken];
	/* From here nothing returns: any claim holds. */
	return after == ANYTHING ? ANYTHING : known_before(w, idx, after);
}

/* Ends, because knowledge only shrinks: 18 bits a node bound the rounds. */
static void known_solve(struct result_walk *w)
{
	bool changed = true;

	for (size_t i = 0; i < w->g->count; i++)
		w->known[i] = ANYTHING;
	while (changed) {
		changed = false;
		for (size_t i = w->g->count; i-- > 0;) {
			uint32_t k = w->known[i] & known_at(w, (uint32_t)i);

			changed |= k != w->known[i];
			w->known[i] = k;
		}
	}
}

static void first_arg_meet(uint16_t *at, uint32_t to, uint16_t regs, bool *changed)
{
	uint16_t was;

	if (to == FN_NODE_NONE)
		return;
	was = at[to];
	at[to] &= regs;
	*changed |= was != at[to];
}

void fn_first_argument(const struct fn_graph *g, uint16_t *at)
{
	bool changed = true;

	for (size_t i = 0; i < g->count; i++)
		at[i] = i ? REGISTERS : IN_REG(REG_RDI);
	while (changed) {
		changed = false;
		for (size_t i = 0; i < g->count; i++) {
			const struct fn_node *n = &g->nodes[i];
			uint16_t regs = at[i] & (uint16_t)~n->in.writes;

			if (insn_is_copy(&n->in) && n->in.src_reg < 16 && n->in.dst_reg < 16 &&
			    (at[i] & IN_REG(n->in.src_reg)))
				regs |= (uint16_t)IN_REG(n->in.dst_reg);
			first_arg_meet(at, n->next, regs, &changed);
			first_arg_meet(at, n->taken, regs, &changed);
		}
	}
}

static void preds_count(struct result_walk *w)
{
	for (uint32_t i = 0; i < w->g->count; i++) {
		const uint32_t to[2] = {w->g->nodes[i].next, w->g->nodes[i].taken};

		for (unsigned k = 0; k < ARRAY_LEN(to); k++) {
			if (to[k] == FN_NODE_NONE)
				continue;
			w->preds[to[k]]++;
			w->pred[to[k]] = i;
		}
	}
	w->preds[0]++; /* the caller */
}

static bool is_chosen(const struct result_walk *w, uint32_t idx)
{
	return w->chosen[idx];
}

/*
 * Visit what control can reach after node `from`, not through nodes for which blocks() holds (those are
 * visited, but not passed). Marks in w->mark.
 */
static void reach_after(struct result_walk *w, uint32_t from,
			bool (*blocks)(const struct result_walk *w, uint32_t idx))
{
	size_t len = 0;

	for (size_t i = 0; i < w->g->count; i++)
		w->mark[i] = false;
	w->stack[len++] = from;
	while (len) {
		uint32_t idx = w->stack[--len];
		const uint32_t to[2] = {w->g->nodes[idx].next, w->g->nodes[idx].taken};

		if (idx != from && blocks && blocks(w, idx))
			continue;
		for (unsigned k = 0; k < ARRAY_LEN(to); k++) {
			if (to[k] == FN_NODE_NONE || w->mark[to[k]] ||
			    (blocks == is_chosen && w->edges[idx] >> k & 1))
				continue;
			w->mark[to[k]] = true;
			w->stack[len++] = to[k];
		}
	}
}

static bool is_without_block(const struct result_walk *w, uint32_t idx)
{
	return (w->known[idx] & (IS_NOTHING | IS_FORWARDED)) && !w->stored[idx];
}

/* An exit that control reaches without a chosen site, FN_NODE_NONE when all are covered. */
static uint32_t uncovered_exit(struct result_walk *w)
{
	reach_after(w, 0, is_chosen);
	for (uint32_t i = 0; i < w->g->count; i++)
		if (w->mark[i] && w->g->nodes[i].exit && !w->chosen[i])
			return i;
	return FN_NODE_NONE;
}

static bool can_be_site(const struct result_walk *w, uint32_t idx)
{
	const struct fn_node *n = &w->g->nodes[idx];

	return n->stack.depth >= 0 && n->stack.depth % WORD == 0 &&
	       n->stack.depth <= SP_BYTES_MAX && !w->stored[idx];
}

/*
 * Run once a call, and last: a nested call of the family after it would pass for an outermost one, as
 * the outer one is finished by then.
 */
static bool is_run_once_and_last(struct result_walk *w, uint32_t idx, uint32_t from)
{
	reach_after(w, from, NULL);
	w->mark[from] = true;
	if (from != idx && w->mark[idx])
		return false;
	for (size_t i = 0; i < w->g->count; i++) {
		const struct fn_node *n = &w->g->nodes[i];

		if (w->mark[i] && n->in.op == OP_CALL && fn_scope_has(w->scope, n->target))
			return false;
	}
	return true;
}

static bool is_in_loop(struct result_walk *w, uint32_t idx)
{
	reach_after(w, idx, NULL);
	return w->mark[idx];
}

/* The emulated instructions at which the result is known, once a call. Returns: number of them. */
static size_t candidates_collect(struct result_walk *w, const struct result_query *q,
				 uint32_t list[CANDIDATES])
{
	size_t n = 0;

	for (uint32_t i = 1; i < w->g->count && n < CANDIDATES; i++) {
		const struct fn_node *node = &w->g->nodes[i];

		if (!node->exit && (node->in.flags & INSN_EMULATED) && w->known[i] &&
		    node->vaddr != q->entry_site && can_be_site(w, i) && !is_in_loop(w, i) &&
		    is_run_once_and_last(w, i, i))
			list[n++] = i;
	}
	return n;
}

/* Does a path to this ret end with nothing allocated, always? Then what it costs does not matter. */
static bool is_only_failure(struct result_walk *w, uint32_t exit)
{
	if (w->g->nodes[exit].exit != FN_RET)
		return false;
	reach_after(w, 0, is_without_block);
	return !w->mark[exit];
}

static uint32_t edge_target(const struct result_walk *w, uint32_t idx, unsigned edge)
{
	return edge == EDGE_NEXT ? w->g->nodes[idx].next : w->g->nodes[idx].taken;
}

/* Where the result is on one way out of a conditional jump. */
static uint32_t known_on_edge(const struct result_walk *w, uint32_t idx, unsigned edge)
{
	uint32_t to = edge_target(w, idx, edge);

	return to == FN_NODE_NONE ? 0 : w->known[to];
}

/* Does the way out lead to the exit without another site? */
static bool edge_leads_to(struct result_walk *w, uint32_t idx, unsigned edge, uint32_t exit)
{
	uint32_t to = edge_target(w, idx, edge);

	if (to == exit)
		return true;
	if (w->chosen[to])
		return false;
	reach_after(w, to, is_chosen);
	return w->mark[exit];
}

/*
 * A conditional jump can be a site for one of its ways out alone: the flags tell which one it will take.
 * Take those that close the ways to this exit. Returns: false when that is not possible, nothing is chosen.
 */
static bool edges_choose(struct result_walk *w, const struct result_query *q, uint32_t exit)
{
	_cleanup_free_ uint8_t *was = calloc(w->g->count + 1, 1);
	_cleanup_free_ bool *reached = calloc(w->g->count + 1, sizeof(*reached));

	if (!was || !reached)
		return false;
	memcpy(was, w->edges, w->g->count);
	reach_after(w, 0, is_chosen);
	memcpy(reached, w->mark, w->g->count * sizeof(*reached));
	for (uint32_t i = 1; i < w->g->count; i++) {
		const struct fn_node *n = &w->g->nodes[i];

		if (!reached[i] || w->chosen[i] || n->exit || n->in.op != OP_JCC ||
		    !(n->in.flags & INSN_EMULATED) || n->vaddr == q->entry_site ||
		    !can_be_site(w, i) || is_in_loop(w, i))
			continue;
		for (unsigned e = EDGE_NEXT; e <= EDGE_TAKEN; e++)
			if (!(w->edges[i] & e) && known_on_edge(w, i, e) &&
			    edge_leads_to(w, i, e, exit) &&
			    is_run_once_and_last(w, i, edge_target(w, i, e)))
				w->edges[i] |= (uint8_t)e;
	}
	reach_after(w, 0, is_chosen);
	if (!w->mark[exit])
		return true;
	memcpy(w->edges, was, w->g->count);
	return false;
}

static void edges_prune(struct result_walk *w)
{
	for (uint32_t i = 0; i < w->g->count; i++) {
		uint8_t was = w->edges[i];

		if (!was)
			continue;
		w->edges[i] = 0;
		if (w->chosen[i] || uncovered_exit(w) == FN_NODE_NONE)
			continue;
		w->edges[i] = was;
	}
}

/* Paths without any candidate get their exit instruction. Returns: 0, -ENOENT. */
static int exits_choose(struct result_walk *w, const struct result_query *q, const char **why)
{
	for (;;) {
		uint32_t idx = uncovered_exit(w);

		if (idx == FN_NODE_NONE)
			return 0;
		*why = "control leaves in an unsupported way";
		if (w->g->nodes[idx].exit == FN_LOST)
			return -ENOENT;
		if (!is_only_failure(w, idx) && edges_choose(w, q, idx))
			continue;
		*why = "a path goes on in another function without a jump to probe";
		if (w->g->nodes[idx].exit == FN_TAIL)
			return -ENOENT;
		*why = "the stack depth at a return is not known";
		if (w->g->nodes[idx].stack.depth != 0)
			return -ENOENT;
		w->chosen[idx] = true;
	}
}

static void candidates_prune(struct result_walk *w, const uint32_t *list, size_t n, bool latest)
{
	for (size_t i = 0; i < n; i++)
		w->chosen[list[i]] = true;
	for (size_t i = 0; i < n; i++) {
		uint32_t idx = list[latest ? i : n - 1 - i];

		w->chosen[idx] = false;
		if (uncovered_exit(w) != FN_NODE_NONE)
			w->chosen[idx] = true;
	}
}

static bool is_site(const struct result_walk *w, uint32_t idx)
{
	return w->chosen[idx] || w->edges[idx];
}

/* The most chosen sites that one call can run: the longest path by their number. Sites are in no loop. */
static unsigned crossings_max(struct result_walk *w, uint32_t *count)
{
	bool changed = true;
	unsigned most = 0;

	for (size_t i = 0; i < w->g->count; i++)
		count[i] = is_site(w, (uint32_t)i);
	while (changed) {
		changed = false;
		for (size_t i = 0; i < w->g->count; i++) {
			const uint32_t to[2] = {w->g->nodes[i].next, w->g->nodes[i].taken};

			most = count[i] > most ? count[i] : most;
			for (unsigned k = 0; k < ARRAY_LEN(to); k++) {
				if (to[k] == FN_NODE_NONE ||
				    count[to[k]] >= count[i] + is_site(w, to[k]))
					continue;
				count[to[k]] = count[i] + is_site(w, to[k]);
				changed = true;
			}
		}
	}
	return most;
}

static uint8_t site_register(uint32_t known)
{
	for (uint8_t r = 0; r < 16; r++)
		if (known & IN_REG(r))
			return r;
	return REG_NONE;
}

/* edge: EDGE_*, 0 = the whole instruction */
static struct result_site site_of(const struct result_walk *w, uint32_t idx, unsigned edge)
{
	const struct fn_node *n = &w->g->nodes[idx];
	uint32_t known = edge ? known_on_edge(w, idx, edge) : w->known[idx];
	struct result_site s = {.vaddr = n->vaddr,
				.sp_bytes = (uint16_t)n->stack.depth,
				.cc = TM_RESULT_ALWAYS,
				.single_step = !(n->in.flags & INSN_EMULATED)};

	if (edge)
		s.cc = edge == EDGE_TAKEN ? n->in.cc : n->in.cc ^ 1; /* Intel SDM vol. 2, B.1.4.7 */
	if (w->first_arg && n->exit == FN_RET) {
		s.kind = TM_RESULT_BY_POINTER;
		s.reg = REG_RAX;
		return s;
	}
	s.reg = site_register(known);
	s.kind = s.reg < 16		  ? TM_RESULT_BLOCK
		 : (known & IS_FORWARDED) ? TM_RESULT_FORWARDED
					  : TM_RESULT_NOTHING;
	return s;
}

static int sites_take(const struct result_walk *w, struct fn_results *out, const char **why)
{
	out->count = 0;
	for (uint32_t i = 0; i < w->g->count; i++) {
		struct result_site s;

		if (!is_site(w, i))
			continue;
		/* Both ways out are known, but not to the same register: one probe cannot serve them. */
		*why = "a jump has two results";
		if (w->edges[i] == (EDGE_NEXT | EDGE_TAKEN))
			return -ENOENT;
		*why = "too many ways out";
		if (out->count == RESULT_SITES_MAX)
			return -ENOENT;
		s = site_of(w, i, w->edges[i]);
		*why = "a site lies outside the file";
		if (!elf_image_file_off(w->img, s.vaddr, &s.file_off))
			return -ENOENT;
		out->v[out->count++] = s;
	}
	*why = "no way out was found";
	return out->count ? 0 : -ENOENT;
}

static int walk_init(struct result_walk *w, const struct fn_scope *scope, const struct fn_graph *g,
		     bool by_pointer)
{
	size_t n = g->count + 1;

	*w = (struct result_walk){.scope = scope, .img = scope->img, .g = g};
	w->known = calloc(n, sizeof(*w->known));
	w->preds = calloc(n, sizeof(*w->preds));
	w->pred = calloc(n, sizeof(*w->pred));
	w->stored = calloc(n, sizeof(*w->stored));
	w->chosen = calloc(n, sizeof(*w->chosen));
	w->edges = calloc(n, sizeof(*w->edges));
	w->mark = calloc(n, sizeof(*w->mark));
	w->stack = calloc(n, sizeof(*w->stack));
	if (by_pointer)
		w->first_arg = calloc(n, sizeof(*w->first_arg));
	if (!w->known || !w->preds || !w->pred || !w->stored || !w->chosen || !w->edges ||
	    !w->mark || !w->stack || (by_pointer && !w->first_arg))
		return -ENOMEM;
	preds_count(w);
	if (by_pointer)
		fn_first_argument(g, w->first_arg);
	known_solve(w);
	for (uint32_t i = 0; by_pointer && i < g->count; i++) {
		if (!is_result_store(w, i))
			continue;
		reach_after(w, i, NULL);
		for (size_t k = 0; k < g->count; k++)
			w->stored[k] |= w->mark[k];
	}
	return 0;
}

static void walk_release(struct result_walk *w)
{
	free(w->known);
	free(w->first_arg);
	free(w->preds);
	free(w->pred);
	free(w->stored);
	free(w->chosen);
	free(w->edges);
	free(w->mark);
	free(w->stack);
}

/* Both orders of leaving candidates out; the one that crosses fewer sites wins. */
static int results_choose(struct result_walk *w, const struct result_query *q,
			  struct fn_results *out, const char **why)
{
	_cleanup_free_ uint32_t *count = calloc(w->g->count + 1, sizeof(*count));
	uint32_t list[CANDIDATES];
	size_t n = candidates_collect(w, q, list);
	unsigned early, late;
	int err;

	if (!count)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		w->chosen[list[i]] = true;
	err = exits_choose(w, q, why);
	if (err)
		return err;
	edges_prune(w);
	candidates_prune(w, list, n, false);
	early = crossings_max(w, count);
	candidates_prune(w, list, n, true);
	late = crossings_max(w, count);
	if (early < late)
		candidates_prune(w, list, n, false);
	out->crossed = early < late ? early : late;
	return sites_take(w, out, why);
}

int fn_results_find(const struct fn_scope *scope, const struct fn_graph *g,
		    const struct result_query *q, struct fn_results *out, const char **why)
{
	struct result_walk w;
	int err;

	*out = (struct fn_results){.count = 0};
	*why = "the function is too long";
	if (g->cut)
		return -ENOENT;
	err = walk_init(&w, scope, g, q->by_pointer);
	if (!err)
		err = results_choose(&w, q, out, why);
	walk_release(&w);
	if (err)
		out->count = 0;
	return err;
}

bool fn_is_forwarder(const struct fn_scope *scope, const struct fn_graph *g)
{
	struct result_walk w;
	bool forwards = false, leaks = g->cut || walk_init(&w, scope, g, false) != 0;

	if (g->cut)
		return false;
	if (!leaks) {
		reach_after(&w, 0, is_without_block);
		for (uint32_t i = 0; i < g->count; i++) {
			forwards |= g->nodes[i].exit == FN_TAIL && (w.known[i] & IS_FORWARDED);
			leaks |= w.mark[i] && g->nodes[i].exit && !is_without_block(&w, i);
		}
	}
	walk_release(&w);
	return forwards && !leaks;
}
