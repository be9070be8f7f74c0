/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The location table of CPython 3.11 and later. One entry covers 1..8 code units:
 *
 *     first byte  1cccclll  c = code, l = code units - 1
 *     c 0..9      same line, one more byte of columns
 *     c 10..12    line += c - 10, two more bytes of columns
 *     c 13        line += svarint, no columns
 *     c 14        line += svarint, three varints (end line, columns)
 *     c 15        no line
 *
 * Only a first byte has bit 7 set, which is how the next entry is found, here as in CPython.
 * Source: Objects/locations.md and advance() in Objects/codeobject.c, v3.11.7; v3.12.1 and v3.13.0
 * read the same format.
 */
#include "symbolize/symbolize.h"

#include "base/cursor.h"

#define ENTRY_FIRST 0x80
#define CODE_UNIT   2 /* sizeof(_Py_CODEUNIT) */
#define LINE_NONE   (-1)

/* enum _PyCodeLocationInfoKind, Include/cpython/code.h, v3.11.7 */
enum {
	LOC_ONE_LINE0 = 10,
	LOC_ONE_LINE2 = 12,
	LOC_NO_COLUMNS = 13,
	LOC_LONG = 14,
	LOC_NONE = 15,
};

/* Advance past one entry; gives a cursor over the bytes after its first one. */
static struct cursor next_entry(struct cursor *c, uint8_t *first)
{
	*first = cursor_u8(c);
	size_t start = c->pos;
	size_t end = start;

	while (end < c->len && !(c->data[end] & ENTRY_FIRST))
		end++;
	cursor_seek(c, end);
	return cursor_sub(c, start, end - start);
}

static int32_t line_delta(unsigned code, struct cursor *rest)
{
	if (code == LOC_NO_COLUMNS || code == LOC_LONG)
		return cursor_svarint(rest);
	if (code >= LOC_ONE_LINE0 && code <= LOC_ONE_LINE2)
		return (int32_t)code - LOC_ONE_LINE0;
	return 0;
}

int32_t py_linetable_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t addrq)
{
	if (addrq < 0)
		return firstlineno;

	struct cursor c = cursor_init(table, len);
	int64_t line = firstlineno;
	int64_t end = 0;

	while (cursor_left(&c) > 0) {
		uint8_t first;
		struct cursor rest = next_entry(&c, &first);
		unsigned code = (first >> 3) & 15;

		if (!(first & ENTRY_FIRST))
			return LINE_NONE;
		line += line_delta(code, &rest);
		/* CPython's int would have overflowed: no table of a compiler does that. */
		if (!cursor_ok(&rest) || line > INT32_MAX || line < INT32_MIN)
			return LINE_NONE;
		end += ((first & 7) + 1) * CODE_UNIT;
		if (addrq < end)
			return code == LOC_NONE ? LINE_NONE : (int32_t)line;
	}
	return LINE_NONE;
}
