/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Group a snapshot by line, traceback or filename, sorted as tracemalloc's Statistic sorts. */
#ifndef TM_ANALYZE_TOP_SITES_H
#define TM_ANALYZE_TOP_SITES_H

#include "snapshot/snapshot.h"

enum group_by { BY_LINENO = 0, BY_TRACEBACK = 1, BY_FILENAME = 2 };

struct site_stat {
	struct snap_frame
		top; /* lineno: the line (function of its biggest stack); filename: line 0 */
	const struct snap_stack
		*biggest; /* the stack with most bytes in the group: for the full traceback */
	uint8_t domain;
	uint64_t bytes, blocks;
};

struct top_sites {
	struct site_stat *items; /* bytes, blocks, then the place: descending, as tracemalloc */
	size_t count;
};

/** Returns: 0, -ENOMEM. Groups never mix domains. Stacks without frames group as file "<unknown>", line 0. */
int top_sites_group(const struct snapshot *s, enum group_by by, struct top_sites *out);
void top_sites_release(struct top_sites *t);

#endif
