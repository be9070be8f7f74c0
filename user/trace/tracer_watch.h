/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Debuggers and other processes that handle the target's memory while it is traced. */
#ifndef TM_TRACE_TRACER_WATCH_H
#define TM_TRACE_TRACER_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct capture;

struct tracer_watch {
	pid_t tracer;	  /* the last one that was reported (W141); 0 none */
	bool breakpoints; /* it may set some: not strace */
	bool missing;	  /* W144 is out */
	bool shared;	  /* W145 is out */
	int64_t look_ns;  /* monotonic */
};

/** Look once a second: W141 a tracer, W144 breakpoints of ours are gone, W145 memory is shared. all: every thread. */
void tracer_watch_look(struct capture *c, bool all);
/** May the tracer that was found last have breakpoints in the target? */
bool tracer_sets_breakpoints(const struct capture *c);
/** Before the probes are freed: a debugger that is there now keeps them until it leaves (W143). */
void tracer_watch_hold(struct capture *c);

#endif
