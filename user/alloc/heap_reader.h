/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pymalloc's heap, read from outside in bulk while the target runs: which blocks are alive, by the
 * pools' own headers and free lists. The memory is hostile and moving: every pointer must stay inside
 * its pool, and a pool whose header changed meanwhile is read again.
 */
#ifndef TM_ALLOC_HEAP_READER_H
#define TM_ALLOC_HEAP_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/tmbpf.h"
#include "target/python_target.h"
#include "target/target.h"

#define POOL_BITMAP_WORDS (TM_POOL_SLOTS_MAX / 64)

struct pool_state { /* one pool at one moment */
	uint64_t addr;
	uint32_t szidx, class_bytes, blocks; /* blocks: that fit the pool */
	uint32_t ref_count;		     /* blocks handed out, from the header */
	uint32_t used; /* blocks from the beginning that were handed out at some time */
	bool moving;   /* changed during every read; this is the last one */
	uint64_t live[POOL_BITMAP_WORDS]; /* bit i: block i is handed out */
};

struct heap_reader;

int heap_reader_new(const struct target *t, const struct py_offsets *offsets,
		    struct heap_reader **out);
void heap_reader_free(struct heap_reader *r);
DEFINE_CLEANUP(struct heap_reader *, heap_reader_free);

typedef void (*pool_fn)(void *ctx, const struct pool_state *pool);

/**
 * Read the pools at addrs (sorted, multiples of the pool size) and hand each valid one to fn; a pool that
 * cannot be read, or whose header makes no sense any more, is dead with all its blocks and left out.
 * Returns: 0, -ESRCH (target gone), -EPERM.
 */
int heap_reader_pools(struct heap_reader *r, const uint64_t *addrs, size_t count, pool_fn fn,
		      void *ctx);

/**
 * Find every pool in the target's private anonymous memory by its header. Returns: 0 and *addrs (sorted,
 * owned by the caller, free()), -ESRCH, -EPERM, -ENOMEM.
 */
int heap_reader_find(struct heap_reader *r, uint64_t **addrs, size_t *count);

/**
 * Which alignment its pools have: 3.6 and 3.7 changed from 8 to 16 bytes in a patch release (bpo-27987), and
 * only the heap tells. Returns: 0 and the shift (3 or 4), -ENOENT (no pool yet), -ENOMEM, -ESRCH, -EPERM.
 */
int heap_reader_align_shift(const struct target *t, const struct py_offsets *offsets,
			    uint8_t *shift);

/**
 * Decode one pool image of pool_bytes. Returns: true when the header is sane. For tests and fuzzing too.
 */
bool pool_decode(const struct py_offsets *offsets, uint64_t addr, const void *image,
		 struct pool_state *out);

#endif
