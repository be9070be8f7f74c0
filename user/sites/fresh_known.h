/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about a file before any proof: which functions allocate, and where control can arrive unseen.
 */
#ifndef TM_SITES_FRESH_KNOWN_H
#define TM_SITES_FRESH_KNOWN_H

#include "sites/decode.h"
#include "sites/python_pops.h"

#define FRESH_FNS   16 /* functions that return a fresh block, by address */
#define FRESH_QUITS 8  /* functions that never return */
#define FRESH_WORDS 12 /* pointers to such functions: entries of the allocator tables */

/* A word of memory: at vaddr, or, in shared libraries, at disp from what the GOT slot at vaddr holds. */
struct fresh_word {
	uint64_t vaddr;
	int32_t disp;
	bool got;
};

struct fresh_known {
	const struct code *code;
	const struct pop_blocks *pops;
	size_t fns[FRESH_FNS]; /* first instruction */
	unsigned fn_count;
	size_t quits[FRESH_QUITS];
	unsigned quit_count;
	struct fresh_word words[FRESH_WORDS];
	unsigned word_count;
	uint8_t *
		doors; /* bit per instruction: control can come from elsewhere than the branches seen */
};

/** Returns: 0, -ENOMEM. Owns: fresh_known_release(). */
int fresh_known_init(const struct elf_image *img, const struct code *code,
		     const struct pop_blocks *pops, uint64_t refill, struct fresh_known *out);
void fresh_known_release(struct fresh_known *k);

bool fresh_known_fn(const struct fresh_known *k, size_t idx);
/** Is the word at vaddr, without any base, such a pointer? */
bool fresh_known_word(const struct fresh_known *k, uint64_t vaddr);
/** Is idx the load of the block that a pop takes? */
bool fresh_known_pop(const struct fresh_known *k, size_t idx);

/** Can control fall into idx from the instruction before it? */
bool fresh_falls_into(const struct fresh_known *k, size_t idx);

/** Does the call at idx never return? */
bool fresh_call_quits(const struct fresh_known *k, size_t idx);

/** A function's first instruction, a target of a jump table, or of any stored address. */
static inline bool fresh_is_door(const struct fresh_known *k, size_t idx)
{
	return k->doors[idx / 8] & (1u << (idx % 8));
}

#endif
