/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records made before the probes were taken away. Afterwards a block of malloc that is freed keeps its
 * record, and a small object's address may be handed out again unseen. Because of that the numbers of that
 * moment are kept for each stack: no more than that can still be live, and no stack seems to grow while
 * nothing looks.
 */
#ifndef TM_TRACE_UNFOLLOWED_H
#define TM_TRACE_UNFOLLOWED_H

#include "drain/drain.h"
#include "snapshot/snapshot.h"

struct unfollowed {
	struct snap_gap gap;	  /* its bytes and blocks are filled by unfollowed_apply() */
	struct stack_total *most; /* by stack id; owned */
	size_t count;
};

/** r: the drain right after the probes went. Returns: 0, -ENOMEM (u unchanged). */
int unfollowed_begin(struct unfollowed *u, const struct drain_result *r, bool malloc_only,
		     int64_t realtime_ns);
/** Probes are back. */
void unfollowed_end(struct unfollowed *u, int64_t realtime_ns);
void unfollowed_release(struct unfollowed *u);

/** Before the stacks of a new drain are applied, one call each. */
void unfollowed_restart(struct unfollowed *u, const struct drain_result *r);
/**
 * Corrects the value of a stack that holds *now, changed in place while the gap goes on.
 * Returns: bytes of it that are not followed, also added to u->gap.
 */
uint64_t unfollowed_apply(struct unfollowed *u, uint32_t id, struct stack_total *now);

#endif
