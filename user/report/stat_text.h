/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts as in tracemalloc: str(Statistic), str(StatisticDiff), Traceback.format(). One difference:
 * characters that could steer a terminal, and bytes that are no text, become `?`.
 *
 * Source: Lib/tracemalloc.py of CPython 3.7 to 3.15.
 */
#ifndef TM_REPORT_STAT_TEXT_H
#define TM_REPORT_STAT_TEXT_H

#include "analyze/compare.h"
#include "base/buf.h"
#include "report/source_line.h"

/** "FILE:LINE", of a traceback its oldest frame; native code: "<native> LIBRARY!FUNCTION". */
void stat_text_name(struct buf *out, const struct statistics *in, const struct statistic *st);

/** "FILE:LINE: size=24.9 MiB, count=180655, average=145 B", without a newline. */
void stat_text_statistic(struct buf *out, const struct statistics *in, const struct statistic *st);

/** "FILE:LINE: size=98.1 MiB (+73.2 MiB), count=711001 (+530346), average=145 B", no newline. */
void stat_text_diff(struct buf *out, const struct statistic_diff *d);

struct traceback_opts {
	bool has_limit;
	int64_t limit; /* > 0: that many most recent frames; else as Python's frames[:limit] */
	bool most_recent_first;
	bool functions;		     /* a line with the function's name under each frame */
	struct source_lines *source; /* the line of the file too; NULL: not */
};

/** The lines of a traceback, each with a newline. Groups of other keys have a single frame. */
void stat_text_traceback(struct buf *out, const struct statistics *in, const struct statistic *st,
			 const struct traceback_opts *opts);

#endif
