/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdicts of `leaks`, as text and as NDJSON. */
#ifndef TM_REPORT_REPORT_LEAKS_H
#define TM_REPORT_REPORT_LEAKS_H

#include <stdio.h>

#include "analyze/leaks_clock.h"
#include "analyze/leaks_lines.h"
#include "analyze/leaks_table.h"
#include "analyze/selection.h"
#include "store/store.h"

struct leaks_report {		  /* everything borrowed */
	const char *const *files; /* as given */
	size_t file_count;
	const struct store_meta *meta;
	const struct snapshot *last; /* for its coverage and losses */
	enum stat_key key;
	unsigned top; /* lines; 0 = all */
	int64_t from_ns, to_ns;
	const int64_t *time_ns, *clock_ns; /* of each snapshot, and by the clock of the findings */
	struct leak_pauses pauses;	   /* cut out of that clock */
	size_t snapshots, windows;
	size_t stretches; /* tracing sessions, of which one is judged */
	size_t left_out;  /* snapshots of the others */
	double missing_ratio;
	const struct leak_lines *lines;
	const struct leak_table *table;
	const struct leak_process *process;
	const struct selection *selection;
};

/** Each returns: 0, -ENOMEM, -EPIPE and other write errors. out is borrowed, and not flushed. */
int report_leaks_text(FILE *out, const struct leaks_report *r);
int report_leaks_ndjson(FILE *out, const struct leaks_report *r);

/**
 * How many rows of a verdict are shown: all with top 0; else up to `top` leaks, up to a third of it of
 * UNKNOWN, CHURN and of the PLATEAU that holds something, and no WARM-UP.
 */
size_t report_leaks_shown(const struct leaks_report *r, enum leak_verdict v);

#endif
