/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SIGINT, SIGTERM and SIGHUP end a session, SIGUSR1 asks for a snapshot now. The first one cuts
 * short a report that is under way: it has STOP_GRACE_MS to come to an end. The final report, whose numbers the
 * user ends the session for, may take until STOP_FINAL_MS. A second signal ends the process at once, whatever it
 * waits for: what must be undone the kernel undoes.
 */
#ifndef TM_TRACE_STOP_SIGNALS_H
#define TM_TRACE_STOP_SIGNALS_H

#include <stdbool.h>

#include "snapshot/trace_end.h"

#define STOP_GRACE_MS 70
#define STOP_FINAL_MS 5000
#define STOP_LAST_MS  300 /* from the second one to the end */

/**
 * Handle them from now on, except those that are ignored already (nohup); SIGPIPE and SIGXFSZ become errors
 * of write(2). Returns: a descriptor that is readable once a signal has come (belongs to this file), -errno.
 */
int stop_signals_open(void);
void stop_signals_close(void);

/** Which signal ends the session; TRACE_END_NONE: none came. */
enum trace_end_reason stop_signals_reason(void);
/** Has SIGUSR1 come since the last call? Also makes the descriptor wait again. */
bool stop_signals_take_now(void);
/** A signal to end has come: for the cancel of base/slow_out.h, which waits by itself for a reader that reads. */
bool stop_signals_came(void *ctx);
/** From now on it is the final report that is made, or nothing is left to cut short. */
void stop_signals_begin_final(void);
/** A signal to end came longer ago than what is under way may take. For struct cancel; ctx is not used. */
bool stop_signals_overdue(void *ctx);
/** A second signal has come: the process ends within STOP_LAST_MS. */
bool stop_signals_twice(void);

#endif
