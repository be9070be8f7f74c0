/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growth of each group of the live report, interval by interval. Private to user/report/. */
#ifndef TM_REPORT_HISTORY_H
#define TM_REPORT_HISTORY_H

#include "analyze/stats.h"
#include "base/idmap.h"

#define HISTORY_MAX 65536 /* groups remembered; the biggest are kept */

struct history_entry { /* one group at the last interval */
	uint64_t bytes;
	uint64_t first_bytes;  /* at the end of its first interval */
	uint64_t peak_bytes;   /* of the intervals before the last */
	double bytes_per_s;    /* since the interval before; NaN: not known */
	unsigned grew, shrank; /* intervals, without a gap in which it was empty */
};

struct history {
	struct idmap *index; /* hash of the group's key -> position in entries */
	struct history_entry *entries;
	unsigned intervals;
	double elapsed_s; /* of the last interval */
	bool cut;	  /* the last interval had more than HISTORY_MAX groups */
};

void history_release(struct history *h);
/** Replace what is remembered by the groups of this interval. Returns: 0, -ENOMEM (h unchanged). */
int history_update(struct history *h, const struct snapshot *now, const struct statistics *groups);
/** The group at the last interval; NULL when it is not remembered. */
const struct history_entry *history_get(const struct history *h, const struct statistics *in,
					const struct statistic *group);
/**
 * How much the group has grown since its first interval, in bytes; 0 when it does not keep growing: it
 * is below an earlier peak, has grown by less than 1 %, or grew less than twice as often as it shrank. The first interval counts for
 * nothing, because every group starts at zero there.
 */
uint64_t history_steady_growth(const struct history_entry *e);

#endif
