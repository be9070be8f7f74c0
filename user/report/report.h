/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The live report: one writer per output form, the same calls each. stdout is data. */
#ifndef TM_REPORT_REPORT_H
#define TM_REPORT_REPORT_H

#include <stdio.h>

#include "analyze/stats.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "snapshot/trace_end.h"

struct report_opts {
	enum stat_key by;
	unsigned top;	/* -T; 0 = all */
	bool verbose;	/* full traceback of the first site */
	unsigned width; /* columns; 0 = unlimited (not a terminal) */
	bool color;
	double interval_s;
	/* Out may be a pipe that is not read: asked while there is no room in it. NULL: writing blocks. */
	const struct cancel *cancel; /* borrowed */
};

struct report_hello {
	int pid;
	const char *comm;
	const char *python_version; /* NULL: not a Python process */
	const char *libc;	    /* "glibc 2.36", "" unknown */
	const char *container;	    /* short id or NULL */
	enum trace_mode mode;
	const char *mode_reason;   /* why not exact and the command that forces it, or NULL */
	bool trial;		   /* was the event rate measured before everything was attached? */
	double trial_s;		   /* its length */
	double trial_events_per_s; /* allocations a second in that window */
	double projected_cost_ratio;	 /* of one CPU, in exact mode; < 0 unknown */
	double projected_slowdown_ratio; /* of the target's own CPU time; < 0 unknown */
	unsigned frames;
	bool domains[SNAP_DOMAINS];
	size_t pop_sites, newref_sites, libc_sites;
	int64_t time_ns;
};

/**
 * The header as lines of text: program, what is traced and how, result of the trial. kept: how memory from
 * before counts ("attributed").
 */
void report_header_text(struct buf *b, const struct report_hello *h, const char *kept);

struct report_end {
	struct trace_end end;
	int exit_status;
};

struct report;

/** Returns: 0, -ENOMEM. text or ndjson on `out` (borrowed), flushed after every block. */
int report_text_new(FILE *out, const struct report_opts *opts, struct report **r);
int report_ndjson_new(FILE *out, const struct report_opts *opts, struct report **r);
void report_free(struct report *r);

/** Each returns 0, -ECANCELED (part may be written), -EPIPE and other write errors. `prev` of interval is the snapshot before, or NULL. */
int report_hello(struct report *r, const struct report_hello *h);
int report_interval(struct report *r, const struct snapshot *now, const struct snapshot *prev);
int report_warning(struct report *r, const char *code, const char *message, const char *fix);
int report_end(struct report *r, const struct report_end *end, const struct snapshot *last);

#endif
