/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions of a file must be probed, found by decoding its text, with the reason why each
 * is believed. Registers are x86-64 numbers 0..15 (rax rcx rdx rbx rsp rbp rsi rdi r8..r15).
 */
#ifndef TM_SITES_SITES_H
#define TM_SITES_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/tmbpf.h"
#include "target/elf_image.h"

#define SITES_MAX	 4096 /* of one kind in one file; more means the anchor matched the wrong thing */
#define SITES_REASON_LEN 160

struct code_range; /* sites/decode.h */

struct site {
	uint64_t vaddr;
	uint64_t file_off;
	uint8_t reg;	  /* pop: holds the pool; new reference: holds the object */
	uint8_t evidence; /* number of independent ways that named the same register */
	/*
	 * New reference: decoding proves that on every path the object comes out of an allocation, never off
	 * a free list. Only such a site may be let go by learning.
	 */
	bool fresh_proven;
	bool after_pop; /* pop sites of the second form: the jump after the pop; block = see reg2 */
	bool init;	/* the first block of a new pool, up to 3.8: see pool_init.h */
	bool refill; /* the refill function has returned: reg holds the first block of a new pool */
	bool single_step; /* a refill site that the kernel does not emulate */
	uint8_t reg2;	  /* after_pop: holds the block that was popped; init: the size index */
};

#define RESULT_SITES_MAX 24
struct result_site { /* see fn_result.h */
	uint64_t vaddr;
	uint64_t file_off;
	uint16_t sp_bytes; /* the return address is at [rsp + sp_bytes] */
	uint8_t reg;
	uint8_t kind; /* enum tm_result */
	uint8_t cc;   /* only when the flags fulfil this condition of a jump; TM_RESULT_ALWAYS */
	bool single_step; /* a ret or an indirect jump: no emulated instruction on that path */
};

struct fn_results {
	struct result_site v[RESULT_SITES_MAX];
	size_t count;	  /* 0: not proven, a return probe is needed */
	unsigned crossed; /* at most so many of them in one call */
};

/* One libc entry point at its cheap instruction. */
struct fn_site {
	bool present;
	uint64_t entry_vaddr; /* the function's first instruction */
	uint64_t entry_off;   /* its file offset */
	/* Where a return probe is cheapest: vaddr while nothing is pushed there, else the entry. */
	uint64_t ret_vaddr, ret_off;
	uint64_t vaddr; /* the emulated instruction that every path passes, arguments untouched */
	uint64_t file_off;
	uint8_t sp_bytes; /* pushed between entry and vaddr: return address at [rsp + sp_bytes] */
	bool single_step; /* nothing emulated was found: vaddr is the entry, and expensive */
	/*
	 * Where a debugger puts `break FUNCTION`: the first of two to leave would restore the other's
	 * breakpoint.
	 */
	bool at_debugger;
	struct fn_results results;
	const char *unproven; /* why there are no results; NULL while there are */
};

struct python_sites {
	struct site *pops;
	size_t pop_count;
	struct site *newrefs;
	size_t newref_count;
	struct site *inits; /* up to 3.8, where there is no refill function */
	size_t init_count;
	size_t newref_disagree; /* candidates dropped because the two ways named different registers */
	struct site *refills; /* where the result of the refill function is seen; evidence 2 */
	size_t refill_count;
	uint64_t
		refill_vaddr; /* allocate_from_new_pool, after its endbr64. 0: there are inits instead */
	size_t refill_calls;	       /* pop sites that lead to it */
	uint64_t trace_word_vaddr;     /* the word that new-reference sites test */
	char reason[SITES_REASON_LEN]; /* why it is believed, one line */
	/* Stretches of the text in which all of this is found again; NULL: only the whole text shows it. Owned. */
	struct code_range *proof;
	size_t proof_count;
	bool from_cache;
};

struct libc_sites {
	struct fn_site fn[TM_FN_COUNT];
	struct fn_site
		slow_malloc; /* glibc's _int_malloc(arena, bytes); not present = not proven */
	/* The calls of slow_malloc in malloc and calloc: how far up the stack their caller's address is. */
	struct slow_call {
		uint64_t ret_vaddr; /* return address: on top of the stack at slow_malloc's entry */
		uint16_t up_bytes;  /* from there to the return address of malloc or calloc */
	} slow_calls[TM_SLOW_CALLS];
	size_t slow_call_count; /* of those whose stack depth decoding could follow */
	char reason[SITES_REASON_LEN];
};

/**
 * Decode the interpreter and find its sites; minor selects which word the new-reference sites test.
 * Returns: 0, -ENOENT (no pop site, or the sanity rules rejected the match: reason names the rule),
 * -EBADMSG, -ENOMEM. Owns: free with python_sites_release().
 */
int python_sites_find(const struct elf_image *img, unsigned minor, struct python_sites *out);
void python_sites_release(struct python_sites *s);

/**
 * Find the sites again in these stretches of the text only (see python_sites.proof), which come from a file and
 * prove nothing by themselves. fresh_proven is not set. Returns: as python_sites_find().
 */
int python_sites_find_in(const struct elf_image *img, unsigned minor,
			 const struct code_range *ranges, size_t count, struct python_sites *out);

/**
 * As python_sites_find(), through the cache of what was found before in the same text of the same owner
 * (XDG_CACHE_HOME, for root /var/cache/tmbpf). An entry of the cache is found again in the text before it
 * counts.
 */
int python_sites_get(const struct elf_image *img, unsigned minor, bool use_cache,
		     struct python_sites *out);

/** Returns: 0, -ENOENT (no malloc or no free). */
int libc_sites_find(const struct elf_image *img, struct libc_sites *out);

/** Name of a libc function: "malloc". */
const char *libc_fn_name(enum tm_fn fn);

/* Print the sites with the proof of each; verbose: one line a site. Returns: 0, -EIO. */
int python_sites_print(FILE *out, const struct elf_image *img, const struct python_sites *s,
		       bool verbose);
int libc_sites_print(FILE *out, const struct elf_image *img, const struct libc_sites *s,
		     bool verbose);

/**
 * Learned new-reference sites of a text: which were seen with re-use (keep) or only with fresh
 * objects (skip). vaddrs sorted. Returns: 0, -ENOENT (nothing learned yet), -errno.
 */
int learned_sites_load(const struct elf_image *img, uint64_t **fresh_only, size_t *count);
int learned_sites_save(const struct elf_image *img, const uint64_t *fresh_only, size_t count);

#endif
