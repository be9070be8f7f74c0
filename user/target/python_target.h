/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPython inside a target: which object holds it, its version, and where its runtime lives. */
#ifndef TM_TARGET_PYTHON_TARGET_H
#define TM_TARGET_PYTHON_TARGET_H

#include "target/py_offsets.h"
#include "target/target.h"

enum py_allocator { /* which allocator serves the "obj" domain now */
		    PY_ALLOC_PYMALLOC = 0,
		    PY_ALLOC_MALLOC = 1,
		    PY_ALLOC_OTHER = 2, /* debug hooks, tracemalloc, memray, mimalloc */
		    PY_ALLOC_UNKNOWN = 3,
};

struct python_target {
	struct target_object *object; /* the executable or libpython; borrowed from the target */
	unsigned major, minor,
		micro;	  /* from the target's Py_Version / DebugOffsets / version string */
	char version[32]; /* "3.11.2" */
	const struct py_offsets
		*offsets;	    /* static, or the target's own; borrowed from the target */
	uint64_t runtime_addr;	    /* of _PyRuntime */
	uint32_t tss_key;	    /* autoTSSkey */
	int64_t tstate_slot_off;    /* thread pointer + this = slot that holds PyThreadState * */
	uint64_t code_dealloc_addr; /* process address PyCode_Type.tp_dealloc points to */
	uint64_t code_type_addr;    /* of PyCode_Type: what ob_type of a code object must be */
	enum py_allocator allocator;
};

/**
 * Find CPython in the target. Logs a coded error itself except for -ENOENT.
 * Returns: 0, -ENOENT (no CPython mapped: the native domain still works), -ENOTSUP (E303: a version
 * or build we do not know), -EAGAIN (E304: runtime not initialised yet), -EBADMSG, -errno.
 */
int python_target_find(struct target *t, struct python_target *out);

/**
 * A target is not Python, but perhaps a child of it is (a shell script, a supervisor): text like
 * "its child 4713 is CPython 3.11" for the hint of E302. Looks at names only.
 * Returns: 0, -ENOENT (none).
 */
int python_target_hint_child(pid_t pid, char *out, size_t cap);

/** 3.minor of a file that exports Py_Version (3.11+). Returns: true when it does and is CPython 3. */
bool python_image_minor(const struct elf_image *img, unsigned *minor);

#endif
