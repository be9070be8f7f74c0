/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machine code -> compact instructions. Zydis stays hidden by this header: the site finders see
 * only what they need (operands of general-purpose instructions, registers read and written,
 * branches, whether the kernel emulates the instruction under a uprobe). x86-64 only.
 */
#ifndef TM_SITES_DECODE_H
#define TM_SITES_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/elf_image.h"

#define CODE_SPAN_MAX ((uint64_t)512 << 20) /* bytes of text we are willing to decode */
#define CODE_NONE     SIZE_MAX		    /* "no such instruction" */

#define REG_RAX	      0
#define REG_RCX	      1
#define REG_RDX	      2
#define REG_RSP	      4
#define REG_RSI	      6
#define REG_RDI	      7
#define REG_RIP	      16 /* as base of a memory operand */
#define REG_NONE      255

enum insn_op {
	OP_OTHER = 0,
	OP_MOV, /* general-purpose mov, also movabs */
	OP_LEA,
	OP_ADD,
	OP_SUB,
	OP_INC,
	OP_CMP,
	OP_TEST,
	OP_XOR,
	OP_AND,
	OP_PUSH,
	OP_POP,
	OP_NOP,
	OP_ENDBR,
	OP_JCC,
	OP_JMP,	     /* direct */
	OP_JMP_IND,  /* through a register or memory */
	OP_CALL,     /* direct */
	OP_CALL_IND, /* through a register or memory */
	OP_RET,
	OP_TRAP, /* ud2, hlt, int3: nothing runs after it */
	OP_BAD,	 /* not an instruction; one byte long */
};

enum operand_kind { OPERAND_NONE = 0, OPERAND_REG, OPERAND_MEM, OPERAND_IMM };

#define INSN_EMULATED	 0x01 /* the kernel emulates it under a uprobe, on every version */
#define INSN_FLAGS_WRITE 0x02 /* changes ZF */
#define INSN_MEM_WRITE	 0x04 /* its memory operand is written */
#define INSN_FS_DISP	 0x08 /* its memory operand is %fs:disp, a thread's own word */

#define CC_E		 4 /* condition of je, Intel SDM vol. 2 appendix B.1.4.7 */
#define CC_NE		 5

/* One instruction. At most one memory operand: base + index * scale + disp. */
struct insn {
	uint32_t off; /* from code.base_vaddr */
	uint8_t len;
	uint8_t op;		  /* enum insn_op */
	uint8_t flags;		  /* INSN_* */
	uint8_t width;		  /* bytes of the first operand */
	uint8_t dst, src;	  /* enum operand_kind */
	uint8_t dst_reg, src_reg; /* REG_NONE when that operand is no general-purpose register */
	uint8_t base, index;	  /* memory operand; REG_NONE, base may be REG_RIP */
	uint8_t cc;		  /* OP_JCC: condition 0..15 */
	uint8_t scale;
	uint16_t reads, writes; /* general-purpose registers, bit n = register n */
	int32_t disp;
	int64_t imm; /* immediate; for a direct branch the target - base_vaddr */
};

/* One direct branch, for the way backwards. */
struct code_branch {
	uint32_t target_off;
	uint32_t from_idx;
};

/* Decoded text. */
struct code {
	uint64_t base_vaddr;
	struct insn *insns; /* sorted by off */
	size_t count;
	size_t bad_count;	      /* bytes that are no instruction */
	struct code_branch *branches; /* jmp and jcc by target */
	size_t branch_count;
};

/* A stretch of text that starts and ends between two instructions. */
struct code_range {
	uint64_t vaddr;
	uint32_t len; /* bytes */
};

/**
 * Only these ranges, each from its first byte on, at the same offsets as decode_image() gives; sorted and apart,
 * each inside one executable segment. Returns: as decode_image(), -EBADMSG (they are not). Owns: decode_release().
 */
int decode_ranges(const struct elf_image *img, const struct code_range *ranges, size_t count,
		  struct code *out);

/** All executable segments. Returns: 0, -ENOENT (none), -EFBIG, -ENOMEM. Owns: decode_release(). */
int decode_image(const struct elf_image *img, struct code *out);

/** Bytes as if loaded at vaddr. Returns and owns as above. */
int decode_bytes(const uint8_t *bytes, size_t len, uint64_t vaddr, struct code *out);
void decode_release(struct code *code);

/** Index of the instruction that starts at vaddr, CODE_NONE when none does. */
size_t decode_find(const struct code *code, uint64_t vaddr);
/* Instruction by offset from base_vaddr. */
size_t decode_find_off(const struct code *code, uint64_t off);

/* The instruction after idx in memory, CODE_NONE at the end or at a hole. */
size_t decode_next(const struct code *code, size_t idx);
/** Where the branch or call at idx goes, CODE_NONE when outside or indirect. */
size_t decode_target(const struct code *code, size_t idx);

/* True when control can fall through from the instruction to the next one. */
bool decode_falls_through(const struct insn *in);

/** Branches that go to idx. Returns: the first of *count. */
const struct code_branch *decode_branches_to(const struct code *code, size_t idx, size_t *count);

/** Address that a rip-relative or absolute memory operand names; false for any other operand. */
bool decode_mem_vaddr(const struct code *code, const struct insn *in, uint64_t *vaddr);

/* Where a direct branch or call goes, inside the decoded text or not. */
static inline uint64_t insn_target_vaddr(const struct code *code, size_t idx)
{
	return code->base_vaddr + (uint64_t)code->insns[idx].imm;
}

static inline uint64_t insn_vaddr(const struct code *code, size_t idx)
{
	return code->base_vaddr + code->insns[idx].off;
}

/* Memory operand is exactly disp(reg). */
static inline bool insn_mem_is(const struct insn *in, uint8_t reg, int32_t disp)
{
	return (in->dst == OPERAND_MEM || in->src == OPERAND_MEM) && in->base == reg &&
	       in->index == REG_NONE && in->disp == disp;
}

static inline bool insn_is_load(const struct insn *in, uint8_t reg, int32_t disp)
{
	return in->op == OP_MOV && in->dst == OPERAND_REG && in->src == OPERAND_MEM &&
	       in->width == 8 && insn_mem_is(in, reg, disp);
}

static inline bool insn_is_store(const struct insn *in, uint8_t reg, int32_t disp)
{
	return in->op == OP_MOV && in->dst == OPERAND_MEM && in->width == 8 &&
	       insn_mem_is(in, reg, disp);
}

static inline bool insn_is_copy(const struct insn *in)
{
	return in->op == OP_MOV && in->dst == OPERAND_REG && in->src == OPERAND_REG &&
	       in->width == 8;
}

static inline bool insn_writes(const struct insn *in, uint8_t reg)
{
	return reg < 16 && (in->writes & (1u << reg));
}

#endif
