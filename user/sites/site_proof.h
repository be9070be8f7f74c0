/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which stretches of the text are enough to find the same sites again. Used because decoding all of CPython's
 * text takes 90 % of the time of finding sites; the stretches are a tenth of it.
 */
#ifndef TM_SITES_SITE_PROOF_H
#define TM_SITES_SITE_PROOF_H

#include "sites/decode.h"
#include "sites/sites.h"

#define PROOF_RANGES_MAX (4 * SITES_MAX)

/**
 * Stretches of `reach` instructions to both sides of each site, of where it jumps to, of the refill function and
 * of the functions that name the trace word; then of what jumps out of these and into them. Sorted and apart.
 * Returns: 0, -EFBIG (more than PROOF_RANGES_MAX), -ENOMEM. Owns: *out, free().
 */
int proof_ranges(const struct elf_image *img, const struct code *code, const struct python_sites *s,
		 size_t reach, struct code_range **out, size_t *count);

/** Are all probes of both the same: addresses, registers, kinds, refill function, votes for it? */
bool proof_agrees(const struct python_sites *a, const struct python_sites *b);

#endif
