/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small objects handed out between the last read of the heap and the end of the target, when the heap itself
 * is gone: what BPF recorded in pools that were opened since, and in the part of a pool that was never handed
 * out before. Whether such a block was freed again is not known: a process that ran out of memory kept them.
 */
#ifndef TM_DRAIN_LATE_BLOCKS_H
#define TM_DRAIN_LATE_BLOCKS_H

#include "alloc/heap_reader.h"
#include "probe/bpf_session.h"

struct late_blocks { /* the pools as the last read found them */
	struct seen_pool {
		uint64_t addr;
		uint32_t szidx,
			used; /* blocks from the beginning that were handed out at some time */
	} * items;
	size_t count, cap;
	uint32_t blocks[TM_SIZE_CLASSES]; /* of a pool, by szidx; 0: none was seen */
	uint32_t class_unit;		  /* bytes between two size classes; 0: no pool was seen */
};

void late_blocks_reset(struct late_blocks *l);
void late_blocks_release(struct late_blocks *l);
/** Pools in order of their addresses. Returns: 0, -ENOMEM. */
int late_blocks_note(struct late_blocks *l, const struct pool_state *p);
/** Each block handed out since, with its stack. */
void late_blocks_each(const struct late_blocks *l, const struct bpf_session *s,
		      void (*fn)(void *ctx, uint32_t stack_id, uint32_t bytes), void *ctx);

/** The record of a block of a pool, of its directory entry's `ref`; NULL: none. */
uint32_t *pool_slot_at(const struct bpf_session *s, uint64_t ref, uint32_t block);

#endif
