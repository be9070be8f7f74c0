/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a tracing session delivers: the live report, a file. */
#ifndef TM_TRACE_SINK_H
#define TM_TRACE_SINK_H

#include "base/log.h"
#include "snapshot/snapshot.h"
#include "snapshot/trace_end.h"
#include "trace/capture.h"

/* Functions return 0 or -errno, which ends the session; what they could not write is already logged. */
struct trace_sink_ops {
	/* Attached. Comes again after TRACE_END_PYTHON_APPEARED, with another capture. */
	int (*header)(void *ctx, struct capture *c);
	/* prev: the one before, since the header; NULL: this is the first. Both are borrowed for the call. */
	int (*snapshot)(void *ctx, const struct capture *c, const struct snapshot *now,
			const struct snapshot *prev);
	/* A coded message, after the header or once it is clear that there will be none. May be NULL. */
	void (*warning)(void *ctx, const char *code, const char *message, const char *fix);
	/*
	 * Detached (after TRACE_END_PYTHON_APPEARED: not yet, and tracing goes on). last: the last snapshot
	 * that was delivered, or NULL. status: of the program so far.
	 */
	int (*end)(void *ctx, const struct trace_end *end, const struct snapshot *last, int status);
};

struct trace_sink {
	const struct trace_sink_ops *ops;
	void *ctx;
};

#endif
