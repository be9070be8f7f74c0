/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sites of the mimalloc that CPython carries since 3.13: what serves objects in free-threaded builds and
 * under PYTHONMALLOC=mimalloc. The shape: see mimalloc_sites.c.
 */
#ifndef TM_SITES_MIMALLOC_SITES_H
#define TM_SITES_MIMALLOC_SITES_H

#include "sites/sites.h"

#define MI_FREES_MAX 3

struct mimalloc_sites {
	struct site *pops; /* reg: the page; reg2: the block, 0 when the page has none left */
	size_t pop_count;
	struct fn_site frees[MI_FREES_MAX]; /* mi_free(block) */
	size_t free_count;
	uint8_t size_off, size_bytes;  /* of the block's size in struct mi_page_s */
	char reason[SITES_REASON_LEN]; /* why it is believed, or not */
};

/**
 * Find the sites. frees: vaddrs of the functions that the allocator tables name as free(ctx, block).
 * Returns: 0, -ENOENT (rejected, with the cause in reason), -EBADMSG, -ENOMEM.
 * Owns: mimalloc_sites_release().
 */
int mimalloc_sites_find(const struct elf_image *img, unsigned minor, const uint64_t *frees,
			size_t free_count, struct mimalloc_sites *out);
void mimalloc_sites_release(struct mimalloc_sites *s);

#endif
