/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Old groups are looked up in a hash table of the new ones; those that are not there have vanished. */
#include "analyze/compare.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "analyze/stat_order.h"
#include "analyze/stat_table.h"

/* A group of the old side with ids of the new side's string pool. */
struct translation {
	struct intern *from, *to;
	uint32_t *ids;		   /* of `from` -> of `to` + 1; 0 = not asked yet. NULL: one pool */
	struct snap_frame *frames; /* room for UINT16_MAX */
};

static int translate_id(struct translation *t, str_id_t *id)
{
	str_id_t other;
	int err;

	if (!t->ids || !id->v)
		return 0;
	if (!t->ids[id->v]) {
		err = intern_add(t->to, intern_get(t->from, *id), intern_len(t->from, *id), &other);
		if (err)
			return err;
		t->ids[id->v] = other.v + 1;
	}
	id->v = t->ids[id->v] - 1;
	return 0;
}

static int translate_frame(struct translation *t, const struct snap_frame *from,
			   struct snap_frame *to)
{
	int err;

	*to = *from;
	err = translate_id(t, &to->file);
	return err ? err : translate_id(t, &to->function);
}

static int translate_group(struct translation *t, const struct statistic *from,
			   struct statistic *to)
{
	int err;

	*to = *from;
	if (!t->ids)
		return 0;
	err = translate_frame(t, &from->top, &to->top);
	for (size_t i = 0; !err && i < from->frame_count; i++)
		err = translate_frame(t, &from->frames[i], &t->frames[i]);
	if (from->frame_count)
		to->frames = t->frames;
	return err;
}

static int translation_init(struct translation *t, const struct statistics *now,
			    const struct statistics *old)
{
	*t = (struct translation){.from = old->snap->strings, .to = now->snap->strings};
	if (t->from == t->to)
		return 0;
	t->ids = calloc(intern_count(t->from) + 1, sizeof(*t->ids));
	t->frames = calloc(UINT16_MAX, sizeof(*t->frames));
	return t->ids && t->frames ? 0 : -ENOMEM;
}

static void translation_release(struct translation *t)
{
	free(t->ids);
	free(t->frames);
}

static uint64_t size_of_change(int64_t v)
{
	return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_by_growth(const void *pa, const void *pb, void *arg)
{
	const struct statistic_diff *a = pa, *b = pb;
	int c = cmp_u64(size_of_change(b->size_diff), size_of_change(a->size_diff));

	if (!c)
		c = cmp_u64(b->size, a->size);
	if (!c)
		c = cmp_u64(size_of_change(b->count_diff), size_of_change(a->count_diff));
	if (!c)
		c = cmp_u64(b->count, a->count);
	return c ? c : statistic_cmp_key(b->in, b->group, a->in, a->group);
}

static int cmp_by_size(const void *pa, const void *pb, void *arg)
{
	const struct statistic_diff *a = pa, *b = pb;
	int c = cmp_u64(b->size, a->size);

	return c ? c : cmp_by_growth(pa, pb, arg);
}

static int cmp_by_count(const void *pa, const void *pb, void *arg)
{
	const struct statistic_diff *a = pa, *b = pb;
	int c = cmp_u64(size_of_change(b->count_diff), size_of_change(a->count_diff));

	if (!c)
		c = cmp_u64(b->count, a->count);
	return c ? c : cmp_by_growth(pa, pb, arg);
}

/* Plain subtraction, since sizes and counts are at most INT64_MAX and their differences fit. */
static void subtract_old(struct statistic_diff *d, const struct statistic *old)
{
	d->size_diff = (int64_t)d->size - (int64_t)old->size;
	d->count_diff = (int64_t)d->count - (int64_t)old->count;
}

/* Position of the group of the new side with this key, STAT_TABLE_NONE when there is none. */
static uint32_t find_new(const struct statistics *now, const struct stat_table *index,
			 const struct statistic *like)
{
	uint64_t hash = statistic_hash(now, like);
	size_t pos = SIZE_MAX;
	uint32_t i;

	while ((i = stat_table_next(index, hash, &pos)) != STAT_TABLE_NONE) {
		if (statistic_equals(now, &now->items[i], like))
			break;
	}
	return i;
}

static int index_new(const struct statistics *now, struct statistic_diffs *out,
		     struct stat_table *index)
{
	int err = 0;

	for (size_t i = 0; !err && i < now->count; i++) {
		const struct statistic *g = &now->items[i];

		out->items[out->count++] = (struct statistic_diff){
			.in = now,
			.group = g,
			.size = g->size,
			.count = g->count,
			.size_diff = (int64_t)g->size,
			.count_diff = (int64_t)g->count,
		};
		err = stat_table_add(index, statistic_hash(now, g), (uint32_t)i);
	}
	return err;
}

static int merge_old(const struct statistics *now, const struct statistics *old,
		     const struct stat_table *index, struct statistic_diffs *out)
{
	struct translation t;
	int err = translation_init(&t, now, old);

	for (size_t i = 0; !err && i < old->count; i++) {
		const struct statistic *g = &old->items[i];
		struct statistic like;
		uint32_t at;

		err = translate_group(&t, g, &like);
		if (err)
			break;
		at = find_new(now, index, &like);
		if (at != STAT_TABLE_NONE) {
			subtract_old(&out->items[at], g);
			continue;
		}
		out->items[out->count] = (struct statistic_diff){.in = old, .group = g};
		subtract_old(&out->items[out->count++], g);
	}
	translation_release(&t);
	return err;
}

int statistics_compare(const struct statistics *now, const struct statistics *old,
		       enum diff_sort sort, size_t top, struct statistic_diffs *out)
{
	static const stat_order_fn orders[] = {
		[DIFF_BY_GROWTH] = cmp_by_growth,
		[DIFF_BY_SIZE] = cmp_by_size,
		[DIFF_BY_COUNT] = cmp_by_count,
	};
	_Static_assert(sizeof(*out->items) <= STAT_ORDER_SIZE_MAX, "stat_order_top() moves them");
	struct statistic_diffs made = {0};
	struct stat_table index = {0};
	int err;

	if (now->key != old->key || now->split_domains != old->split_domains)
		return -EINVAL;
	made.items = calloc(now->count + old->count + 1, sizeof(*made.items));
	err = made.items ? index_new(now, &made, &index) : -ENOMEM;
	if (!err)
		err = merge_old(now, old, &index, &made);
	stat_table_release(&index);
	if (err) {
		statistic_diffs_release(&made);
		return err;
	}
	stat_order_top(made.items, made.count, sizeof(*made.items), top, orders[sort], NULL);
	*out = made;
	return 0;
}

void statistic_diffs_release(struct statistic_diffs *d)
{
	free(d->items);
	*d = (struct statistic_diffs){0};
}
