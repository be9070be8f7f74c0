/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layouts of CPython by minor version, x86-64: equal in all builds of a minor. What the target itself states
 * (_Py_DebugOffsets from 3.13 on, the member tables of its types) wins over the row.
 */
#include "target/py_offsets.h"

#include <stddef.h>

#include "base/cleanup.h"

static const struct py_offsets rows[] = {
#include "target/py_offsets_rows.h"
};

const struct py_offsets *py_offsets_get(unsigned minor, bool free_threaded)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].minor == minor && rows[i].free_threaded == free_threaded)
			return &rows[i];
	}
	return NULL;
}
