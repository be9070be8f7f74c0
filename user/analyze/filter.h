/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which stacks count: tracemalloc's Filter and DomainFilter. A stack passes when at least one inclusive
 * filter takes it (or there is none) and every exclusive filter lets it through.
 *
 * Source: Lib/tracemalloc.py of CPython 3.6 to 3.15 (class Filter, DomainFilter, Snapshot.filter_traces).
 */
#ifndef TM_ANALYZE_FILTER_H
#define TM_ANALYZE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/snapshot.h"

struct filter_spec {
	bool inclusive;
	/*
	 * As fnmatch reads it; .pyc stands for .py. A native frame matches by its library or by
	 * "library!function", which is its file name in an exported pickle. NULL: a DomainFilter.
	 */
	const char *pattern;
	bool has_line;
	int64_t line;	 /* 0: frames without a line */
	bool all_frames; /* any frame of the stack, not just the innermost */
	bool has_domain; /* must be set when there is no pattern */
	uint32_t domain; /* tracemalloc's number, see snapshot_domain_number() */
	bool is_default; /* implicit: counted apart, since the user did not ask for it */
};

enum filter_mark { /* result for a stack */
		   FILTER_PASSES = 0,
		   FILTER_DROPS,
		   FILTER_DROPS_BY_DEFAULT, /* an implicit filter was the first to drop it */
		   FILTER_MARKS,
};

struct filter_set;

struct filter_set *filter_set_new(void);
void filter_set_free(struct filter_set *f);
DEFINE_CLEANUP(struct filter_set *, filter_set_free);

/** Returns: 0, -ENOMEM, -EINVAL (neither pattern nor domain). The spec is copied. */
int filter_set_add(struct filter_set *f, const struct filter_spec *spec);

/**
 * Mark every stack that does not pass: skip[i] = an enum filter_mark, where skip[i] was 0. skip has a byte
 * a stack.
 * Returns: 0, -ENOMEM.
 */
int filter_set_apply(const struct filter_set *f, const struct snapshot *s, uint8_t *skip);

#endif
