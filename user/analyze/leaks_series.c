/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line is touched only when it changes; the windows between two changes are filled in then. */
#include "analyze/leaks_series.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "analyze/leaks_clock.h"
#include "base/buf.h"

struct window {
	size_t first, end; /* snapshots [first, end) */
};

struct extent { /* the windows of one line */
	uint64_t low[LEAKS_WINDOWS_MAX], high[LEAKS_WINDOWS_MAX];
};

struct line {
	struct leak_value now;
	uint64_t first;		   /* bytes at the first snapshot */
	uint64_t alloc_first;	   /* bytes allocated by then */
	uint64_t old_alloc_blocks; /* allocated by the snapshot that ages are counted from */
	double fell;
	struct extent *extent; /* owned; NULL: the same in all windows so far */
	uint32_t window;       /* where `now` was last entered */
	bool alloc_known;
};

struct leak_series {
	int64_t *snapshot_ns;
	size_t snapshots;
	struct window windows[LEAKS_WINDOWS_MAX];
	int64_t window_ns[LEAKS_WINDOWS_MAX];
	size_t window_count;
	uint32_t *window_of; /* by snapshot */
	size_t old_snapshot; /* ages are counted from here: two thirds of the time */
	struct line *lines;
	size_t line_count, line_cap;
	struct extent flat; /* lent for a line that has none of its own */
};

/*
 * Where each snapshot stands in the sum of distances, and that sum, ns. A gap counts for four usual
 * distances, or for a window if that is longer: with its full length it would leave few windows for
 * the snapshots there are.
 */
static int64_t place_after(const struct leak_series *s, int64_t *at)
{
	const int64_t *t = s->snapshot_ns;
	int64_t cap = LEAK_GAP_STEPS * leak_usual_step(t, s->snapshots);
	int64_t window = (t[s->snapshots - 1] - t[0]) / LEAKS_WINDOWS_MAX;

	cap = cap > window ? cap : window;
	at[0] = 0;
	for (size_t i = 1; i < s->snapshots; i++)
		at[i] = at[i - 1] + (t[i] - t[i - 1] < cap ? t[i] - t[i - 1] : cap);
	return at[s->snapshots - 1];
}

/* The time of a window is the mean of its snapshots. */
static void set_window_times(struct leak_series *s)
{
	int64_t start = s->snapshot_ns[0];

	for (size_t w = 0; w < s->window_count; w++) {
		double sum = 0, count = (double)(s->windows[w].end - s->windows[w].first);

		for (size_t i = s->windows[w].first; i < s->windows[w].end; i++)
			sum += (double)(s->snapshot_ns[i] - start) / count;
		s->window_ns[w] = start + (int64_t)sum;
	}
}

static int sort_into_windows(struct leak_series *s)
{
	_cleanup_free_ int64_t *at = calloc(s->snapshots, sizeof(*at));
	size_t slot_before = SIZE_MAX;
	int64_t span;

	if (!at)
		return -ENOMEM;
	span = place_after(s, at);
	for (size_t i = 0; i < s->snapshots; i++) {
		size_t slot = i;
		struct window *w;

		if (s->snapshots > LEAKS_WINDOWS_MAX)
			slot = (size_t)((double)at[i] * LEAKS_WINDOWS_MAX / ((double)span + 1));
		if (slot >= LEAKS_WINDOWS_MAX)
			slot = LEAKS_WINDOWS_MAX - 1;
		if (slot != slot_before)
			s->windows[s->window_count++] = (struct window){.first = i};
		slot_before = slot;
		w = &s->windows[s->window_count - 1];
		w->end = i + 1;
		s->window_of[i] = (uint32_t)s->window_count - 1;
	}
	set_window_times(s);
	return 0;
}

static size_t find_old_snapshot(const struct leak_series *s)
{
	int64_t start = s->snapshot_ns[0], end = s->snapshot_ns[s->snapshots - 1];
	size_t i = 0;

	while (i + 1 < s->snapshots && s->snapshot_ns[i + 1] <= end - (end - start) / 3)
		i++;
	return i;
}

int leak_series_new(const int64_t *time_ns, size_t snapshots, struct leak_series **out)
{
	_cleanup_(leak_series_freep) struct leak_series *s = calloc(1, sizeof(*s));

	if (!snapshots)
		return -EINVAL;
	for (size_t i = 1; i < snapshots; i++) {
		if (time_ns[i] < time_ns[i - 1])
			return -EINVAL;
	}
	if (!s)
		return -ENOMEM;
	s->snapshot_ns = calloc(snapshots, sizeof(*s->snapshot_ns));
	s->window_of = calloc(snapshots, sizeof(*s->window_of));
	if (!s->snapshot_ns || !s->window_of)
		return -ENOMEM;
	for (size_t i = 0; i < snapshots; i++)
		s->snapshot_ns[i] = time_ns[i];
	s->snapshots = snapshots;
	if (sort_into_windows(s))
		return -ENOMEM;
	s->old_snapshot = find_old_snapshot(s);
	*out = take_ptr(s);
	return 0;
}

void leak_series_free(struct leak_series *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->line_count; i++)
		free(s->lines[i].extent);
	free(s->lines);
	free(s->window_of);
	free(s->snapshot_ns);
	free(s);
}

size_t leak_series_windows(const struct leak_series *s)
{
	return s->window_count;
}

static int make_lines(struct leak_series *s, uint32_t line)
{
	struct line *lines;

	if (line < s->line_count)
		return 0;
	lines = array_grow(s->lines, &s->line_cap, (size_t)line + 1, sizeof(*lines));
	if (!lines)
		return -ENOMEM;
	s->lines = lines;
	while (s->line_count <= line)
		lines[s->line_count++] = (struct line){0};
	return 0;
}

/* All windows up to `window`, without it, hold what the line holds now, as does its own since then. */
static void fill_up_to(struct line *l, uint32_t window)
{
	for (; l->window < window; l->window++) {
		l->extent->low[l->window + 1] = l->now.bytes;
		l->extent->high[l->window + 1] = l->now.bytes;
	}
}

/* The windows that passed while it held the same are written down only when it first changes. */
static int make_extent(struct line *l)
{
	l->extent = malloc(sizeof(*l->extent));
	if (!l->extent)
		return -ENOMEM;
	l->extent->low[0] = l->now.bytes;
	l->extent->high[0] = l->now.bytes;
	l->window = 0;
	return 0;
}

static void add_value(const struct leak_series *s, struct line *l, size_t snapshot, uint64_t bytes)
{
	uint32_t window = s->window_of[snapshot];
	struct extent *e = l->extent;

	fill_up_to(l, window);
	if (s->windows[window].first == snapshot) {
		/* no snapshot of this window saw what it held before */
		e->low[window] = bytes;
		e->high[window] = bytes;
	}
	if (bytes < e->low[window])
		e->low[window] = bytes;
	if (bytes > e->high[window])
		e->high[window] = bytes;
	if (bytes < l->now.bytes)
		l->fell += (double)(l->now.bytes - bytes);
}

int leak_series_set(struct leak_series *s, size_t snapshot, uint32_t line,
		    const struct leak_value *value)
{
	int err = make_lines(s, line);
	struct line *l;

	if (err)
		return err;
	l = &s->lines[line];
	if (!snapshot) {
		l->first = value->bytes;
		l->alloc_first = value->alloc_bytes;
	} else if (value->bytes != l->now.bytes) {
		err = l->extent ? 0 : make_extent(l);
		if (err)
			return err;
		add_value(s, l, snapshot, value->bytes);
	}
	if (snapshot <= s->old_snapshot)
		l->old_alloc_blocks = value->alloc_blocks;
	l->alloc_known |= value->alloc_bytes > 0;
	l->now = *value;
	return 0;
}

void leak_series_finish(struct leak_series *s)
{
	for (size_t i = 0; i < s->line_count; i++) {
		if (s->lines[i].extent)
			fill_up_to(&s->lines[i], (uint32_t)s->window_count - 1);
	}
}

size_t leak_series_lines(const struct leak_series *s)
{
	return s->line_count;
}

void leak_series_line(struct leak_series *s, uint32_t line, struct leak_line *out)
{
	const struct line *l = &s->lines[line];
	const struct extent *e = l->extent;

	if (!e) {
		for (size_t w = 0; w < s->window_count; w++)
			s->flat.low[w] = s->flat.high[w] = l->now.bytes;
		e = &s->flat;
	}
	*out = (struct leak_line){
		.time_ns = s->window_ns,
		.low = e->low,
		.high = e->high,
		.count = s->window_count,
		.first = l->first,
		.last = l->now.bytes,
		.fell_bytes = l->fell,
		.alloc_bytes =
			l->alloc_known ? (double)l->now.alloc_bytes - (double)l->alloc_first : -1,
	};
}

void leak_series_ages(const struct leak_series *s, uint32_t line, struct leak_ages *out)
{
	const struct line *l = &s->lines[line];
	const struct leak_value *v = &l->now;
	uint64_t young = v->alloc_blocks - l->old_alloc_blocks;

	*out = (struct leak_ages){
		.freed_ratio = -1,
		.old_ratio = -1,
		.old_s = (double)(s->snapshot_ns[s->snapshots - 1] -
				  s->snapshot_ns[s->old_snapshot]) /
			 1e9,
		.blocks = v->blocks,
	};
	if (!l->alloc_known || v->alloc_blocks < v->blocks || v->alloc_blocks < l->old_alloc_blocks)
		return;
	out->freed_ratio = 1 - (double)v->blocks / (double)v->alloc_blocks;
	/* Even if all that was allocated since then were still there, the rest is older. */
	out->old_ratio = young < v->blocks && v->blocks ? 1 - (double)young / (double)v->blocks : 0;
}
