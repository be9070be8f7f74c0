/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stacks that a format does not tell apart become one. By sorting, not by hashing: the order is wanted as
 * well. Ids stand for names, so that the order is that of first sight, not of the alphabet.
 */
#include <errno.h>
#include <stdlib.h>

#include "report/export_priv.h"

struct order {
	const struct snapshot *s;
	enum export_grouping by;
};

static int compare_u32(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_frames(const struct snap_frame *a, const struct snap_frame *b)
{
	int c = compare_u32(a->file.v, b->file.v);

	if (!c)
		c = compare_u32(a->function.v, b->function.v);
	return c ? c : (a->line > b->line) - (a->line < b->line);
}

/* From the outermost frame on: stacks with a common root stand together. */
static int compare_stacks(const struct order *o, uint32_t a, uint32_t b)
{
	struct export_stack x = export_stack_of(o->s, &o->s->stacks[a]);
	struct export_stack y = export_stack_of(o->s, &o->s->stacks[b]);
	size_t common = x.count < y.count ? x.count : y.count;

	if (o->by == EXPORT_BY_SITE) {
		int c = compare_frames(&x.frames[0], &y.frames[0]);

		return c ? c : compare_u32(x.domain, y.domain);
	}
	for (size_t i = 1; i <= common; i++) {
		int c = compare_frames(&x.frames[x.count - i], &y.frames[y.count - i]);

		if (c)
			return c;
	}
	return (x.count > y.count) - (x.count < y.count);
}

static int compare_groups(const void *a, const void *b, void *ctx)
{
	const struct export_group *x = a, *y = b;
	int c = compare_stacks(ctx, x->stack, y->stack);

	return c ? c : compare_u32(x->stack, y->stack); /* qsort_r() keeps no order */
}

/* Sums stay below 2^63: what one process can have allocated in a century. */
static void merge_group(struct export_group *into, const struct export_group *g)
{
	for (int v = 0; v < EXPORT_VALUES; v++)
		into->values[v] += g->values[v];
	into->alloc_known &= g->alloc_known;
}

int export_group_stacks(const struct snapshot *s, enum export_grouping by,
			struct export_group **groups, size_t *count, uint32_t *group_of)
{
	struct order order = {s, by};
	struct export_group *g = calloc(s->stack_count + 1, sizeof(*g));
	size_t n = 0;

	if (!g)
		return -ENOMEM;
	for (size_t i = 0; i < s->stack_count; i++) {
		g[i].stack = (uint32_t)i;
		g[i].alloc_known = export_alloc_known(&s->stacks[i]);
		export_values(&s->stacks[i], g[i].values);
	}
	if (s->stack_count)
		qsort_r(g, s->stack_count, sizeof(*g), compare_groups, &order);
	for (size_t i = 0; i < s->stack_count; i++) {
		uint32_t stack = g[i].stack;

		if (n && !compare_stacks(&order, g[n - 1].stack, g[i].stack))
			merge_group(&g[n - 1], &g[i]);
		else
			g[n++] = g[i];
		if (group_of)
			group_of[stack] = (uint32_t)n - 1;
	}
	*groups = g;
	*count = n;
	return 0;
}
