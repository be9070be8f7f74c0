/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Following an entry of the interpreter's allocator tables through all hooks. For python_alloc.c only. */
#ifndef TM_TARGET_PYTHON_ALLOC_CHAIN_H
#define TM_TARGET_PYTHON_ALLOC_CHAIN_H

#include "target/python_target.h"

#define ALLOC_HOPS_MAX	 8 /* hooks in a chain; more are a circle */
#define ALLOC_FENCES_MAX 20

struct alloc_entry { /* PyMemAllocatorEx, Include/cpython/pymem.h */
	uint64_t ctx, malloc, calloc, realloc, free;
};

/*
 * State of the debug hooks for each domain, static data of the interpreter also while they are not set:
 * struct _pymem_allocators.debug, Include/internal/pycore_pymem.h; up to 3.11 _PyMem_Debug, Objects/obmalloc.c.
 */
struct alloc_debug {
	struct alloc_debug_domain {
		uint64_t api_id; /* a char, padded: 'r', 'm', 'o' */
		struct alloc_entry alloc;
	} raw, mem, obj;
};
_Static_assert(sizeof(struct alloc_debug) == 144, "three of {char, PyMemAllocatorEx}");

struct alloc_place { /* the interpreter whose tables these are; all borrowed */
	const struct target *t;
	const struct target_object *object;
	const struct py_offsets *row;
	uint64_t debug_addr; /* of its struct alloc_debug */
	/* Contexts of all entries at hand: what is saved in one of them ends where the next one begins. */
	uint64_t fences[ALLOC_FENCES_MAX];
	unsigned fence_count;
};

struct alloc_end {	/* where an entry leads */
	bool known;	/* to plain functions of the interpreter: inner */
	bool elsewhere; /* to functions of another file, and no way on from there was seen */
	struct alloc_entry inner;
	struct py_hooks hooks; /* passed on the way */
	uint64_t ctx[ALLOC_HOPS_MAX];
	unsigned hops;
};

/** Are its functions code of some file, and its context nothing or data? */
bool alloc_entry_is_sane(const struct target *t, const struct alloc_entry *e);

/** Add the context of e to the fences, while there is room. */
void alloc_fence_add(struct alloc_place *p, const struct alloc_entry *e);

/** Follow e to its end; never fails, never loops: out->known: the end was found. */
void alloc_follow(const struct alloc_place *p, const struct alloc_entry *e, struct alloc_end *out);

/** Do both lead to the same functions? False when one is not known. */
bool alloc_same(const struct alloc_end *a, const struct alloc_end *b);

/* Do both pass the same context? Then it does not identify a domain. */
bool alloc_share_context(const struct alloc_end *a, const struct alloc_end *b);

/** Add the hooks of b to a. */
void alloc_hooks_add(struct py_hooks *a, const struct py_hooks *b);

#endif
