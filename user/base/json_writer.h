/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streaming JSON into a struct buf. Escapes as RFC 8259; bytes that are not UTF-8 become \u00XX, so that the output
 * is always valid; what is not printable (base/text.h) is escaped too, for who reads it on a terminal. One object a
 * line for NDJSON: the caller adds the newline and flushes.
 */
#ifndef TM_BASE_JSON_WRITER_H
#define TM_BASE_JSON_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct json_writer {
	struct buf *out;
	bool need_comma;
};

void json_object_begin(struct json_writer *w, const char *key); /* key NULL: array element or top */
void json_object_end(struct json_writer *w);
void json_array_begin(struct json_writer *w, const char *key);
void json_array_end(struct json_writer *w);
void json_str(struct json_writer *w, const char *key, const char *value); /* NULL value: null */
void json_u64(struct json_writer *w, const char *key, uint64_t value);
void json_i64(struct json_writer *w, const char *key, int64_t value);
void json_double(struct json_writer *w, const char *key, double value); /* not finite: null */
void json_bool(struct json_writer *w, const char *key, bool value);
void json_null(struct json_writer *w, const char *key);

#endif
