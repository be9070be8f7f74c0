/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the writers of statistics and differences. Private to user/report/. */
#ifndef TM_REPORT_REPORT_STATS_PRIV_H
#define TM_REPORT_REPORT_STATS_PRIV_H

#include "analyze/completeness.h"
#include "base/json_writer.h"
#include "report/export_priv.h" /* writing in pieces */
#include "report/report_completeness.h"
#include "report/report_ndjson.h"
#include "report/report_stats.h"

/** How many of `count` groups are shown. */
static inline size_t stats_shown(const struct stats_view *v, size_t count)
{
	return v->top && v->top < count ? v->top : count;
}

/* ---- text (report_stats_text.c) ---- */

/** Lines about what filters and suppressions left out. */
void stats_text_left_out(struct buf *out, const struct selection *sel, const char *prefix);
/* The header, then coverage and losses. */
void stats_text_tail(struct buf *out, const struct stats_side *side, const char *prefix);

/* ---- NDJSON (report_stats_ndjson.c) ---- */

/* Members that describe a side: file, time, pid, ..., sums, what was left out, losses. */
void stats_json_side(struct json_writer *w, const struct stats_side *side);
/* Members that describe the grouping. */
void stats_json_grouping(struct json_writer *w, const struct stats_view *v,
			 const struct statistics *st, size_t groups);
/** The members that name a group, and with by=traceback its stack. */
void stats_json_name(struct json_writer *w, const struct statistics *in,
		     const struct statistic *st);
/** "average": a block's size, or null when there is none. */
void stats_json_average(struct json_writer *w, uint64_t size, uint64_t count);

#endif
