/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compact JSON. Out of memory is sticky in the buffer, so that callers check once, at the end. */
#include "base/json_writer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/utf8.h"

/* c: below U+10000, all that is not printable is. */
static void put_escaped(struct buf *out, uint32_t c)
{
	static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
	const char *at = c && c < 0x80 ? strchr(named, (int)c) : NULL;

	if (at)
		(void)buf_printf(out, "\\%c", letters[at - named]);
	else
		(void)buf_printf(out, "\\u%04x", c);
}

static void put_string(struct buf *out, const char *s)
{
	const char *run = s; /* start of the bytes that go out as they are */

	(void)buf_append_str(out, "\"");
	while (*s) {
		bool printable;
		size_t len = text_char_len(s, &printable);

		if (printable && *s != '"' && *s != '\\') {
			s += len;
			continue;
		}
		(void)buf_append(out, run, (size_t)(s - run));
		put_escaped(out, utf8_code_point(s, len));
		s += len;
		run = s;
	}
	(void)buf_append(out, run, (size_t)(s - run));
	(void)buf_append_str(out, "\"");
}

/* Comma and key in front of a value. */
static void begin_value(struct json_writer *w, const char *key)
{
	if (w->need_comma)
		(void)buf_append_str(w->out, ",");
	w->need_comma = true;
	if (key) {
		put_string(w->out, key);
		(void)buf_append_str(w->out, ":");
	}
}

static void open_group(struct json_writer *w, const char *key, const char *bracket)
{
	begin_value(w, key);
	(void)buf_append_str(w->out, bracket);
	w->need_comma = false;
}

static void close_group(struct json_writer *w, const char *bracket)
{
	(void)buf_append_str(w->out, bracket);
	w->need_comma = true;
}

void json_object_begin(struct json_writer *w, const char *key)
{
	open_group(w, key, "{");
}

void json_object_end(struct json_writer *w)
{
	close_group(w, "}");
}

void json_array_begin(struct json_writer *w, const char *key)
{
	open_group(w, key, "[");
}

void json_array_end(struct json_writer *w)
{
	close_group(w, "]");
}

void json_str(struct json_writer *w, const char *key, const char *value)
{
	if (!value) {
		json_null(w, key);
		return;
	}
	begin_value(w, key);
	put_string(w->out, value);
}

void json_u64(struct json_writer *w, const char *key, uint64_t value)
{
	begin_value(w, key);
	(void)buf_printf(w->out, "%" PRIu64, value);
}

void json_i64(struct json_writer *w, const char *key, int64_t value)
{
	begin_value(w, key);
	(void)buf_printf(w->out, "%" PRId64, value);
}

void json_double(struct json_writer *w, const char *key, double value)
{
	char text[32];

	if (!isfinite(value)) {
		json_null(w, key);
		return;
	}
	begin_value(w, key);
	/* The shortest of these that reads back as the same number: 0.1, not 0.10000000000000001. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	(void)buf_append_str(w->out, text);
}

void json_bool(struct json_writer *w, const char *key, bool value)
{
	begin_value(w, key);
	(void)buf_append_str(w->out, value ? "true" : "false");
}

void json_null(struct json_writer *w, const char *key)
{
	begin_value(w, key);
	(void)buf_append_str(w->out, "null");
}
