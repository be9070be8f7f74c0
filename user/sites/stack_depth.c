/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/stack_depth.h"

#define REG_RBP	  5
#define WORD	  8
#define LEAVE_LEN 1	    /* the only one-byte instruction that writes both rsp and rbp */
#define DEPTH_MAX (1 << 20) /* bytes of stack that we follow */

static int32_t depth_of(int32_t from, int64_t more)
{
	if (from == STACK_LOST || more < -DEPTH_MAX || more > DEPTH_MAX)
		return STACK_LOST;
	more += from;
	return more < 0 || more > DEPTH_MAX ? STACK_LOST : (int32_t)more;
}

/* Push or pop of one word; a 16-bit immediate has an operand-size prefix and other lengths. */
static bool moves_one_word(const struct insn *in)
{
	if (in->dst == OPERAND_IMM)
		return in->len == 2 || in->len == 5;
	return in->width == WORD && in->dst_reg != REG_RSP;
}

static int32_t depth_after(const struct insn *in, const struct stack_place *at)
{
	bool by_imm = in->dst_reg == REG_RSP && in->src == OPERAND_IMM && in->width == WORD;

	if (!insn_writes(in, REG_RSP))
		return at->depth;
	switch (in->op) {
	case OP_CALL:
	case OP_CALL_IND:
		return at->depth; /* after its return */
	case OP_PUSH:
		return moves_one_word(in) ? depth_of(at->depth, WORD) : STACK_LOST;
	case OP_POP:
		return moves_one_word(in) ? depth_of(at->depth, -WORD) : STACK_LOST;
	case OP_SUB:
		return by_imm ? depth_of(at->depth, in->imm) : STACK_LOST;
	case OP_ADD:
		return by_imm && in->imm > INT64_MIN ? depth_of(at->depth, -in->imm) : STACK_LOST;
	case OP_LEA:
		if (in->width != WORD || in->index != REG_NONE)
			return STACK_LOST;
		if (in->base == REG_RBP)
			return depth_of(at->frame, -(int64_t)in->disp);
		return in->base == REG_RSP ? depth_of(at->depth, -(int64_t)in->disp) : STACK_LOST;
	case OP_MOV:
		return insn_is_copy(in) && in->src_reg == REG_RBP ? at->frame : STACK_LOST;
	case OP_OTHER:
		return in->len == LEAVE_LEN && insn_writes(in, REG_RBP) ? depth_of(at->frame, -WORD)
									: STACK_LOST;
	default:
		return STACK_LOST;
	}
}

static int32_t frame_after(const struct insn *in, const struct stack_place *at)
{
	if (!insn_writes(in, REG_RBP))
		return at->frame;
	if (in->op == OP_LEA && in->width == WORD && in->base == REG_RSP && in->index == REG_NONE)
		return depth_of(at->depth, -(int64_t)in->disp);
	return insn_is_copy(in) && in->src_reg == REG_RSP ? at->depth : STACK_LOST;
}

struct stack_place stack_after(const struct insn *in, const struct stack_place *before)
{
	return (struct stack_place){.depth = depth_after(in, before),
				    .frame = frame_after(in, before)};
}

bool stack_merge(struct stack_place *at, const struct stack_place *from)
{
	struct stack_place was = *at;

	if (at->depth != from->depth)
		at->depth = STACK_LOST;
	if (at->frame != from->frame)
		at->frame = STACK_LOST;
	return at->depth != was.depth || at->frame != was.frame;
}
