/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Known leaks that a report shall not count, in LeakSanitizer's syntax: lines `leak:PATTERN`, comments
 * after `#`. A pattern is part of a name; `*` stands for any characters, a leading `^` and a trailing `$`
 * tie it to the ends. It is held against function, file and module of every frame of a stack.
 *
 * Source: "Suppressions" in clang's LeakSanitizer and AddressSanitizer documentation.
 */
#ifndef TM_ANALYZE_SUPPRESS_H
#define TM_ANALYZE_SUPPRESS_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/snapshot.h"

#define SUPPRESS_MAX	  10000	    /* patterns of a file */
#define SUPPRESS_FILE_MAX (1 << 20) /* bytes of a file that are worth reading */

struct suppressions;

struct suppress_error { /* what is wrong with a file */
	size_t line;	/* from 1 */
	const char *reason;
};

struct suppress_hit {	     /* what one pattern has taken */
	const char *pattern; /* borrowed from the suppressions */
	uint64_t stacks, bytes, blocks;
};

/**
 * Returns: 0; -EBADMSG (why: *error); -ENOMEM. An empty file is no error.
 * Owns: *out is the caller's; text is not kept.
 */
int suppressions_parse(const char *text, size_t len, struct suppressions **out,
		       struct suppress_error *error);
void suppressions_free(struct suppressions *s);
DEFINE_CLEANUP(struct suppressions *, suppressions_free);

size_t suppressions_count(const struct suppressions *s);

/**
 * Mark the stacks that a pattern matches: skip[i] = mark, where skip[i] was 0. The first pattern that
 * matches a stack, innermost frame first, gets it. skip has a byte a stack; hits has an element a
 * pattern, in the order of the file, and is added to.
 *
 * Returns: 0, -ENOMEM.
 */
int suppressions_apply(const struct suppressions *s, const struct snapshot *snap, uint8_t mark,
		       uint8_t *skip, struct suppress_hit *hits);

#endif
