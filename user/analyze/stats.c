/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One pass over the stacks, a hash table of the groups, and an order of the groups at the end. */
#include "analyze/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_group.h"
#include "analyze/stat_key.h"
#include "analyze/stat_order.h"
#include "analyze/stat_table.h"
#include "base/buf.h"

static const char *const key_names[STAT_KEYS] = {
	[STAT_LINENO] = "lineno",     [STAT_FILENAME] = "filename", [STAT_TRACEBACK] = "traceback",
	[STAT_FUNCTION] = "function", [STAT_MODULE] = "module",	    [STAT_THREAD] = "thread",
	[STAT_DOMAIN] = "domain",
};

const char *stat_key_name(enum stat_key key)
{
	return key_names[key];
}

int stat_key_parse(const char *name, enum stat_key *key)
{
	for (int k = 0; k < STAT_KEYS; k++) {
		if (!strcmp(name, key_names[k])) {
			*key = (enum stat_key)k;
			return 0;
		}
	}
	return -EINVAL;
}

bool stat_key_can_cumulate(enum stat_key key)
{
	return key != STAT_TRACEBACK && key != STAT_THREAD && key != STAT_DOMAIN;
}

/* ---- grouping ---- */

struct grouping {
	struct statistics *out;
	const struct stat_opts *opts;
	struct stat_namer namer;
	size_t item_cap;
	struct stat_table index;
	const struct snap_stack **last_stack; /* STAT_EACH_STACK: that a group has counted */
	size_t last_cap;
};

static uint64_t add_capped(uint64_t a, uint64_t b)
{
	uint64_t sum;

	/* The differences of such sums are signed. */
	if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
		return INT64_MAX;
	return sum;
}

static struct statistic *find_group(struct grouping *g, const struct statistic *like, uint64_t hash)
{
	size_t pos = SIZE_MAX;
	uint32_t i;

	while ((i = stat_table_next(&g->index, hash, &pos)) != STAT_TABLE_NONE) {
		if (statistic_equals(g->out, &g->out->items[i], like))
			return &g->out->items[i];
	}
	return NULL;
}

static struct statistic *new_group(struct grouping *g, const struct statistic *like, uint64_t hash)
{
	struct statistics *out = g->out;
	const struct snap_stack **last;
	struct statistic *items;

	items = array_grow(out->items, &g->item_cap, out->count + 1, sizeof(*items));
	if (!items)
		return NULL;
	out->items = items;
	if (g->opts->cumulative == STAT_EACH_STACK) {
		last = array_grow((void *)g->last_stack, &g->last_cap, out->count + 1,
				  sizeof(*last));
		if (!last)
			return NULL;
		g->last_stack = last;
		last[out->count] = NULL;
	}
	if (stat_table_add(&g->index, hash, (uint32_t)out->count))
		return NULL;
	items[out->count] = *like;
	return &items[out->count++];
}

static bool is_bigger(const struct snap_stack *a, const struct snap_stack *b)
{
	return a->bytes != b->bytes ? a->bytes > b->bytes : a->blocks > b->blocks;
}

static int count_stack(struct grouping *g, const struct snap_stack *st,
		       const struct statistic *like)
{
	uint64_t hash = statistic_hash(g->out, like);
	struct statistic *group = find_group(g, like, hash);

	if (!group)
		group = new_group(g, like, hash);
	if (!group)
		return -ENOMEM;
	if (g->last_stack) {
		const struct snap_stack **last = &g->last_stack[group - g->out->items];

		if (*last == st)
			return 0;
		*last = st;
	}
	if (is_bigger(st, group->biggest)) {
		/*
		 * Take its frames too, because whether a frame is native depends on the stack's
		 * domain.
		 */
		group->biggest = st;
		group->frames = like->frames;
		group->is_native = like->is_native;
		group->domain = st->domain;
	}
	group->size = add_capped(group->size, st->bytes);
	group->count = add_capped(group->count, st->blocks);
	return 0;
}

static int group_stack(struct grouping *g, const struct snap_stack *st)
{
	bool once = !st->frame_count || g->opts->cumulative == STAT_OWN;
	struct statistic like;
	int err = 0;

	if (once) {
		err = stat_group_of(&g->namer, st, &like);
		return err ? err : count_stack(g, st, &like);
	}
	for (size_t i = 0; !err && i < st->frame_count; i++) {
		err = stat_group_of_frame(&g->namer, st, i, &like);
		if (!err)
			err = count_stack(g, st, &like);
	}
	return err;
}

static int group_all(struct grouping *g)
{
	const struct snapshot *s = g->out->snap;
	int err = 0;

	for (size_t i = 0; !err && i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		/* A stack whose blocks are all gone is no place that holds memory. */
		if ((!st->bytes && !st->blocks) || (g->opts->skip && g->opts->skip[i]))
			continue;
		err = group_stack(g, st);
		g->out->total_size = add_capped(g->out->total_size, st->bytes);
		g->out->total_count = add_capped(g->out->total_count, st->blocks);
	}
	return err;
}

/* ---- order ---- */

static int cmp_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_by_size(const void *pa, const void *pb, void *arg)
{
	const struct statistic *a = pa, *b = pb;
	int c = cmp_u64(b->size, a->size);

	if (!c)
		c = cmp_u64(b->count, a->count);
	return c ? c : statistic_cmp_key(arg, b, arg, a);
}

static int cmp_by_count(const void *pa, const void *pb, void *arg)
{
	const struct statistic *a = pa, *b = pb;
	int c = cmp_u64(b->count, a->count);

	return c ? c : cmp_by_size(pa, pb, arg);
}

_Static_assert(sizeof(struct statistic) <= STAT_ORDER_SIZE_MAX, "stat_order_top() moves them");

/* ---- public ---- */

int statistics_make(const struct snapshot *s, const struct stat_opts *opts, struct statistics *out)
{
	struct statistics made = {
		.snap = s, .key = opts->key, .split_domains = opts->split_domains};
	struct grouping g = {.out = &made, .opts = opts};
	int err;

	if (opts->cumulative != STAT_OWN && !stat_key_can_cumulate(opts->key))
		return -EINVAL;
	err = stat_namer_init(&g.namer, s, opts->key);
	if (!err)
		err = group_all(&g);
	stat_namer_release(&g.namer);
	stat_table_release(&g.index);
	free(g.last_stack);
	if (err) {
		statistics_release(&made);
		return err;
	}
	if (opts->sort != STAT_UNSORTED)
		stat_order_top(made.items, made.count, sizeof(*made.items), opts->top,
			       opts->sort == STAT_BY_COUNT ? cmp_by_count : cmp_by_size, &made);
	*out = made;
	return 0;
}

void statistics_release(struct statistics *st)
{
	free(st->items);
	*st = (struct statistics){0};
}

const struct snap_frame *statistic_frames(const struct statistic *st, size_t *count)
{
	*count = st->frame_count ? st->frame_count : 1;
	return st->frame_count ? st->frames : &st->top;
}

str_id_t statistic_function(const struct statistics *in, const struct statistic *st)
{
	const struct snap_stack *big = st->biggest;

	if (st->top.function.v || (in->key != STAT_LINENO && in->key != STAT_TRACEBACK))
		return st->top.function;
	for (size_t i = 0; i < big->frame_count; i++) {
		const struct snap_frame *f = &in->snap->frames[big->first_frame + i];

		if (in->key == STAT_TRACEBACK ||
		    stat_place_equals(stat_place(in->snap->strings, big->domain, f), st->top))
			return f->function;
	}
	return (str_id_t){0};
}
