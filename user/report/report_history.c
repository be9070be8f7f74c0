/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One interval of memory per group. Replacing everything at each interval keeps it bounded without
 * an eviction rule; a group that was empty in between starts from zero again.
 */
#include "report/report_history.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analyze/stat_key.h"

#define STEADY_SHARE \
	100 /* a plateau moves by a block or two: growth is at least 1 % of the first interval */

void history_release(struct history *h)
{
	idmap_free(h->index);
	free(h->entries);
	*h = (struct history){0};
}

/*
 * 64 bits stand for the group itself: among 65536 groups a collision has the odds of 1 to 8 billion,
 * and it would only make one rate wrong.
 */
const struct history_entry *history_get(const struct history *h, const struct statistics *in,
					const struct statistic *group)
{
	uint32_t pos;

	if (!h->index || !idmap_get(h->index, statistic_hash(in, group), &pos))
		return NULL;
	return &h->entries[pos];
}

uint64_t history_steady_growth(const struct history_entry *e)
{
	uint64_t growth = e->bytes > e->first_bytes ? e->bytes - e->first_bytes : 0;

	if (e->grew < 2 || e->bytes < e->peak_bytes || growth < e->first_bytes / STEADY_SHARE)
		return 0;
	return e->grew - 1 > 2 * e->shrank ? growth : 0;
}

/* The group now, given what it was. Before the first interval everything was 0. */
static struct history_entry entry_after(const struct history *h, const struct history_entry *before,
					uint64_t bytes, double elapsed_s)
{
	struct history_entry e = {.bytes = bytes, .first_bytes = bytes, .bytes_per_s = (double)NAN};
	double seconds = elapsed_s - h->elapsed_s;
	uint64_t old = before ? before->bytes : 0;

	if (before) {
		e.first_bytes = before->first_bytes;
		e.peak_bytes = before->peak_bytes > old ? before->peak_bytes : old;
		e.grew = before->grew;
		e.shrank = before->shrank + (bytes < old);
	}
	if (before || !h->cut) {
		e.grew += bytes > old;
		if (seconds > 0)
			e.bytes_per_s = ((double)bytes - (double)old) / seconds;
	}
	return e;
}

int history_update(struct history *h, const struct snapshot *now, const struct statistics *groups)
{
	size_t count = groups->count < HISTORY_MAX ? groups->count : HISTORY_MAX;
	struct history next = {
		.index = idmap_new(),
		.entries = calloc(count + 1, sizeof(*next.entries)),
		.intervals = h->intervals + 1,
		.elapsed_s = now->elapsed_s,
		.cut = groups->count > HISTORY_MAX,
	};

	if (!next.index || !next.entries)
		goto no_memory;
	for (size_t i = 0; i < count; i++) {
		const struct statistic *group = &groups->items[i];

		next.entries[i] =
			entry_after(h, history_get(h, groups, group), group->size, now->elapsed_s);
		if (idmap_put(next.index, statistic_hash(groups, group), (uint32_t)i))
			goto no_memory;
	}
	history_release(h);
	*h = next;
	return 0;

no_memory:
	history_release(&next);
	return -ENOMEM;
}
