/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capture -> file, for `record` and `snap`. */
#ifndef TM_TRACE_RECORDER_H
#define TM_TRACE_RECORDER_H

#include "trace/options.h"

struct recorder_opts {
	struct options capture;
	const char *out; /* a file, or a directory that gets one named by pid and time */
	bool force, quiet;
	bool single;	   /* one snapshot, at the end */
	unsigned keep;	   /* 0: the store's default */
	double every_s;	   /* between snapshots */
	double duration_s; /* 0: until a signal or the end of the target */
};

/** Defaults of a verb. */
void recorder_opts_init(struct recorder_opts *o);
/** Attach, record, detach. Returns: the exit status. */
int recorder_run(const struct recorder_opts *o);

#endif
