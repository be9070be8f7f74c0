/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text from outside (names of processes, files and functions, paths, lines of source) that goes to a terminal. One
 * rule for all of it: what is not a printable character becomes '?'.
 */
#ifndef TM_BASE_TEXT_H
#define TM_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

/**
 * Bytes of the character at s (not NUL) and whether it is printable: well-formed UTF-8 that neither moves a cursor
 * nor turns the direction of text. These are not: C0, DEL, C1 (U+0080 to U+009F), bidirectional
 * controls (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069).
 */
size_t text_char_len(const char *s, bool *printable);

/** Append s with each character that is not printable as '?'. */
void text_append_clean(struct buf *out, const char *s);
/* Clean into a stream. */
void text_print_clean(FILE *out, const char *s);
/* Clean in place, which never makes the text longer. Returns: s. */
char *text_clean(char *s);

/* The text after the last slash; the whole path when that is empty. Borrowed. */
const char *text_base_name(const char *path);

enum text_time {
	TEXT_UTC,	 /* 2026-01-31T12:00:00Z */
	TEXT_UTC_OPEN,	 /* the same without Z: a fraction follows */
	TEXT_UTC_CLOCK,	 /* 12:00:00Z */
	TEXT_UTC_NAME,	 /* 20260131T120000Z, for the name of a file */
	TEXT_LOCAL_CLOCK /* 12:00:00 */
};

/** A moment as text. Returns: its length; 0 and "" when it cannot be written. */
size_t text_format_time(char *out, size_t cap, int64_t time_ns, enum text_time form);

/** Make everything that this program and its libraries (argp, getopt) write to stderr clean, line by line. */
void text_clean_stderr(void);

#endif
