/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds _int_malloc() where malloc() itself only looks into the thread's cache and jumps to a function that
 * calls _int_malloc() (glibc 2.42 on): over all that control reaches from malloc's entry.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "sites/fn_result.h"
#include "sites/libc_slow.h"

#define TARGETS_MAX 32
#define WORD	    8
#define UP_MAX	    4096

static int graph_of(const struct elf_image *img, const char *name, struct fn_graph *g)
{
	const struct elf_symbol *sym = elf_image_symbol(img, name);
	_cleanup_free_ struct fn_scope *scope = calloc(1, sizeof(*scope));

	if (!sym || !scope)
		return -1;
	scope->img = img;
	return fn_graph_build(scope, sym->vaddr, g);
}

static bool is_call_of(const struct fn_node *n, uint64_t vaddr)
{
	return n->in.op == OP_CALL && n->target == vaddr;
}

static unsigned calls_in(const struct fn_graph *g, uint64_t vaddr, const uint16_t *args)
{
	unsigned calls = 0;

	for (size_t i = 0; i < g->count; i++)
		calls += is_call_of(&g->nodes[i], vaddr) &&
			 (!args || (args[i] >> REG_RSI & 1 && !(args[i] >> REG_RDI & 1)));
	return calls;
}

unsigned slow_graph_best(const struct elf_image *img, uint64_t *vaddr)
{
	_cleanup_free_ uint16_t *args = NULL;
	unsigned best = 0, second = 0;
	struct fn_graph g;

	if (graph_of(img, "malloc", &g))
		return 0;
	args = calloc(g.count + 1, sizeof(*args));
	if (args)
		fn_first_argument(&g, args);
	for (size_t i = 0; args && !g.cut && i < g.count; i++) {
		const struct fn_node *n = &g.nodes[i];
		unsigned calls = n->in.op == OP_CALL ? calls_in(&g, n->target, args) : 0;

		if (!calls || n->target == *vaddr)
			continue;
		if (calls > best) {
			second = best;
			best = calls;
			*vaddr = n->target;
		} else if (calls > second) {
			second = calls;
		}
	}
	fn_graph_release(&g);
	return best > second ? best : 0;
}

unsigned slow_graph_calls_from(const struct elf_image *img, const char *caller, uint64_t vaddr)
{
	struct fn_graph g;
	unsigned calls;

	if (graph_of(img, caller, &g))
		return 0;
	calls = g.cut ? 0 : calls_in(&g, vaddr, NULL);
	fn_graph_release(&g);
	return calls;
}

static bool is_known(const struct libc_sites *s, uint64_t ret_vaddr)
{
	for (size_t i = 0; i < s->slow_call_count; i++)
		if (s->slow_calls[i].ret_vaddr == ret_vaddr)
			return true;
	return false;
}

void slow_graph_take(const struct elf_image *img, const char *caller, struct libc_sites *s)
{
	struct fn_graph g;

	if (graph_of(img, caller, &g))
		return;
	for (size_t i = 0; !g.cut && i < g.count && s->slow_call_count < TM_SLOW_CALLS; i++) {
		const struct fn_node *n = &g.nodes[i];
		int32_t up = n->stack.depth + WORD; /* the call pushes its own return address */

		if (!is_call_of(n, s->slow_malloc.entry_vaddr) || n->stack.depth == STACK_LOST ||
		    up % WORD || up > UP_MAX || is_known(s, n->vaddr + n->in.len))
			continue;
		s->slow_calls[s->slow_call_count++] = (struct slow_call){
			.ret_vaddr = n->vaddr + n->in.len, .up_bytes = (uint16_t)up};
	}
	fn_graph_release(&g);
}
