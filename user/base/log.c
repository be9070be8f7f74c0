/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the user, on stderr. Each goes out in one write, so that lines of several processes
 * do not mix, and cleaned, because names come from the target and must not control a terminal.
 */
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/codes.h"
#include "base/text.h"

static enum log_level log_level = LOG_WARN;
static int first_status; /* of the first coded error; 0 = none yet */
static log_sink_fn sink_fn;
static void *sink_ctx;
static log_sink_fn divert_fn;
static void *divert_ctx;

void log_set_level(enum log_level level)
{
	log_level = level;
}

enum log_level log_get_level(void)
{
	return log_level;
}

void log_set_sink(log_sink_fn fn, void *ctx)
{
	sink_fn = fn;
	sink_ctx = ctx;
}

void log_divert(log_sink_fn fn, void *ctx)
{
	divert_fn = fn;
	divert_ctx = ctx;
}

/* The text of a message; without memory the bare format, which still names the failure. */
static const char *format_text(struct buf *text, const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		return fmt;
	/* libbpf ends its texts with a newline. */
	size_t len = strlen(s);

	if (len && s[len - 1] == '\n')
		s[len - 1] = '\0';
	text_append_clean(text, s);
	free(s);
	if (!text->data)
		return text->oom ? fmt : "";
	return text->data;
}

static void write_coded(enum log_level level, const char *code, const char *message,
			const char *raw_fix)
{
	const char *word = level == LOG_ERROR ? "error" : "warning";
	_cleanup_(buf_release) struct buf text = {0};

	if (raw_fix) /* it repeats names */
		text_append_clean(&text, raw_fix);
	const char *fix = raw_fix && text.data ? text.data : NULL;

	if (divert_fn) {
		divert_fn(divert_ctx, level, code, message, fix);
		return;
	}
	if (fix)
		fprintf(stderr, "tmbpf: %s %s: %s\ntmbpf:   fix: %s\n", word, code, message, fix);
	else
		fprintf(stderr, "tmbpf: %s %s: %s\n", word, code, message);
	if (sink_fn)
		sink_fn(sink_ctx, level, code, message, fix);
}

int log_err(int err, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf text = {0};
	const char *message;
	char reason[128];
	va_list ap;

	va_start(ap, fmt);
	message = format_text(&text, fmt, ap);
	va_end(ap);
	if (divert_fn)
		divert_fn(divert_ctx, LOG_ERROR, "", message, NULL);
	else if (err)
		fprintf(stderr, "tmbpf: error: %s: %s\n", message,
			strerror_r(abs(err), reason, sizeof(reason)));
	else
		fprintf(stderr, "tmbpf: error: %s\n", message);
	return err;
}

static void write_plain(enum log_level level, const char *word, const char *fmt, va_list ap)
{
	_cleanup_(buf_release) struct buf text = {0};

	if (level > log_level)
		return;
	fprintf(stderr, "tmbpf: %s%s\n", word, format_text(&text, fmt, ap));
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_plain(LOG_WARN, "warning: ", fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_plain(LOG_INFO, "", fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_plain(LOG_DEBUG, "debug: ", fmt, ap);
	va_end(ap);
}

void log_talk(const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "%s\n", format_text(&text, fmt, ap));
	va_end(ap);
}

int log_coded_err(int err, const char *code, const char *fix, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf text = {0};
	va_list ap;

	if (!first_status && !divert_fn)
		first_status = codes_exit_status(code);
	va_start(ap, fmt);
	write_coded(LOG_ERROR, code, format_text(&text, fmt, ap), fix);
	va_end(ap);
	return err;
}

void log_coded_warn(const char *code, const char *fix, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	write_coded(LOG_WARN, code, format_text(&text, fmt, ap), fix);
	va_end(ap);
}

int log_exit_status(int fallback)
{
	return first_status ? first_status : fallback;
}
