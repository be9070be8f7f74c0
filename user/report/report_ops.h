/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The live report and its writers: one struct report_ops per output form. Private to user/report/. */
#ifndef TM_REPORT_OPS_H
#define TM_REPORT_OPS_H

#include "base/buf.h"
#include "report/report.h"
#include "report/report_history.h"
#include "report/report_paths.h"

struct report_ops { /* one writer; each call appends a block to report.text */
	void (*hello)(struct report *r, const struct report_hello *h);
	void (*interval)(struct report *r, const struct snapshot *now, const struct snapshot *prev,
			 const struct statistics *groups);
	void (*warning)(struct report *r, const char *code, const char *message, const char *fix);
	/* last and groups are NULL when nothing was measured */
	void (*end)(struct report *r, const struct report_end *end, const struct snapshot *last,
		    const struct statistics *groups);
};

struct report {
	const struct report_ops *ops;
	FILE *out; /* borrowed */
	struct report_opts opts;
	struct buf text; /* the block being written */
	struct history history;
	struct short_paths paths; /* text only */
	int pid;
	unsigned frames;
	enum trace_mode mode; /* printed last */
	int slow;	      /* descriptor of slow_out.h; -1: write to out */
};

/** Returns: 0, -ENOMEM. */
int report_new(FILE *out, const struct report_opts *opts, const struct report_ops *ops,
	       struct report **r);

/** How many of the groups are shown. */
static inline size_t report_shown(const struct report *r, const struct statistics *groups)
{
	return r->opts.top && r->opts.top < groups->count ? r->opts.top : groups->count;
}

#endif
