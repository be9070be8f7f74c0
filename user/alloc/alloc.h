/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which allocators serve a target, and what to probe for them. Knows no allocator by name: each is a
 * provider (provider.h), a row of bpf/allocators.h.
 */
#ifndef TM_ALLOC_ALLOC_H
#define TM_ALLOC_ALLOC_H

#include <stdio.h>

#include "alloc/interpreter.h"
#include "alloc/probe_list.h"
#include "target/libc_target.h"

struct heap_reader;
struct tmbpf_bpf;

struct alloc_set {	       /* what was found in a target; read only */
	struct target *target; /* borrowed */
	struct alloc_opts opts;
	struct interpreter python;
	struct libc_target libc; /* object NULL: no malloc to probe */
	void **states;		 /* by row; NULL where the allocator serves nothing here */
	struct probe_list probes;
};

struct alloc_facts {
	bool objects_in_live_table; /* small objects are there, too: make room */
	bool has_pools;		    /* mode pools has something to follow */
	bool learns;		    /* the hits of choices tell fresh blocks from re-used ones */
	uint64_t growth_min_bytes;  /* of blocks in the live table, when only growth is followed */
	size_t pop_sites, libc_functions;
};

/**
 * Find the interpreter and all allocators, and plan their probes. Logs and codes: W120 to W127, W302,
 * E302 E303 E304. Returns: 0, -errno (nothing can be traced). Owns: *out; borrows the target.
 */
int alloc_find(struct target *t, const struct alloc_opts *opts, struct alloc_set **out);
void alloc_free(struct alloc_set *set);
DEFINE_CLEANUP(struct alloc_set *, alloc_free);

struct alloc_facts alloc_facts(const struct alloc_set *set);

/** Set the constants of the programs. Before loading. */
void alloc_configure(const struct alloc_set *set, struct tmbpf_bpf *skel);

/**
 * Reader that finds live blocks in the heap itself. Returns: 0 and *out, NULL when the live table has all
 * blocks; -ENOMEM. Owns: *out, heap_reader_free().
 */
int alloc_liveness(const struct alloc_set *set, struct heap_reader **out);

/** Text of `tmbpf sites -p PID`. Returns: 0, -EIO. */
int alloc_print(const struct alloc_set *set, FILE *out, bool verbose);

/** Text of `tmbpf sites FILE`. Returns: 0, -ENOENT (no allocator in it), -EIO, -errno (logged). */
int alloc_print_file(const struct elf_image *img, FILE *out, bool verbose, bool use_cache);

#endif
