/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which stacks of a snapshot a report is about, and how much it leaves out: filters, then suppressions. */
#ifndef TM_ANALYZE_SELECTION_H
#define TM_ANALYZE_SELECTION_H

#include "analyze/filter.h"
#include "analyze/suppress.h"

struct selection_sum {
	uint64_t stacks, bytes, blocks;
};

struct selection {
	uint8_t *skip; /* a byte a stack, for stat_opts.skip */
	struct selection_sum filtered, suppressed;
	struct selection_sum by_default; /* the part of filtered that an implicit filter left out */
	struct suppress_hit *hits;	 /* one a pattern, in the order of the file */
	size_t hit_count;
};

/**
 * filters and suppressions may be NULL. What filters leave out is not looked at for suppressions.
 * Returns: 0, -ENOMEM. Owns: out until selection_release(); hits point into the suppressions.
 */
int selection_make(const struct snapshot *s, const struct filter_set *filters,
		   const struct suppressions *suppressions, struct selection *out);
void selection_release(struct selection *sel);

#endif
