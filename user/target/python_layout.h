/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of python_target.c: what a Python file says of itself. For this room only. */
#ifndef TM_TARGET_PYTHON_LAYOUT_H
#define TM_TARGET_PYTHON_LAYOUT_H

#include "target/python_target.h"

#define PY_SUPPORTED "CPython 3.11 to 3.13 (not free-threaded)"

/** Version from Py_Version (3.11+), else from _Py_DebugOffsets (3.13+). Returns: true when found. */
bool python_version_read(const struct target_object *obj, uint64_t runtime_vaddr,
			 struct python_target *out);

/**
 * Compare out->offsets with _Py_DebugOffsets at runtime_vaddr of the file (3.13+). When the file
 * differs its values win: out->offsets then points to t->py_row.
 * Returns: 0 (also for versions without the table), -EBADMSG, -ENOTSUP (free-threaded), -ENOMEM.
 */
int python_debug_offsets_check(struct target *t, uint64_t runtime_vaddr, struct python_target *out);

/** Which allocator serves the obj domain; PY_ALLOC_UNKNOWN when that cannot be proven. */
enum py_allocator python_allocator_find(const struct target *t, const struct python_target *py);

#endif
