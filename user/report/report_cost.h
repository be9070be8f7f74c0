/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text about what tracing costs, and about the gaps that a budget makes. */
#ifndef TM_REPORT_COST_H
#define TM_REPORT_COST_H

#include "base/buf.h"
#include "snapshot/snapshot.h"

/**
 * A target that uses next to no CPU time itself is slowed down many times by a few traps, without harm: then
 * the share of the time is what matters. Both ratios as in struct snapshot.
 */
bool cost_of_idle_target(double cost_ratio, double slowdown_ratio);
/** "slows the target about 1.9% (+-20%, estimated)". */
void cost_put_slowdown(struct buf *out, const struct snapshot *s);
/** A line about what is not followed; nothing without a gap. */
void cost_write_gap(struct buf *out, const struct snapshot *s);

#endif
