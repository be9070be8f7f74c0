/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where CPython up to 3.8 hands out the first block of a new pool. The shape: see pool_init.c. */
#ifndef TM_SITES_POOL_INIT_H
#define TM_SITES_POOL_INIT_H

#include "sites/decode.h"
#include "sites/site_list.h"

/**
 * Append a site (init; reg holds the pool, reg2 the new size index) for every way into the setting up of a
 * pool, sorted by address. uncovered: ways on which there is no jump that could be probed.
 * Returns: 0, -ENOMEM, -EFBIG.
 */
int pool_inits_find(const struct code *code, struct site_list *out, size_t *uncovered);

#endif
