/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parts of python_target.c: facts that a Python file and a living interpreter publish. For this room only.
 */
#ifndef TM_TARGET_PYTHON_LAYOUT_H
#define TM_TARGET_PYTHON_LAYOUT_H

#include "base/command.h"
#include "target/python_target.h"

#define PY_SUPPORTED "CPython 3.6 to 3.15"
/* The C allocator of the process can still be traced. */
#define PY_NATIVE_STILL command_to_trace("--domains", "native")

/**
 * Version of the interpreter in obj: from Py_Version (3.11 on), from _Py_DebugOffsets (3.13 on), else from
 * the text of sys.version in its data and from the names in the file. runtime_vaddr: 0 = no _PyRuntime.
 * Returns: true when found; micro and the text of the version may then still be short of a patch release.
 */
bool python_version_read(const struct target *t, const struct target_object *obj,
			 uint64_t runtime_vaddr, struct python_target *out);

/** Is there a _Py_DebugOffsets table at runtime_vaddr of a free-threaded build? */
bool python_is_free_threaded(const struct elf_image *img, uint64_t runtime_vaddr);

/**
 * Compare py->offsets with _Py_DebugOffsets at runtime_vaddr of the file (3.13 on). When the file
 * differs its values win: py->offsets then points to t->py_row.
 * Returns: 0 (also for versions without the table), -EBADMSG, -ENOMEM.
 */
int python_debug_offsets_check(struct target *t, uint64_t runtime_vaddr, struct python_target *py);

/**
 * Check and complete it with the types of the living interpreter: tp_members of code and frame objects and
 * tp_basicsize. Needs code_type_addr. Returns: 0, -EBADMSG (strings of an unknown layout), -ENOMEM, -errno.
 */
int python_members_check(struct target *t, struct python_target *py);

/** Address of a global type like "PyCode_Type"; 0 when it has no symbol. */
uint64_t python_type_addr(const struct target *t, const struct python_target *py, const char *name);

/**
 * Which allocator serves the obj domain; PY_ALLOC_UNKNOWN when that cannot be proven. Fills py->hooks, as far
 * as they could be followed also then. Needs object, minor, runtime_addr.
 */
enum py_allocator python_allocator_find(const struct target *t, struct python_target *py);

#endif
