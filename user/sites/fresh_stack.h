/* SPDX-License-Identifier: GPL-2.0-or-later */
/* May a stack word be trusted to hold what the code was seen to store there? */
#ifndef TM_SITES_FRESH_STACK_H
#define TM_SITES_FRESH_STACK_H

#include "sites/fresh_known.h"

/* The word at disp(%rsp) before the instruction at idx. */
struct stack_word {
	size_t idx;
	int32_t disp;
};

/* Effect of an instruction on rsp: rsp after it = before + *change. False: nothing simple. */
bool fresh_stack_change(const struct insn *in, int32_t *change);

/**
 * True when no address at or below any of the words is taken by code that can run before `from`, so
 * that only direct stores write them. Returns: 1 private, 0 not proven, -ENOMEM.
 */
int fresh_stack_private(const struct fresh_known *k, size_t from, const struct stack_word *words,
			unsigned count);

#endif
