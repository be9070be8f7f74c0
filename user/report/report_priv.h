/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the writers of the live report share. Private to user/report/. */
#ifndef TM_REPORT_PRIV_H
#define TM_REPORT_PRIV_H

#include "base/buf.h"
#include "base/idmap.h"
#include "base/json_writer.h"
#include "report/report.h"

/* ---- history: what a site held one interval ago (report_history.c) ---- */

#define HISTORY_MAX 65536 /* sites remembered; the biggest are kept */

struct history_entry { /* one site at the last interval */
	uint64_t bytes;
	double bytes_per_s; /* since the interval before; NaN: not known */
	unsigned grew;	    /* intervals in which it grew, without a gap in which it was empty */
};

struct history {
	struct idmap *index; /* hash of domain, file, line (and callers) -> position in entries */
	struct history_entry *entries;
	unsigned intervals;
	double elapsed_s; /* of the last interval */
	bool cut;	  /* the last interval had more than HISTORY_MAX sites */
};

void history_release(struct history *h);
/** Replace what is remembered by the sites of this interval. Returns: 0, -ENOMEM (h unchanged). */
int history_update(struct history *h, const struct snapshot *now, const struct top_sites *top,
		   enum group_by by);
/** The site at the last interval; NULL when it is not remembered. */
const struct history_entry *history_get(const struct history *h, const struct snapshot *snap,
					const struct site_stat *site, enum group_by by);

/* ---- short paths: the last components that name one file (report_paths.c) ---- */

struct short_paths {
	struct idmap *suffixes; /* hash of a suffix -> id of the only path that has it */
};

void short_paths_release(struct short_paths *p);
/** Make a path known. Returns: 0, -ENOMEM (it then stays long). */
int short_paths_add(struct short_paths *p, const char *path, str_id_t id);
/** The shortest suffix of path that no other known path has; points into path. */
const char *short_paths_get(const struct short_paths *p, const char *path, str_id_t id);

/* ---- ledger: how complete the numbers are (report_ledger.c) ---- */

/** JSON key of a loss, from TM_DROP_LIST. */
const char *ledger_drop_key(enum tm_drop reason);
const char *ledger_domain_name(enum snap_domain domain);
/** True when no block and no event is known to be missing. */
bool ledger_is_complete(const struct snapshot *s);
/** recorded / (recorded + missed); NaN when unknown or when there is nothing to cover. */
double ledger_coverage(const struct snap_coverage *c);
/** The coverage line, then a line for each loss and for each domain whose numbers are too low. */
void ledger_write(struct buf *out, const struct snapshot *s, unsigned frames);

/* ---- pieces of NDJSON that stand in several records (report_ndjson.c) ---- */

/** "time": RFC 3339, or null. */
void ndjson_put_time(struct json_writer *w, int64_t time_ns);
/** "coverage": an object a domain, or null. */
void ndjson_put_coverage(struct json_writer *w, const struct snapshot *s);
/** A string, or null for none. */
void ndjson_put_name(struct json_writer *w, const char *key, const struct intern *in, str_id_t id);
/** "lost": counts by reason, without zeros. */
void ndjson_put_losses(struct json_writer *w, const struct snapshot *s);

/* ---- the report ---- */

struct report_ops { /* one writer; each call appends a block to report.text */
	void (*hello)(struct report *r, const struct report_hello *h);
	void (*interval)(struct report *r, const struct snapshot *now, const struct snapshot *prev,
			 const struct top_sites *top);
	void (*warning)(struct report *r, const char *code, const char *message, const char *fix);
	/* last and top are NULL when nothing was measured */
	void (*end)(struct report *r, const struct report_end *end, const struct snapshot *last,
		    const struct top_sites *top);
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
	char mode[16]; /* the last one the reader was told */
};

/** Returns: 0, -ENOMEM. */
int report_new(FILE *out, const struct report_opts *opts, const struct report_ops *ops,
	       struct report **r);

/** Nearest integer, clamped to +-2^62. Not llround(): the program does not link libm. */
static inline int64_t round_i64(double value)
{
	const double limit = 4611686018427387904.0;

	if (value > limit || value < -limit)
		return (int64_t)(value > 0 ? limit : -limit);
	return (int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

/** How many of the groups are shown. */
static inline size_t report_shown(const struct report *r, const struct top_sites *top)
{
	return r->opts.top && r->opts.top < top->count ? r->opts.top : top->count;
}

#endif
