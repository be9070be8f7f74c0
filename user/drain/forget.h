/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While probes are away, addresses of dead blocks are handed out unseen. Their records must go before that, or
 * the new block counts for the line that had the address before. Only valid while no probe writes slots.
 */
#ifndef TM_DRAIN_FORGET_H
#define TM_DRAIN_FORGET_H

#include "drain/late_blocks.h"

/** The dead blocks of a pool of the heap; e: its directory entry, NULL: it has no records. */
void forget_dead_blocks(const struct bpf_session *s, const struct pool_state *p,
			const struct tm_dir_entry *e);
/** Pools that a read of the whole heap did not meet are empty or gone: all their blocks are dead. */
void forget_unseen_pools(const struct bpf_session *s, const struct late_blocks *seen);

#endif
