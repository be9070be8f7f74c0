/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which blocks were alive at attach and have no record: the ones that are not ours to explain. All
 * others that are alive later were born since attach, so coverage can be measured instead of hoped for.
 */
#ifndef TM_DRAIN_CENSUS_H
#define TM_DRAIN_CENSUS_H

#include "alloc/heap_reader.h"

struct census;

int census_new(struct census **out);
void census_free(struct census *c);
DEFINE_CLEANUP(struct census *, census_free);

/** Remember the blocks of a pool given as a bitmap. Returns: 0, -ENOMEM. */
int census_add(struct census *c, const struct pool_state *pool, const uint64_t *blocks);

/**
 * Blocks of this pool that were there at attach, into out[POOL_BITMAP_WORDS]. A pool that has another
 * size class by now holds none of them.
 */
void census_get(const struct census *c, const struct pool_state *pool, uint64_t *out);

/**
 * Drop the blocks that are dead now: what is born in their place is born since attach. A pool that has
 * another size class is forgotten.
 */
void census_prune(struct census *c, const struct pool_state *pool);

/**
 * At the end of a read of the whole heap: pools that were not pruned in it are gone, with all their blocks;
 * what is mapped in their place later is new.
 */
void census_sweep(struct census *c);

#endif
