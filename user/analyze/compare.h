/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The difference of two groupings: tracemalloc's Snapshot.compare_to().
 *
 * Source: Lib/tracemalloc.py of CPython 3.7 to 3.15 (_compare_grouped_stats, class StatisticDiff).
 */
#ifndef TM_ANALYZE_COMPARE_H
#define TM_ANALYZE_COMPARE_H

#include "analyze/stats.h"

enum diff_sort {
	DIFF_BY_GROWTH = 0, /* tracemalloc's: |size_diff|, size, |count_diff|, count, traceback */
	DIFF_BY_SIZE,	    /* size, then as above */
	DIFF_BY_COUNT,	    /* |count_diff|, count, then as above */
};

struct statistic_diff {
	const struct statistics
		*in; /* whose group it is: the new side's, or the old's when it vanished */
	const struct statistic *group; /* names it; its numbers are not those of the difference */
	uint64_t size, count;	       /* now; 0 when it vanished */
	int64_t size_diff, count_diff;
};

struct statistic_diffs {
	struct statistic_diff *items;
	size_t count;
};

/**
 * Every group of either side, once; the first `top` (0 = all) in order, all keys descending, the others after them in
 * any order. The sides themselves need no order (STAT_UNSORTED). Both must be of the same key; their snapshots may
 * have different string pools (then the strings of the old side are added to the new side's).
 *
 * Returns: 0, -EINVAL (keys differ), -ENOMEM.
 * Owns: out until statistic_diffs_release(); it points into both sides, which must stay.
 */
int statistics_compare(const struct statistics *now, const struct statistics *old,
		       enum diff_sort sort, size_t top, struct statistic_diffs *out);
void statistic_diffs_release(struct statistic_diffs *d);

#endif
