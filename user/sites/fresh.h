/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Proof by backward data flow that the object at a new-reference site always comes out of an
 * allocation, never off a free list. What cannot be proven counts as not proven; there is no guessing.
 */
#ifndef TM_SITES_FRESH_H
#define TM_SITES_FRESH_H

#include "sites/decode.h"
#include "sites/python_pops.h"
#include "sites/sites.h"

/** Set fresh_proven of each site; refill 0 = none. Returns: 0, -ENOMEM. */
int fresh_prove(const struct elf_image *img, const struct code *code, const struct pop_blocks *pops,
		uint64_t refill, struct site *sites, size_t count);

#endif
