/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: line tables of all three formats. Input: i32 first line, i64 offset asked for, table.
 * Holds: no crash; a table of locations or ranges cut at any place gives the same line or none; the older
 * formats agree with CPython's way of reading them, written down here once more.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolize/symbolize.h"

#define LINE_NONE (-1)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

typedef int32_t (*line_fn)(const uint8_t *table, size_t len, int32_t firstlineno, int64_t offset);

static void check_cuts(line_fn line_of, const uint8_t *data, size_t len, int32_t firstlineno,
		       int64_t offset)
{
	int32_t line = line_of(data, len, firstlineno, offset);

	for (size_t cut = len; cut > 0 && cut + 8 > len; cut--) {
		uint8_t *table = malloc(cut); /* exact end, seen by ASan */

		if (!table)
			return;
		memcpy(table, data, cut);
		int32_t head = line_of(table, cut, firstlineno, offset);

		free(table);
		if (head != LINE_NONE && head != line)
			abort();
	}
	if (offset < 0 && line != firstlineno)
		abort();
}

static int32_t in_int(__int128 line)
{
	return line < INT32_MIN || line > INT32_MAX ? LINE_NONE : (int32_t)line;
}

/* PyCode_Addr2Line(), Objects/codeobject.c, v3.9.18: from the last entry at or before the offset. */
static int32_t lnotab_again(const uint8_t *table, size_t len, int32_t firstlineno, int64_t offset)
{
	size_t used = 0;
	__int128 addr = 0, line = firstlineno;

	while (used + 2 <= len && (addr += table[used]) <= offset)
		used += 2;
	for (size_t i = 0; i < used; i += 2)
		line += (signed char)table[i + 1];
	return in_int(line);
}

/* PyLineTable_NextAddressRange() and _PyCode_CheckLineNumber(), v3.10.13, with the last line kept. */
static int32_t ranges_again(const uint8_t *table, size_t len, int32_t firstlineno, int64_t offset)
{
	__int128 start = 0, computed = firstlineno;

	if (offset < 0)
		return firstlineno;
	for (size_t i = 0; i + 2 <= len; start += table[i], i += 2) {
		signed char delta = (signed char)table[i + 1];

		computed += delta == -128 ? 0 : delta;
		if (offset >= start && offset < start + table[i])
			return delta == -128 ? LINE_NONE : in_int(computed);
	}
	return LINE_NONE;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	int32_t firstlineno;
	int64_t offset;

	if (len < sizeof(firstlineno) + sizeof(offset))
		return 0;
	memcpy(&firstlineno, data, sizeof(firstlineno));
	memcpy(&offset, data + sizeof(firstlineno), sizeof(offset));
	data += sizeof(firstlineno) + sizeof(offset);
	len -= sizeof(firstlineno) + sizeof(offset);

	check_cuts(py_linetable_line, data, len, firstlineno, offset);
	check_cuts(py_ranges_line, data, len, firstlineno, offset);
	if (py_ranges_line(data, len, firstlineno, offset) !=
	    ranges_again(data, len, firstlineno, offset))
		abort();
	if (py_lnotab_line(data, len, firstlineno, offset) !=
	    lnotab_again(data, len, firstlineno, offset))
		abort();
	return 0;
}
