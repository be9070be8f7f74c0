/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics of a snapshot and the difference of two, as text and as NDJSON. What they show is grouped
 * and selected by the caller; here it is put into words.
 */
#ifndef TM_REPORT_REPORT_STATS_H
#define TM_REPORT_REPORT_STATS_H

#include <stdio.h>

#include "analyze/compare.h"
#include "analyze/selection.h"
#include "report/stat_text.h"
#include "store/store.h"

struct stats_side {	  /* one snapshot; everything borrowed */
	const char *name; /* of its file, as it was given */
	const struct snapshot *snap;
	const struct store_meta *meta;
	const struct selection *sel;
	const struct statistics *stats;
};

struct stats_view {   /* how it is shown */
	unsigned top; /* lines; 0 = all */
	enum stat_cumulative cumulative;
	const char *sort;		 /* its name, for NDJSON */
	struct traceback_opts traceback; /* text only */
	bool repeat_warnings;		 /* text: repeat in the output what was logged to stderr */
};

/** Each returns: 0, -ENOMEM, -EPIPE and other write errors. out is borrowed, and not flushed. */
int report_stats_text(FILE *out, const struct stats_view *v, const struct stats_side *side);
int report_stats_ndjson(FILE *out, const struct stats_view *v, const struct stats_side *side);
int report_diff_text(FILE *out, const struct stats_view *v, const struct stats_side *old,
		     const struct stats_side *now, const struct statistic_diffs *diffs);
int report_diff_ndjson(FILE *out, const struct stats_view *v, const struct stats_side *old,
		       const struct stats_side *now, const struct statistic_diffs *diffs);

/**
 * Why the two sides cannot simply be subtracted, one sentence each, with "; " between them; nothing is
 * appended when they can. by_traceback: it matters how many frames were kept.
 */
void report_diff_doubts(struct buf *out, const struct stats_side *old, const struct stats_side *now,
			bool by_traceback);

#endif
