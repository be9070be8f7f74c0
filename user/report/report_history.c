/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One interval of memory per site. Replacing everything at each interval keeps it bounded without
 * an eviction rule; a site that was empty in between starts anew.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analyze/stat_key.h"
#include "report/report_priv.h"

void history_release(struct history *h)
{
	idmap_free(h->index);
	free(h->entries);
	*h = (struct history){0};
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ull; /* 2^64 / golden ratio */
	return hash ^ hash >> 29;
}

static uint64_t mix_frame(uint64_t hash, const struct snapshot *snap, uint8_t domain,
			  const struct snap_frame *f)
{
	struct snap_frame place = stat_place(snap->strings, domain, f);

	hash = mix(hash, place.file.v);
	hash = mix(hash, (uint32_t)place.line);
	return mix(hash, place.function.v);
}

/*
 * 64 bits stand for the site itself: among 65536 sites a collision has the odds of 1 to 8 billion,
 * and it would only make one rate wrong.
 */
static uint64_t key_of(const struct snapshot *snap, const struct site_stat *site, enum group_by by)
{
	uint64_t hash = mix_frame(mix(1, site->domain), snap, site->domain, &site->top);
	const struct snap_stack *st = site->biggest;

	if (by != BY_TRACEBACK)
		return hash;
	for (size_t i = 1; i < st->frame_count; i++)
		hash = mix_frame(hash, snap, site->domain, &snap->frames[st->first_frame + i]);
	return hash;
}

const struct history_entry *history_get(const struct history *h, const struct snapshot *snap,
					const struct site_stat *site, enum group_by by)
{
	uint32_t pos;

	if (!h->index || !idmap_get(h->index, key_of(snap, site, by), &pos))
		return NULL;
	return &h->entries[pos];
}

/* What the site is now, given what it was. Before the first interval everything was 0. */
static struct history_entry entry_after(const struct history *h, const struct history_entry *before,
					uint64_t bytes, double elapsed_s)
{
	struct history_entry e = {.bytes = bytes, .bytes_per_s = (double)NAN};
	double seconds = elapsed_s - h->elapsed_s;
	uint64_t old = before ? before->bytes : 0;

	if (before || !h->cut) {
		e.grew = (before ? before->grew : 0) + (bytes > old);
		if (seconds > 0)
			e.bytes_per_s = ((double)bytes - (double)old) / seconds;
	}
	return e;
}

int history_update(struct history *h, const struct snapshot *now, const struct top_sites *top,
		   enum group_by by)
{
	size_t count = top->count < HISTORY_MAX ? top->count : HISTORY_MAX;
	struct history next = {
		.index = idmap_new(),
		.entries = calloc(count + 1, sizeof(*next.entries)),
		.intervals = h->intervals + 1,
		.elapsed_s = now->elapsed_s,
		.cut = top->count > HISTORY_MAX,
	};

	if (!next.index || !next.entries)
		goto no_memory;
	for (size_t i = 0; i < count; i++) {
		const struct site_stat *site = &top->items[i];

		next.entries[i] =
			entry_after(h, history_get(h, now, site, by), site->bytes, now->elapsed_s);
		if (idmap_put(next.index, key_of(now, site, by), (uint32_t)i))
			goto no_memory;
	}
	history_release(h);
	*h = next;
	return 0;

no_memory:
	history_release(&next);
	return -ENOMEM;
}
