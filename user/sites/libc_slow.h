/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of libc_sites.c that the search for glibc's slow path shares. */
#ifndef TM_SITES_LIBC_SLOW_H
#define TM_SITES_LIBC_SLOW_H

#include "sites/decode.h"
#include "sites/sites.h"

/** Decode one function; len 0 = unknown. Returns: 0, -ENOENT, -ENOMEM. Owns: decode_release(). */
int fn_body_decode(const struct elf_image *img, uint64_t vaddr, uint64_t len, struct code *out);

/** The cheap site of the function at vaddr; args: bit set of its argument registers. Returns: 0, -ENOENT. */
int fn_site_at(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint16_t args,
	       struct fn_site *out);

/** Find _int_malloc() and set s->slow_malloc and s->slow_calls; why (not) goes to reason. */
void slow_malloc_find(const struct elf_image *img, struct libc_sites *s, char *reason, size_t len);

/* The parts of the search that follow tail calls. See libc_slow_graph.c. */

/** The best candidate. Returns: number of calls with malloc's own argument; 0 = none, or two are alike. */
unsigned slow_graph_best(const struct elf_image *img, uint64_t *vaddr);
/** How often a function calls it. */
unsigned slow_graph_calls_from(const struct elf_image *img, const char *caller, uint64_t vaddr);
/** Add the calls of s->slow_malloc in a function to s->slow_calls. */
void slow_graph_take(const struct elf_image *img, const char *caller, struct libc_sites *s);

#endif
