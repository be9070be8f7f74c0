/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hooks in front of an interpreter's allocator, as a profiler or an extension module sets them; loaded by
 * hooked.py. Needs no libc, so that one build serves interpreters of every root.
 */
#include <stddef.h>

struct allocator { /* PyMemAllocatorEx, Include/cpython/pymem.h */
	void *ctx;
	void *(*malloc)(void *ctx, size_t size);
	void *(*calloc)(void *ctx, size_t count, size_t size);
	void *(*realloc)(void *ctx, void *old, size_t size);
	void (*free)(void *ctx, void *block);
};

void PyMem_GetAllocator(int domain, struct allocator *out);
void PyMem_SetAllocator(int domain, struct allocator *a);

enum { RAW, MEM, OBJ, DOMAINS };
enum { ENTRY, INSIDE, SHARED, NOTHING }; /* where the context leads to what was there before */

struct state {
	unsigned long calls, bytes;
	struct allocator behind;
};

static struct allocator saved[DOMAINS];
static struct state states[DOMAINS];
static struct {
	unsigned long calls;
	struct allocator behind[DOMAINS];
} shared;

/* Functions of one domain that take the former entry from `behind`. */
#define HOOKS(name, behind)                                                                       \
	static void *name##_malloc(void *ctx, size_t size)                                        \
	{                                                                                         \
		return (behind)->malloc((behind)->ctx, size);                                     \
	}                                                                                         \
	static void *name##_calloc(void *ctx, size_t count, size_t size)                          \
	{                                                                                         \
		return (behind)->calloc((behind)->ctx, count, size);                              \
	}                                                                                         \
	static void *name##_realloc(void *ctx, void *old, size_t size)                            \
	{                                                                                         \
		return (behind)->realloc((behind)->ctx, old, size);                               \
	}                                                                                         \
	static void name##_free(void *ctx, void *block)                                           \
	{                                                                                         \
		(behind)->free((behind)->ctx, block);                                             \
	}                                                                                         \
	static const struct allocator name = {NULL, name##_malloc, name##_calloc, name##_realloc, \
					      name##_free};

HOOKS(entry, (struct allocator *)ctx)
HOOKS(inside, &((struct state *)ctx)->behind)
HOOKS(shared_raw, &shared.behind[RAW])
HOOKS(shared_mem, &shared.behind[MEM])
HOOKS(shared_obj, &shared.behind[OBJ])

static const struct allocator *const by_domain[] = {&shared_raw, &shared_mem, &shared_obj};

/* Only the place that the kind uses is filled: an entry beside a context would be one too many. */
void install(int kind)
{
	for (int d = 0; d < DOMAINS; d++) {
		struct allocator *behind = kind == ENTRY    ? &saved[d]
					   : kind == INSIDE ? &states[d].behind
							    : &shared.behind[d];
		struct allocator hook = kind == ENTRY	 ? entry
					: kind == INSIDE ? inside
							 : *by_domain[d];

		PyMem_GetAllocator(d, behind);
		hook.ctx = kind == ENTRY    ? (void *)behind
			   : kind == INSIDE ? (void *)&states[d]
			   : kind == SHARED ? (void *)&shared
					    : NULL;
		PyMem_SetAllocator(d, &hook);
	}
}
