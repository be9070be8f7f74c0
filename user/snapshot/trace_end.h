/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a tracing session ended, and in which mode it ran: the key in files and NDJSON, the text and the exit
 * status from one list each.
 */
#ifndef TM_SNAPSHOT_TRACE_END_H
#define TM_SNAPSHOT_TRACE_END_H

#include <stdbool.h>
#include <stddef.h>

/*
 * id, key (stable: stands in files), exit status of the program, is the target gone?, text after the pid.
 * TRACE_END_TARGET_EXIT and _SIGNAL take a number: trace_end_text().
 */
#define TRACE_END_LIST(X)                                                               \
	X(NONE, "", 0, false, "is being traced")                                        \
	X(DONE, "done", 0, false, "was read")                                           \
	X(COUNT, "count", 0, false, "was traced for the reports that were asked for")   \
	X(DURATION, "duration", 0, false, "was traced for the time that was asked for") \
	X(SIGINT, "sigint", 0, false, "was traced until Ctrl-C")                        \
	X(SIGTERM, "sigterm", 0, false, "was traced until SIGTERM")                     \
	X(SIGHUP, "sighup", 0, false, "was traced until SIGHUP")                        \
	X(SIGUSR1, "sigusr1", 0, false, "was traced until SIGUSR1")                     \
	X(TARGET_EXIT, "target-exit", 0, true, "has exited")                            \
	X(TARGET_SIGNAL, "target-signal", 0, true, "was ended by a signal")             \
	X(TARGET_OOM, "target-oom", 0, true,                                            \
	  "was killed by the kernel because memory ran out (OOM)")                      \
	X(TARGET_EXEC, "target-exec", 0, true, "now runs another program")              \
	X(PYTHON_APPEARED, "python-appeared", 0, false, "has started an interpreter")   \
	X(ERROR, "error", 1, false, "could not be traced any longer")

enum trace_end_reason {
#define X(id, key, status, gone, text) TRACE_END_##id,
	TRACE_END_LIST(X)
#undef X
		TRACE_END_REASONS
};

struct trace_end {
	enum trace_end_reason reason;
	bool code_known; /* TARGET_EXIT, TARGET_SIGNAL: code is valid */
	int code;	 /* exit status; signal */
	double age_s;	 /* the last numbers are so much older than the end; 0: of the end itself */
	bool interrupted; /* the last report was cut short by the signal */
};

const char *trace_end_key(enum trace_end_reason reason);
bool trace_end_target_gone(enum trace_end_reason reason);
/** Exit status of the program when nothing else went wrong. */
int trace_end_status(enum trace_end_reason reason);
/** "has exited with status 7", "was ended by signal 11 (Segmentation fault)". Returns: out. */
const char *trace_end_text(const struct trace_end *end, char *out, size_t cap);

/* id, key, what the numbers of a line mean beside live blocks (NULL: just that). */
#define TRACE_MODE_LIST(X)                                                                      \
	X(UNKNOWN, "", NULL)                                                                    \
	X(EXACT, "exact", NULL)                                                                 \
	X(POOLS, "pools", "each pool's blocks are attributed to the line that opened the pool") \
	X(TRACEMALLOC, "tracemalloc", NULL)

enum trace_mode {
#define X(id, key, rule) TRACE_MODE_##id,
	TRACE_MODE_LIST(X)
#undef X
		TRACE_MODES
};

const char *trace_mode_key(enum trace_mode mode);
/** Meaning of the numbers; NULL: live blocks of the line. */
const char *trace_mode_rule(enum trace_mode mode);
/** key may be NULL. A key of a later version is TRACE_MODE_UNKNOWN. */
enum trace_mode trace_mode_of(const char *key);

#endif
