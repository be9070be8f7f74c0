/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BPF maps and the target's heap -> what is alive now, by stack id. One drain reads everything; the
 * result is dense by id, so that millions of blocks cost no allocation.
 */
#ifndef TM_DRAIN_DRAIN_H
#define TM_DRAIN_DRAIN_H

#include "alloc/heap_reader.h"
#include "base/cancel.h"
#include "drain/census.h"
#include "probe/bpf_session.h"

struct stack_total {
	uint64_t bytes, blocks;
	uint64_t malloc_bytes, malloc_blocks; /* of these, from the table of malloc blocks */
};

struct drain_result {
	struct stack_total *by_stack; /* index: stack id; owned by the drain */
	size_t stack_cap;
	uint32_t *
		ids; /* the stacks that hold something, each once, in no order; owned by the drain */
	size_t id_count;
	uint64_t recorded_small,
		missed_small; /* pymalloc blocks born since attach: with, without a record */
	uint64_t small_bytes, all_bytes; /* of pymalloc blocks; of all blocks */
	uint64_t moving_pools;
	uint64_t duration_ns;
	bool coverage_known;
};

struct drain;

struct drain_opts {
	bool pools_mode;
};

int drain_new(struct bpf_session *s, struct target *t, const struct alloc_set *alloc,
	      const struct drain_opts *opts, struct drain **out);
void drain_free(struct drain *d);
DEFINE_CLEANUP(struct drain *, drain_free);

/** Asked while the heap and the tables are read, and at the end of a read, which then does not count. */
void drain_set_cancel(struct drain *d, struct cancel cancel);

/** The census: call once, right after everything is attached. Returns: 0, -ESRCH, -ENOMEM. */
int drain_census(struct drain *d);

/**
 * While probes are away: in the next drain_read() forget the records of blocks that are dead. Their addresses
 * will be handed out unseen, and must not count for the line that had them before.
 */
void drain_forget_dead(struct drain *d);

/**
 * Read everything. full: also look for pools that no probe has reported (coverage needs it; reads one
 * header per 16 KiB of anonymous memory). The result stays valid until the next call.
 * epoch: slots marked in another learning epoch are cleaned. Returns: 0, -ESRCH (target gone; the result
 * is the one before), -ECANCELED (same), -ENOMEM.
 */
int drain_read(struct drain *d, bool full, uint32_t epoch, const struct drain_result **out);

struct drain_ended {
	const struct drain_result *result;
	bool has_heap;	     /* there are small objects in it, as old as the last drain_read() */
	uint64_t late_bytes; /* of these: handed out since then */
};

/**
 * After the target has ended: the heap as in the last drain_read() and the tables as they are now. late: with
 * the small objects that were handed out since, as if all were kept (late_blocks.h).
 * Returns: 0, -errno (the result is the one before).
 */
int drain_read_ended(struct drain *d, bool late, struct drain_ended *ended);

#endif
