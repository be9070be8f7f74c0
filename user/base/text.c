/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/utf8.h"

#define SECOND_NS 1000000000LL

static bool steers_terminal(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x061c || cp == 0x200e ||
	       cp == 0x200f || (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069);
}

size_t text_char_len(const char *s, bool *printable)
{
	size_t len = utf8_char_len(s);

	*printable = len && !steers_terminal(utf8_code_point(s, len));
	return len ? len : 1;
}

void text_append_clean(struct buf *out, const char *s)
{
	const char *kept = s; /* start of the bytes that go out as they are */

	while (*s) {
		bool printable;
		size_t len = text_char_len(s, &printable);

		if (!printable) {
			(void)buf_append(out, kept, (size_t)(s - kept));
			(void)buf_append_str(out, "?");
			kept = s + len;
		}
		s += len;
	}
	(void)buf_append(out, kept, (size_t)(s - kept));
}

void text_print_clean(FILE *out, const char *s)
{
	for (size_t len; *s; s += len) {
		bool printable;

		len = text_char_len(s, &printable);
		fwrite(printable ? s : "?", 1, printable ? len : 1, out);
	}
}

char *text_clean(char *s)
{
	char *to = s;

	for (const char *from = s; *from;) {
		bool printable;
		size_t len = text_char_len(from, &printable);

		if (printable) {
			memmove(to, from, len);
			to += len;
		} else {
			*to++ = '?';
		}
		from += len;
	}
	*to = '\0';
	return s;
}

const char *text_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

size_t text_format_time(char *out, size_t cap, int64_t time_ns, enum text_time form)
{
	time_t seconds = (time_t)(time_ns / SECOND_NS);
	struct tm tm;

	*out = '\0';
	if (form == TEXT_LOCAL_CLOCK)
		return localtime_r(&seconds, &tm) ? strftime(out, cap, "%H:%M:%S", &tm) : 0;
	if (!gmtime_r(&seconds, &tm))
		return 0;
	switch (form) {
	case TEXT_UTC:
		return strftime(out, cap, "%Y-%m-%dT%H:%M:%SZ", &tm);
	case TEXT_UTC_OPEN:
		return strftime(out, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	case TEXT_UTC_NAME:
		return strftime(out, cap, "%Y%m%dT%H%M%SZ", &tm);
	default:
		return strftime(out, cap, "%H:%M:%SZ", &tm);
	}
}

/* One line, or what there is of it. */
static void append_line(struct buf *out, const char *s, size_t len)
{
	_cleanup_free_ char *line = strndup(s, len);

	if (line)
		text_append_clean(out, line);
}

/* Keep newlines, because they end the lines of messages that consist of several. */
static ssize_t write_clean(void *cookie, const char *data, size_t len)
{
	_cleanup_(buf_release) struct buf out = {0};
	const char *end = data + len;

	(void)cookie;
	for (const char *at = data; at < end;) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		append_line(&out, at, (size_t)((newline ? newline : end) - at));
		if (newline)
			(void)buf_append_str(&out, "\n");
		at = newline ? newline + 1 : end;
	}
	for (size_t done = 0; done < out.len;) {
		ssize_t n = write(STDERR_FILENO, out.data + done, out.len - done);

		if (n < 0 && errno != EINTR)
			return 0;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)len;
}

void text_clean_stderr(void)
{
	const cookie_io_functions_t io = {.write = write_clean};
	FILE *clean = fopencookie(NULL, "w", io);

	if (!clean)
		return;
	setvbuf(clean, NULL, _IOLBF, BUFSIZ);
	stderr = clean;
}
