/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pop sites of pymalloc and the refill function that they call. The shape: see python_pops.c. */
#ifndef TM_SITES_PYTHON_POPS_H
#define TM_SITES_PYTHON_POPS_H

#include "sites/decode.h"
#include "sites/site_list.h"
#include "sites/sites.h"

/** Append a site for every inlined pop, sorted by address. Returns: 0, -ENOMEM, -EFBIG (> SITES_MAX). */
int pops_find(const struct code *code, struct site_list *out);

/* Instructions that load the block of a pop for which there is a site; sorted. */
struct pop_blocks {
	size_t *load;
	size_t count, cap;
};

/* Find the pop sites with the loads of the blocks. Owns: pop_blocks_release(), also on error. */
int pops_find_blocks(const struct code *code, struct site_list *out, struct pop_blocks *blocks);
void pop_blocks_release(struct pop_blocks *b);

/* The function that gives a fresh pool when nextpool == pool. */
struct refill {
	uint64_t vaddr;	     /* 0: no single function stood out */
	size_t votes;	     /* pop sites whose equal edge calls it */
	size_t best_other;   /* pop sites that reach the runner-up instead */
	size_t calls;	     /* calls and tail jumps to it in the whole text */
	size_t calls_missed; /* of those, not reached from any pop site */
};

/** Vote for the refill function. Returns: 0, -ENOMEM. */
int refill_find(const struct code *code, const struct site_list *pops, struct refill *out);

/**
 * Append a site for every call of the refill function: an emulated instruction after it that only this call
 * leads to, with the first block of the new pool in reg; without one the instruction right after the call.
 * Out: *uncovered, calls that have neither, tail jumps among them. Returns: 0, -ENOMEM, -EFBIG.
 */
int refill_results_find(const struct code *code, uint64_t refill_vaddr, struct site_list *out,
			size_t *uncovered);

/** Where some call has no site: the rets of the refill function. Returns: 0, -ENOENT, -ENOMEM, -EFBIG. */
int refill_rets_find(const struct elf_image *img, uint64_t refill_vaddr, struct site_list *out);

#endif
