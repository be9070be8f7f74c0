/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Equality and order of frames: one rule, so that grouping, comparing snapshots and sorting agree.
 */
#ifndef TM_ANALYZE_STAT_KEY_H
#define TM_ANALYZE_STAT_KEY_H

#include "analyze/stats.h"

/**
 * A frame of native code: file is the library, function the symbol or none, and there is no line.
 * tracemalloc knows only files and lines, so the symbol is part of the name: "libxml2.so.2!xmlNewNode".
 * A native block has Python frames too, and one whose line is not known is no library.
 */
bool stat_frame_is_native(const struct intern *strings, uint8_t domain, const struct snap_frame *f);

/** The frame without what does not name its place: the function of a Python frame. */
static inline struct snap_frame stat_place(const struct intern *strings, uint8_t domain,
					   const struct snap_frame *f)
{
	struct snap_frame place = *f;

	if (!stat_frame_is_native(strings, domain, f))
		place.function.v = 0;
	return place;
}

static inline bool stat_place_equals(struct snap_frame a, struct snap_frame b)
{
	return a.file.v == b.file.v && a.line == b.line && a.function.v == b.function.v;
}

/** Hash and equality of two groups' keys; both by ids, so that their strings must be of one
 * pool. */
uint64_t statistic_hash(const struct statistics *in, const struct statistic *st);
bool statistic_equals(const struct statistics *in, const struct statistic *a,
		      const struct statistic *b);

/**
 * tracemalloc's order of tracebacks: tuples of (filename, lineno), oldest frame first, file names by
 * code points. The two may have different string pools.
 */
int statistic_cmp_key(const struct statistics *in_a, const struct statistic *a,
		      const struct statistics *in_b, const struct statistic *b);

#endif
