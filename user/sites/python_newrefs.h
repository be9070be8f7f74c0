/* SPDX-License-Identifier: GPL-2.0-or-later */
/* New-reference sites: where CPython tests the trace word with a new object in a register. */
#ifndef TM_SITES_PYTHON_NEWREFS_H
#define TM_SITES_PYTHON_NEWREFS_H

#include "sites/decode.h"
#include "sites/site_list.h"
#include "sites/trace_word.h"

/* Result for each instruction that reads the trace word. */
struct newref_stats {
	size_t reads;	 /* instructions that read it */
	size_t no_jump;	 /* no usable conditional jump after the test */
	size_t no_call;	 /* the slow path calls nothing with a register's value in rdi */
	size_t destroy;	 /* 3.13+: the tracer is called for a destruction */
	size_t one_way;	 /* only the slow path names a register */
	size_t disagree; /* the two ways name different registers */
};

/** Append the sites where both ways agree, sorted. Returns: 0, -ENOMEM, -EFBIG. */
int newrefs_find(const struct code *code, const struct trace_word *word, struct site_list *out,
		 struct newref_stats *stats);

#endif
