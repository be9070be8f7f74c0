/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The snapshots that `leaks` judges: of one process, from one or more files, in order of time. What was
 * held before tracing began is not known after a restart of tracing, so numbers are compared only within
 * one tracing session; the longest is taken.
 */
#ifndef TM_ANALYZE_LEAKS_INPUT_H
#define TM_ANALYZE_LEAKS_INPUT_H

#include "analyze/leaks_clock.h"
#include "analyze/leaks_lines.h"
#include "analyze/leaks_series.h"
#include "analyze/selection.h"
#include "base/cleanup.h"
#include "store/store.h"

struct leak_file {	  /* one series */
	const char *path; /* borrowed */
	struct store *store;
	struct store_walk *walk;
	const struct snapshot *snapshot; /* of the walk: where it is now */
	uint32_t *map;			 /* line by stack */
	struct leak_value *values;	 /* by stack: what it held one step before */
	int64_t first_ns;		 /* of its first snapshot; INT64_MAX: it has none */
	int64_t attach_ns;
};

struct leak_input {
	struct intern *strings;
	struct leak_file *files; /* by time of their first snapshot */
	size_t file_count;
	size_t first, end; /* the files of the session */
	size_t sessions;
	size_t left_out;   /* snapshots of the other sessions */
	int64_t *time_ns;  /* of each snapshot of the session */
	int64_t *clock_ns; /* the same without the pauses before the end: what the series go by */
	struct leak_pauses pauses;
	size_t snapshots;
	struct leak_lines *lines;
	struct leak_series *series;
	struct leak_series *process; /* line 0: RSS, line 1: all that is traced */
	struct selection selection;  /* what is left out, at the last snapshot */
	double missing_ratio;	     /* at the worst snapshot, 0..1 */
	bool rss_known, pools;
};

/** Line numbers of leak_input.process. */
enum { LEAK_PROCESS_RSS = 0, LEAK_PROCESS_LIVE = 1 };

/**
 * Open the files and choose the session. Errors are logged and coded.
 * Returns: 0; as store_open(); -ENODATA (E331: fewer than three snapshots in a session), -EINVAL (E332:
 * of different processes), -ENOMEM. Owns: *out; paths are borrowed.
 */
int leak_input_open(const char *const *paths, size_t count, struct leak_input **out);

/**
 * Read the session, line by line. filters, suppressions: may be NULL; borrowed until it is closed.
 * Returns: 0; as store_load(); -ENOMEM.
 */
int leak_input_read(struct leak_input *in, enum stat_key key, const struct filter_set *filters,
		    const struct suppressions *suppressions);

void leak_input_close(struct leak_input *in);
DEFINE_CLEANUP(struct leak_input *, leak_input_close);

/** The last file of the session: its meta data and its last snapshot stand for the process. */
const struct leak_file *leak_input_last(const struct leak_input *in);

#endif
