/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tracing session: attach, deliver a snapshot every so often to a sink, detach. The one loop of watch,
 * record and snap, with the signals, the end of the target and the re-attach when an interpreter comes up.
 */
#ifndef TM_TRACE_SESSION_H
#define TM_TRACE_SESSION_H

#include "trace/trace_sink.h"

#define TRACE_PROCESSES_MAX 1

struct trace_plan {
	const struct options *capture;
	const char *noun;  /* what is delivered, for messages: "report", "snapshot" */
	double every_s;	   /* between two snapshots, > 0 */
	uint64_t count;	   /* end after so many; 0: no limit */
	double duration_s; /* end after that long, with a last snapshot; 0: no limit */
	bool single;	   /* SIGUSR1 takes the last snapshot */
	bool saves; /* a file: also the stacks that hold nothing any more, and all until a re-attach */
};

/** Run to the end. Everything is logged. Returns: the exit status. */
int trace_session_run(const struct trace_plan *plan, const struct trace_sink *sink);

/** For a sink whose call lasts (about every 20 ms): keep tables and names up to date. */
void trace_session_tick(struct capture *c);

#endif
