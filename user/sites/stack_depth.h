/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the stack pointer is inside a function, followed from instruction to instruction. */
#ifndef TM_SITES_STACK_DEPTH_H
#define TM_SITES_STACK_DEPTH_H

#include "sites/decode.h"

#define STACK_LOST (-1) /* not known, or different on two paths */

/* The stack before one instruction, in bytes below the slot of the function's return address. */
struct stack_place {
	int32_t depth; /* of rsp; STACK_LOST */
	int32_t frame; /* of rbp while it is the frame pointer; STACK_LOST */
};

/** The stack after the instruction; a call has returned by then. */
struct stack_place stack_after(const struct insn *in, const struct stack_place *before);

/** Two paths meet: what they do not agree on is lost. Returns: true when *at changed. */
bool stack_merge(struct stack_place *at, const struct stack_place *from);

#endif
