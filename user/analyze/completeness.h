/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much of what was allocated is in a snapshot: coverage by domain, losses by reason. */
#ifndef TM_ANALYZE_COMPLETENESS_H
#define TM_ANALYZE_COMPLETENESS_H

#include "snapshot/snapshot.h"

/** Whether coverage and losses are part of the data; a tracemalloc pickle has neither. */
bool completeness_is_measured(const struct snapshot *s);
/** True when no block and no event is known to be missing. */
bool completeness_is_full(const struct snapshot *s);
/** True when some blocks are left out on purpose: by the mode, or to hold the budget. */
bool completeness_leaves_out(const struct snapshot *s);
struct lost_lines { /* live blocks whose stack is not known: attributed to <lost> */
	uint64_t bytes, blocks;
};

struct lost_lines completeness_without_line(const struct snapshot *s);
/** Why there is no line for them, for the middle of a sentence. */
const char *completeness_lost_reason(const struct snapshot *s);
/** recorded / (recorded + missed); NaN when unknown or when there is nothing to cover. */
double coverage_ratio(const struct snap_coverage *c);
/**
 * The share of the data that is missing, 0 to 1: the largest of the shares of live blocks without a record
 * (of the worst domain), of live blocks without a line (<lost>), of those that a gap left unfollowed, and of lost
 * events among allocations and lost events. 0 when nothing is known.
 */
double completeness_lost_ratio(const struct snapshot *s);

#endif
