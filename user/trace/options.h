/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of a tracing session. */
#ifndef TM_TRACE_OPTIONS_H
#define TM_TRACE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "analyze/stats.h"
#include "bpf/tmbpf.h"

enum capture_mode { MODE_AUTO = 0, MODE_EXACT = 1, MODE_POOLS = 2 };

struct options {
	pid_t pid;
	double interval_s; /* > 0 */
	uint64_t count;	   /* 0 = until Ctrl-C */
	unsigned frames;   /* 1..128 */
	unsigned top;	   /* 0 = all */
	enum stat_key by;
	enum capture_mode mode;
	double overhead;     /* share of the target's own CPU time, 0.05 */
	bool overhead_given; /* then it is held in every mode */
	uint64_t blocks;     /* 0 = from RSS */
	uint64_t stacks;     /* distinct stacks to keep at most; 0 = probe/session_tables.c */
	enum tm_stop stop;   /* --stop-after, for benchmarks */
	bool perf_links;     /* --links perf */
	bool json, verbose, use_cache;
	bool python, native; /* --domains */
	bool threads;	     /* --threads: stacks of different threads are different stacks */
};

/** Defaults of everything that tracing needs; the rest is zero. */
void capture_options_init(struct options *out);

#endif
