/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line tables before 3.11: pairs of an unsigned step of addresses and a signed step of lines.
 *
 *	3.6-3.9  co_lnotab: the line changes after the step; the last entry at or before the address
 *		 counts. PyCode_Addr2Line(), Objects/codeobject.c, v3.6.0 and v3.9.18.
 *	3.10     co_linetable: each pair is a range of its own with the line as it is after the step; -128 is
 *		 "no line". Ranges without length only move the line. advance() and _PyCode_CheckLineNumber(),
 *		 Objects/codeobject.c, v3.10.13.
 */
#include "symbolize/symbolize.h"

#include "base/cursor.h"

#define LINE_NONE     (-1)
#define RANGE_NO_LINE (-128)

int32_t py_lnotab_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t lasti)
{
	struct cursor c = cursor_init(table, len);
	int64_t line = firstlineno, addr = 0;

	while (cursor_left(&c) >= 2) {
		addr += cursor_u8(&c);
		if (addr > lasti)
			break;
		line += (int8_t)cursor_u8(&c);
	}
	return line > INT32_MAX || line < INT32_MIN ? LINE_NONE : (int32_t)line;
}

int64_t py_lnotab_end(const uint8_t *table, size_t len)
{
	int64_t end = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		end += table[i];
	return end;
}

int32_t py_ranges_line(const uint8_t *table, size_t len, int32_t firstlineno, int64_t addrq)
{
	struct cursor c = cursor_init(table, len);
	int64_t line = firstlineno, end = 0;

	if (addrq < 0)
		return firstlineno;
	while (cursor_left(&c) >= 2) {
		int delta = 0;

		end += cursor_u8(&c);
		delta = (int8_t)cursor_u8(&c);
		if (delta != RANGE_NO_LINE)
			line += delta;
		if (addrq < end)
			return delta == RANGE_NO_LINE || line > INT32_MAX || line < INT32_MIN
				       ? LINE_NONE
				       : (int32_t)line;
	}
	return LINE_NONE;
}
