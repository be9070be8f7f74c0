/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the user: everything here goes to stderr (stdout is data). A failure is logged once,
 * by the function that knows most, and its code travels upwards as a negative errno.
 *
 * Coded messages (interface: every failure has a code, a reason and the exact fix) look like
 *     tmbpf: error E301: no process 4711
 *     tmbpf:   fix: ...
 * The first E code logged decides the exit status: E3xx 3, E4xx 4, E5xx 5, E6xx 6, E7xx 7, E2xx 2.
 */
#ifndef TM_BASE_LOG_H
#define TM_BASE_LOG_H

#include <stdarg.h>

enum log_level {
	LOG_ERROR = 0,
	LOG_WARN = 1,
	LOG_INFO = 2,  /* -v */
	LOG_DEBUG = 3, /* -vv */
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/**
 * Log a failure and pass its code on: return log_err(-errno, "cannot open %s", path);
 * The text of err is added. Returns: err.
 */
int log_err(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** Progress and next-step lines of a command: one line on stderr, without prefix. */
void log_talk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * A coded error: code is a literal that has a row in base/codes.c; fix is the exact thing to do, may be NULL.
 * Returns: err.
 */
int log_coded_err(int err, const char *code, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/** A coded warning ("W103"); also handed to the sink, so that -j carries it on stdout. */
void log_coded_warn(const char *code, const char *fix, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** Exit status of the first coded error logged so far, or fallback when there was none. */
int log_exit_status(int fallback);

/* Receives every coded warning and error (level, code, message, fix or NULL) after it went to stderr. */
typedef void (*log_sink_fn)(void *ctx, enum log_level level, const char *code, const char *message,
			    const char *fix);
void log_set_sink(log_sink_fn fn, void *ctx);

/**
 * Until called with NULL: every coded message and log_err() (with code "") goes to fn alone, not to stderr,
 * and decides no exit status. For asking many processes or files what is wrong with each.
 */
void log_divert(log_sink_fn fn, void *ctx);

/* Counts a message of a call site; true for the first `limit` times. */
#define log_ratelimit(limit)              \
	({                                \
		static unsigned tm_seen_; \
		tm_seen_++ < (limit);     \
	})

#endif
