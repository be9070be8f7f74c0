/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One allocator as this room sees it. A provider is a constant struct of functions in a file of its own and a
 * row of bpf/allocators.h; nothing else names it.
 */
#ifndef TM_ALLOC_PROVIDER_H
#define TM_ALLOC_PROVIDER_H

#include <stdio.h>

#include "alloc/alloc.h"
#include "alloc/heap_reader.h"

struct alloc_provider {
	/**
	 * Is it in the target, and where are its sites? What it found goes to *state, which stays NULL when it
	 * serves nothing here. Providers of earlier rows have been asked before. Logs and codes by itself.
	 * Returns: 0, -errno (nothing can be traced). Owns: *state, given back by release().
	 */
	int (*find)(struct alloc_set *set, void **state);
	void (*release)(void *state);

	/* The rest is called with the state that find() made; all but plan() may be NULL. */

	/** Append its probes, the ends of blocks first. */
	void (*plan)(const struct alloc_set *set, const void *state, struct probe_list *out);
	/** Set the constants of its part in bpf/. */
	void (*configure)(const struct alloc_set *set, const void *state, struct tmbpf_bpf *skel);
	/**
	 * A reader that tells which of its blocks live; NULL: they are in the live table until a probe sees
	 * their end. Returns: 0, -ENOMEM. Owns: *out, heap_reader_free().
	 */
	int (*liveness)(const struct alloc_set *set, struct heap_reader **out);
	/** Add to the facts. */
	void (*facts)(const struct alloc_set *set, const void *state, struct alloc_facts *out);
	/** Print what was found. Returns: 0, -EIO. */
	int (*print)(const struct alloc_set *set, const void *state, FILE *out, bool verbose);

	/**
	 * Print the sites that a file has; NULL: they cannot be found without a process.
	 * Returns: 0, -ENOENT (none of its), -EIO, -errno (logged).
	 */
	int (*print_file)(const struct elf_image *img, FILE *out, bool verbose, bool use_cache);
};

#define X(name) extern const struct alloc_provider alloc_##name;
TM_ALLOCATOR_LIST(X)
#undef X

#endif
