/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "asm_code.h"
#include "elf_fixture.h"
#include "sites/sites.h"

/* One file: every function 64 bytes from the one before. */
ASM_CODE(libc_like,
	 ".balign 64\n"
	 /* 0 malloc: endbr64, then push; calls 7 twice with its size */
	 "0: endbr64\n push %rbp\n mov %rdi,%rbp\n mov %rbp,%rsi\n lea 0(%rip),%rdi\n call 7f\n"
	 "test %rax,%rax\n jne 1f\n mov %rbp,%rsi\n xor %edi,%edi\n call 7f\n 1: pop %rbp\n ret\n"
	 ".balign 64\n" /* 64 free: test, je */
	 "test %rdi,%rdi\n je 1f\n push %rbx\n 1: ret\n"
	 ".balign 64\n" /* 128 calloc: calls 7 */
	 "push %rbx\n imul %rsi,%rdi\n mov %rdi,%rsi\n xor %edi,%edi\n call 7f\n pop %rbx\n ret\n"
	 ".balign 64\n" /* 192 realloc: stack moved, a nop5 in mid-function, then a jump */
	 "sub $0x18,%rsp\n .byte 0x0f, 0x1f, 0x44, 0, 0\n test %rsi,%rsi\n jne 1f\n 1: ret\n"
	 ".balign 64\n" /* 256 memalign: the argument is overwritten before anything cheap */
	 "mov $1,%edi\n push %rbx\n ret\n"
	 ".balign 64\n" /* 320 posix_memalign: the first jump is inside a loop */
	 "1: test %rdi,%rdi\n sub $1,%rax\n jne 1b\n ret\n"
	 ".balign 64\n" /* 384 reallocarray: ends in realloc */
	 "mov %rsi,%rax\n mul %rdx\n mov %rax,%rsi\n .byte 0xe9\n .long 192 - 384 - 14\n"
	 ".balign 64\n" /* 448 the slow path */
	 "7: push %r15\n mov %rsi,%rbx\n ret\n"
	 ".balign 64\n");

static const struct fix_sym syms[] = {
	{"malloc", 0, 56},	     {"free", 64, 16},		{"calloc", 128, 32},
	{"realloc", 192, 32},	     {"memalign", 256, 16},	{"aligned_alloc", 256, 16},
	{"posix_memalign", 320, 16}, {"reallocarray", 384, 16},
};

static struct libc_sites find(const struct fix_sym *s, size_t n)
{
	struct elf_image *img = fix_open(libc_like, ASM_LEN(libc_like), s, n);
	struct libc_sites out;

	assert_non_null(img);
	assert_int_equal(libc_sites_find(img, &out), 0);
	elf_image_free(img);
	return out;
}

static void cheap_instruction_is_chosen(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));
	const struct fn_site *f = s.fn;

	assert_int_equal(f[FN_MALLOC].vaddr - f[FN_MALLOC].entry_vaddr, 4);
	assert_int_equal(f[FN_MALLOC].ret_vaddr, f[FN_MALLOC].vaddr);
	assert_int_equal(f[FN_MALLOC].sp_bytes, 0);
	assert_int_equal(f[FN_FREE].vaddr - f[FN_FREE].entry_vaddr, 3);
	assert_int_equal(f[FN_FREE].file_off, f[FN_FREE].vaddr - FIX_VADDR);
	assert_int_equal(f[FN_CALLOC].vaddr, f[FN_CALLOC].entry_vaddr);
}

static void nop5_is_passed_over_and_stack_counted(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));
	const struct fn_site *f = &s.fn[FN_REALLOC];

	assert_int_equal(f->vaddr - f->entry_vaddr, 12);
	assert_int_equal(f->sp_bytes, 0x18);
	assert_false(f->single_step);
	assert_int_equal(f->ret_vaddr, f->entry_vaddr);
}

static void entry_is_the_last_resort(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));

	assert_true(s.fn[FN_MEMALIGN].single_step);
	assert_int_equal(s.fn[FN_MEMALIGN].vaddr, s.fn[FN_MEMALIGN].entry_vaddr);
	assert_true(s.fn[FN_POSIX_MEMALIGN].single_step);
}

static void aliases_and_covered_functions_have_no_probe(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));

	assert_false(s.fn[FN_ALIGNED_ALLOC].present);
	assert_false(s.fn[FN_REALLOCARRAY].present);
	assert_false(s.fn[FN_VALLOC].present);
}

static void slow_path_needs_all_signs(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));
	struct fix_sym some[2] = {syms[0], syms[1]};
	struct fix_sym named[4] = {syms[0], syms[1], syms[2], {"something", 448, 16}};

	assert_true(s.slow_malloc.present);
	assert_int_equal(s.slow_malloc.entry_vaddr, fix_vaddr(448));
	assert_int_equal(s.slow_malloc.vaddr, fix_vaddr(448));
	s = find(some, ARRAY_LEN(some));
	assert_false(s.slow_malloc.present); /* calloc does not call it */
	s = find(named, ARRAY_LEN(named));
	assert_false(s.slow_malloc.present); /* has another name */
}

static void no_allocator_is_said(void **state)
{
	struct elf_image *img = fix_open(libc_like, ASM_LEN(libc_like), syms + 1, 3);
	struct libc_sites s;

	assert_non_null(img);
	assert_int_equal(libc_sites_find(img, &s), -ENOENT);
	elf_image_free(img);
	assert_string_equal(libc_fn_name(FN_POSIX_MEMALIGN), "posix_memalign");
	assert_string_equal(libc_fn_name(FN_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cheap_instruction_is_chosen),
		cmocka_unit_test(nop5_is_passed_over_and_stack_counted),
		cmocka_unit_test(entry_is_the_last_resort),
		cmocka_unit_test(aliases_and_covered_functions_have_no_probe),
		cmocka_unit_test(slow_path_needs_all_signs),
		cmocka_unit_test(no_allocator_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
