/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the probed instruction, by number, because the verifier refuses a computed offset into
 * pt_regs.
 */
#ifndef TM_BPF_REGS
#define TM_BPF_REGS

#define X86_FLAGS_ZF 0x40 /* EFLAGS bit 6, Intel SDM vol. 1, 3.4.3 */

/*
 * Load each by hand, because clang joins plain or volatile loads of a switch into one at a computed
 * offset, which the verifier refuses ("dereference of modified ctx ptr"). pt_regs is the kernel's ABI, the
 * offset fixed.
 */
#define CTX_REG(field)                                                                    \
	({                                                                                \
		__u64 v_;                                                                 \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                     \
			     : "=r"(v_)                                                   \
			     : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, field))); \
		v_;                                                                       \
	})

/* A register by number (rax rcx rdx rbx rsp rbp rsi rdi r8..r15). */
static __always_inline __u64 reg_get(const struct pt_regs *ctx, __u32 reg)
{
	switch (reg & 0xf) {
	case 0:
		return CTX_REG(ax);
	case 1:
		return CTX_REG(cx);
	case 2:
		return CTX_REG(dx);
	case 3:
		return CTX_REG(bx);
	case 4:
		return CTX_REG(sp);
	case 5:
		return CTX_REG(bp);
	case 6:
		return CTX_REG(si);
	case 7:
		return CTX_REG(di);
	case 8:
		return CTX_REG(r8);
	case 9:
		return CTX_REG(r9);
	case 10:
		return CTX_REG(r10);
	case 11:
		return CTX_REG(r11);
	case 12:
		return CTX_REG(r12);
	case 13:
		return CTX_REG(r13);
	case 14:
		return CTX_REG(r14);
	default:
		return CTX_REG(r15);
	}
}

#endif
