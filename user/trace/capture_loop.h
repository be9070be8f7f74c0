/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies between two snapshots of any tracing verb: steps of the capture, until it is time or over. */
#ifndef TM_TRACE_CAPTURE_LOOP_H
#define TM_TRACE_CAPTURE_LOOP_H

#include "trace/capture.h"

/* Reasons of their own, compared by address: the capture must be closed and opened again; SIGUSR1. */
extern const char CAPTURE_LOOP_ANEW[];
extern const char CAPTURE_LOOP_NOW[];

/**
 * Take SIGINT, SIGTERM, SIGHUP and SIGUSR1 by descriptor from now on, except those that whoever started us
 * has us ignore (nohup); and ignore SIGPIPE: errors are told by write(2).
 * Returns: the descriptor (the caller closes it), -errno.
 */
int capture_signals_open(void);

/**
 * Step until the deadline (CLOCK_MONOTONIC) or a reason to stop.
 * Returns: NULL at the deadline, or with *err set when a step failed; "sigint", "sigterm", "sighup",
 * "target-exit", "target-exec", CAPTURE_LOOP_ANEW, CAPTURE_LOOP_NOW.
 */
const char *capture_loop_until(struct capture *c, int signals, int64_t deadline_ns, int *err);

/** Has a signal come? Does not wait. For long work between two steps. Returns: its reason, or NULL. */
const char *capture_signal(int signals);

#endif
