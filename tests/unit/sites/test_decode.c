/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "asm_code.h"
#include "sites/decode.h"

ASM_CODE(emulated, "push %rax\n push %r15\n nop\n"
		   "1: je 1b\n .byte 0x0f, 0x84, 0, 0, 0, 0\n"
		   "jmp 1b\n .byte 0xe9, 0, 0, 0, 0\n call 1b\n");
ASM_CODE(stepped, "endbr64\n test %rdi,%rdi\n mov %rax,%rbx\n"
		  ".byte 0x0f, 0x1f, 0x44, 0, 0\n" /* nop5: destroys the red zone on 6.18 */
		  ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n" /* nop10: refused */
		  ".byte 0x66, 0x90\n"
		  ".byte 0xf2, 0xe9, 0, 0, 0, 0\n" /* bnd jmp */
		  ".byte 0x3e, 0x74, 0\n"	   /* hinted je */
		  ".byte 0x66, 0x50\n"		   /* push %ax */
		  ".byte 0x48, 0x50\n"		   /* rex.w push: the kernel knows 0x41 only */
		  "pop %rax\n ret\n call *%rax\n jmp *%rax\n push $1\n jrcxz .\n");
ASM_CODE(branches, "1: cmp %rax,%rbx\n je 1b\n jne 2f\n call 1b\n 2: ret\n");
ASM_CODE(operands, "addl $1,(%rbx)\n mov 0x10(%rax),%rcx\n mov %rcx,0x8(%r12)\n"
		   "cmpl $0,0x100(%rip)\n lea 0x10(%rsp),%rdi\n mov 0x20(%rax,%rcx,8),%rdx\n"
		   "mov %fs:0x8(%rax),%rdx\n call .\n");
ASM_CODE(rubbish, ".byte 0x06\n push %rax\n .byte 0x0f\n");

static struct code decode_or_fail(const uint8_t *p, size_t len)
{
	struct code c;

	assert_int_equal(decode_bytes(p, len, 0x1000, &c), 0);
	return c;
}

static void emulated_ones_are_known(void **state)
{
	struct code c = decode_or_fail(emulated, ASM_LEN(emulated));

	assert_int_equal(c.count, 8);
	for (size_t i = 0; i < c.count; i++)
		assert_true(c.insns[i].flags & INSN_EMULATED);
	decode_release(&c);
}

static void others_are_never_taken_for_emulated(void **state)
{
	struct code c = decode_or_fail(stepped, ASM_LEN(stepped));

	assert_int_equal(c.count, 16);
	for (size_t i = 0; i < c.count; i++)
		assert_false(c.insns[i].flags & INSN_EMULATED);
	assert_int_equal(c.insns[0].op, OP_ENDBR);
	assert_int_equal(c.insns[15].op, OP_JCC);
	assert_int_equal(c.insns[15].cc, REG_NONE);
	decode_release(&c);
}

static void branches_are_found_from_both_ends(void **state)
{
	struct code c = decode_or_fail(branches, ASM_LEN(branches));
	const struct code_branch *b;
	size_t n;

	assert_int_equal(decode_target(&c, 1), 0);
	assert_int_equal(decode_target(&c, 2), 4);
	assert_int_equal(decode_target(&c, 3), 0);
	b = decode_branches_to(&c, 0, &n);
	assert_int_equal(n, 1); /* calls are no branches */
	assert_int_equal(b[0].from_idx, 1);
	assert_int_equal(c.insns[1].cc, CC_E);
	assert_int_equal(c.insns[2].cc, CC_NE);
	assert_int_equal(decode_next(&c, 4), CODE_NONE);
	assert_int_equal(decode_find(&c, 0x1003), 1);
	assert_int_equal(decode_find(&c, 0x1001), CODE_NONE);
	assert_int_equal(decode_find(&c, 0xfff), CODE_NONE);
	assert_false(decode_falls_through(&c.insns[4]));
	decode_release(&c);
}

static void operands_are_read(void **state)
{
	struct code c = decode_or_fail(operands, ASM_LEN(operands));
	uint64_t vaddr;

	assert_int_equal(c.insns[0].op, OP_ADD);
	assert_int_equal(c.insns[0].width, 4);
	assert_int_equal(c.insns[0].imm, 1);
	assert_true(insn_mem_is(&c.insns[0], 3, 0));
	assert_true(insn_is_load(&c.insns[1], REG_RAX, 0x10));
	assert_true(insn_writes(&c.insns[1], REG_RCX));
	assert_true(insn_is_store(&c.insns[2], 12, 8));
	assert_false(insn_writes(&c.insns[2], 12));
	assert_true(decode_mem_vaddr(&c, &c.insns[3], &vaddr));
	assert_int_equal(vaddr, insn_vaddr(&c, 4) + 0x100);
	assert_false(decode_mem_vaddr(&c, &c.insns[4], &vaddr));
	assert_false(insn_is_load(&c.insns[5], REG_RAX, 0x20)); /* has an index */
	assert_false(insn_is_load(&c.insns[6], REG_RAX, 8));	/* other segment */
	assert_true(insn_writes(&c.insns[7], REG_RAX));		/* a call clobbers */
	assert_false(insn_writes(&c.insns[7], 3));
	decode_release(&c);
}

static void bad_bytes_are_counted_and_skipped(void **state)
{
	struct code c = decode_or_fail(rubbish, ASM_LEN(rubbish));

	assert_int_equal(c.count, 3);
	assert_int_equal(c.bad_count, 2);
	assert_int_equal(c.insns[1].op, OP_PUSH);
	assert_false(decode_falls_through(&c.insns[0]));
	decode_release(&c);
}

static void nothing_decodes_to_nothing(void **state)
{
	struct code c = decode_or_fail(rubbish, 0);

	assert_int_equal(c.count, 0);
	assert_int_equal(decode_find(&c, 0x1000), CODE_NONE);
	decode_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(emulated_ones_are_known),
		cmocka_unit_test(others_are_never_taken_for_emulated),
		cmocka_unit_test(branches_are_found_from_both_ends),
		cmocka_unit_test(operands_are_read),
		cmocka_unit_test(bad_bytes_are_counted_and_skipped),
		cmocka_unit_test(nothing_decodes_to_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
