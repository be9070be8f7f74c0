/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPython inside a target: which object holds it, its version, and where its runtime lives. */
#ifndef TM_TARGET_PYTHON_TARGET_H
#define TM_TARGET_PYTHON_TARGET_H

#include "target/py_offsets.h"
#include "target/target.h"

/* Allocator that serves Python objects now, below all hooks. */
enum py_allocator {
	PY_ALLOC_PYMALLOC = 0,
	PY_ALLOC_MALLOC = 1, /* PYTHONMALLOC=malloc */
	PY_ALLOC_BY_DOMAIN =
		2,	      /* one with functions of its own for each domain; none before 3.13 */
	PY_ALLOC_UNKNOWN = 3, /* not proven */
};

/* Hook that is called in place of the allocator, and calls it in turn. */
struct py_hooks {
	uint8_t debug_bytes; /* PYTHONMALLOC=debug: bytes by which each block is longer; 0 = none */
	bool tracemalloc;    /* it runs in the target */
	char file[64];	     /* of hooks that are not the interpreter's, like memray's; "" = none */
};

/*
 * How the code finds the PyThreadState of the running thread; found by decoding (sites/python_slot.h), the
 * place is vaddr + off, or with indirect the word at vaddr + off.
 */
enum py_slot_kind {
	PY_SLOT_NONE = 0,
	PY_SLOT_KEY,	   /* int: the pthread key; 3.6 */
	PY_SLOT_TSS,	   /* Py_tss_t {int is_initialized; pthread_key_t key}; 3.7 to 3.14 */
	PY_SLOT_TLS,	   /* no place: off is from the thread pointer; 3.15 in an executable */
	PY_SLOT_TLS_INDEX, /* struct tls_index {module, offset}, + tls_disp; 3.15 in a library */
};

struct py_slot {
	enum py_slot_kind kind;
	bool indirect;
	uint64_t vaddr;
	int64_t off;
	int64_t tls_disp;
};

/* thread pointer + off[0]; then, hops times: the word there + the next off. There is the PyThreadState *. */
struct py_tstate_path {
	unsigned hops; /* 0..2 */
	int64_t off[3];
};

struct python_target {
	struct target_object *object; /* the executable or libpython; borrowed from the target */
	unsigned major, minor, micro;
	char version[32];   /* "3.11.2", "3.9" where the patch release is unknown */
	bool free_threaded; /* built with --disable-gil */
	const struct py_offsets
		*offsets;      /* static, or the target's own; borrowed from the target */
	uint64_t runtime_addr; /* of _PyRuntime; 0 in 3.6, which has none */
	struct py_tstate_path tstate;
	uint64_t code_dealloc_addr; /* process address PyCode_Type.tp_dealloc points to */
	uint64_t code_type_addr;    /* of PyCode_Type: what ob_type of a code object must be */
	enum py_allocator allocator;
	struct py_hooks hooks;
	uint64_t domain_free
		[2]; /* PY_ALLOC_BY_DOMAIN: free(ctx, block) of the mem and obj domains; 0 = unknown */
};

/**
 * Find CPython in the target: all but `tstate`. Logs a coded error itself except for -ENOENT.
 * Returns: 0, -ENOENT (no CPython mapped: the native domain still works), -ENOTSUP (E303: a version
 * or build we do not know), -EAGAIN (not initialised yet; not logged), -EBADMSG, -errno.
 */
int python_target_find(struct target *t, struct python_target *out);

/**
 * Fill py->tstate from the place that decoding found; PY_SLOT_NONE: from the version's own row.
 * Logs a coded error itself except for -EAGAIN.
 * Returns: 0, -EAGAIN (the interpreter is not initialised yet), -ENOTSUP (E303), -EBADMSG (E304), -errno.
 */
int python_target_set_slot(struct target *t, struct python_target *py, const struct py_slot *slot);

/** Is there a CPython mapped in the target (initialised or not)? Looks at its maps as last read. */
bool python_target_mapped(struct target *t);

/** Use this alignment of size classes (3 or 4) instead of the row's. Returns: 0, -ENOMEM. */
int python_target_set_align(struct target *t, struct python_target *py, uint8_t shift);

/**
 * A target is not Python, but perhaps a child of it is (a shell script, a supervisor): text like
 * "its child 4713 is CPython 3.11" for the hint of E302. Looks at names only.
 * Returns: 0, -ENOENT (none).
 */
int python_target_hint_child(pid_t pid, char *out, size_t cap);

/** 3.minor of a file that is a CPython 3 (3.6 on). Returns: true when it is. */
bool python_image_minor(const struct elf_image *img, unsigned *minor);

#endif
