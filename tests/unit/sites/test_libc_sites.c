/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

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

#define SLOW_RET(ret)	extern const uint8_t ret[] __attribute__((visibility("hidden")))
#define SLOW_AT(b, ret) (fix_vaddr((uint64_t)((ret) - (b))))

/* slow: a call of the slow path, what is behind it gets a name. Three functions at 0, 256, 320. */
ASM_CODE(stack_like,
	 ".macro slow ret\n mov %rbx,%rsi\n xor %edi,%edi\n call 7f\n \\ret:\n .endm\n"
	 /* malloc: pushes, sub, add, lea, pop; then two paths that do not agree */
	 "push %rbp\n push %rbx\n mov %rdi,%rbx\n sub $0x18,%rsp\n slow ret_sub\n"
	 "test %rax,%rax\n jne 3f\n add $-0x80,%rsp\n lea 0x88(%rsp),%rsp\n slow ret_lea\n"
	 "pushq $1\n pop %rcx\n call 8f\n sub $-8,%rsp\n slow ret_pop\n"
	 "2: sub $0x10,%rsp\n jmp 4f\n"
	 "3: test %rbx,%rbx\n je 4f\n slow ret_branch\n jmp 2b\n"
	 "4: slow ret_disagree\n add $0x18,%rsp\n pop %rbx\n pop %rbp\n ret\n"
	 "slow ret_unreached\n ret\n"
	 ".org stack_like + 256\n" /* free */
	 "8: test %rdi,%rdi\n je 1f\n push %rbx\n 1: ret\n"
	 ".org stack_like + 320\n" /* calloc: frame pointer */
	 "push %rbp\n mov %rsp,%rbp\n push %rbx\n and $-0x20,%rsp\n slow ret_aligned\n"
	 "lea -8(%rbp),%rsp\n slow ret_frame\n mov %rbp,%rsp\n slow ret_mov\n"
	 "leave\n slow ret_leave\n leave\n slow ret_no_frame\n ret\n"
	 ".org stack_like + 512\n"
	 "7: push %r15\n mov %rsi,%rbx\n ret\n .purgem slow\n");

SLOW_RET(ret_sub);
SLOW_RET(ret_lea);
SLOW_RET(ret_pop);
SLOW_RET(ret_branch);
SLOW_RET(ret_frame);
SLOW_RET(ret_mov);
SLOW_RET(ret_leave);

static const struct fix_sym stack_syms[] = {
	{"malloc", 0, 256}, {"free", 256, 16}, {"calloc", 320, 100}};

/* odd: one way to move the stack that is not followed. calloc has more calls than are kept. */
ASM_CODE(odd_like,
	 ".macro slow\n mov %rbx,%rsi\n xor %edi,%edi\n call 7f\n .endm\n"
	 ".macro odd insn:vararg\n je 1f\n \\insn\n slow\n ret\n 1:\n .endm\n"
	 "mov %rdi,%rbx\n slow\n odd_first: slow\n odd_second: test %rax,%rax\n"
	 "odd sub %rax,%rsp\n odd sub $0x1ff8,%rsp\n odd pushw %ax\n odd pushw $1\n"
	 "odd pushw $0x1234\n odd sub $4,%rsp\n odd pop %rax\n"
	 "push %rcx\n odd pop %rsp\n pop %rcx\n"
	 "odd xchg %rax,%rsp\n odd sub $8,%esp\n odd lea (%rsp,%rax),%rsp\n odd leave\n"
	 "odd mov %rbp,%rsp\n odd and $-16,%rsp\n odd enter $8,$0\n odd sub $0x7fffffff,%rsp\n"
	 "mov %rsp,%rbp\n mov %rax,%rbp\n odd mov %rbp,%rsp\n"
	 "1: push %rax\n jmp 1b\n"
	 ".org odd_like + 512\n" /* free */
	 "test %rdi,%rdi\n je 1f\n push %rbx\n 1: ret\n"
	 ".org odd_like + 576\n" /* calloc */
	 "push %rbx\n .rept 20\n slow\n .endr\n pop %rbx\n ret\n"
	 ".org odd_like + 1024\n"
	 "7: push %r15\n mov %rsi,%rbx\n ret\n .purgem slow\n .purgem odd\n");

SLOW_RET(odd_first);
SLOW_RET(odd_second);

static const struct fix_sym odd_syms[] = {
	{"malloc", 0, 512}, {"free", 512, 16}, {"calloc", 576, 256}};

static const struct fix_sym syms[] = {
	{"malloc", 0, 56},	     {"free", 64, 16},		{"calloc", 128, 32},
	{"realloc", 192, 32},	     {"memalign", 256, 16},	{"aligned_alloc", 256, 16},
	{"posix_memalign", 320, 16}, {"reallocarray", 384, 16},
};

static struct libc_sites find_in(const uint8_t *code, size_t len, const struct fix_sym *s, size_t n)
{
	struct elf_image *img = fix_open(code, len, s, n);
	struct libc_sites out;

	assert_non_null(img);
	assert_int_equal(libc_sites_find(img, &out), 0);
	elf_image_free(img);
	return out;
}

static struct libc_sites find(const struct fix_sym *s, size_t n)
{
	return find_in(libc_like, ASM_LEN(libc_like), s, n);
}

static void cheap_instruction_is_chosen(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));
	const struct fn_site *f = s.fn;

	assert_int_equal(f[TM_FN_MALLOC].vaddr - f[TM_FN_MALLOC].entry_vaddr, 4);
	assert_int_equal(f[TM_FN_MALLOC].ret_vaddr, f[TM_FN_MALLOC].vaddr);
	assert_int_equal(f[TM_FN_MALLOC].sp_bytes, 0);
	assert_int_equal(f[TM_FN_FREE].vaddr - f[TM_FN_FREE].entry_vaddr, 3);
	assert_int_equal(f[TM_FN_FREE].file_off, f[TM_FN_FREE].vaddr - FIX_VADDR);
	assert_int_equal(f[TM_FN_CALLOC].vaddr, f[TM_FN_CALLOC].entry_vaddr);
}

static void nop5_is_passed_over_and_stack_counted(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));
	const struct fn_site *f = &s.fn[TM_FN_REALLOC];

	assert_int_equal(f->vaddr - f->entry_vaddr, 12);
	assert_int_equal(f->sp_bytes, 0x18);
	assert_false(f->single_step);
	assert_int_equal(f->ret_vaddr, f->entry_vaddr);
}

static void entry_is_the_last_resort(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));

	assert_true(s.fn[TM_FN_MEMALIGN].single_step);
	assert_int_equal(s.fn[TM_FN_MEMALIGN].vaddr, s.fn[TM_FN_MEMALIGN].entry_vaddr);
	assert_true(s.fn[TM_FN_POSIX_MEMALIGN].single_step);
}

static void aliases_and_covered_functions_have_no_probe(void **state)
{
	struct libc_sites s = find(syms, ARRAY_LEN(syms));

	assert_false(s.fn[TM_FN_ALIGNED_ALLOC].present);
	assert_false(s.fn[TM_FN_REALLOCARRAY].present);
	assert_false(s.fn[TM_FN_VALLOC].present);
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

static void slow_calls_have_the_way_up_to_the_caller(void **state)
{
	struct libc_sites s =
		find_in(stack_like, ASM_LEN(stack_like), stack_syms, ARRAY_LEN(stack_syms));
	const struct slow_call expected[] = {
		/* behind ret_leave rbp is no frame pointer any more */
		{SLOW_AT(stack_like, ret_sub), 0x30}, {SLOW_AT(stack_like, ret_lea), 0x28},
		{SLOW_AT(stack_like, ret_pop), 0x20}, {SLOW_AT(stack_like, ret_branch), 0x30},
		{SLOW_AT(stack_like, ret_frame), 24}, {SLOW_AT(stack_like, ret_mov), 16},
		{SLOW_AT(stack_like, ret_leave), 8},
	};

	assert_true(s.slow_malloc.present);
	assert_int_equal(s.slow_call_count, ARRAY_LEN(expected));
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		assert_int_equal(s.slow_calls[i].ret_vaddr, expected[i].ret_vaddr);
		assert_int_equal(s.slow_calls[i].up_bytes, expected[i].up_bytes);
	}
}

static void slow_calls_that_cannot_be_followed_are_left_out(void **state)
{
	struct libc_sites s = find_in(odd_like, ASM_LEN(odd_like), odd_syms, ARRAY_LEN(odd_syms));

	assert_true(s.slow_malloc.present);
	assert_int_equal(s.slow_call_count, TM_SLOW_CALLS);
	assert_int_equal(s.slow_calls[0].ret_vaddr, SLOW_AT(odd_like, odd_first));
	assert_int_equal(s.slow_calls[0].up_bytes, 8);
	assert_int_equal(s.slow_calls[1].ret_vaddr, SLOW_AT(odd_like, odd_second));
	for (size_t i = 2; i < s.slow_call_count; i++) {
		assert_true(s.slow_calls[i].ret_vaddr > fix_vaddr(576));
		assert_int_equal(s.slow_calls[i].up_bytes, 16);
	}
}

static void slow_calls_need_the_size_and_the_slow_path(void **state)
{
	struct fix_sym unsized[] = {stack_syms[0], stack_syms[1], stack_syms[2]};
	struct libc_sites s;

	unsized[0].len = 0;
	s = find_in(stack_like, ASM_LEN(stack_like), unsized, ARRAY_LEN(unsized));
	assert_true(s.slow_malloc.present);
	assert_int_equal(s.slow_call_count, 3); /* of calloc */
	s = find_in(stack_like, ASM_LEN(stack_like), stack_syms, 2);
	assert_false(s.slow_malloc.present);
	assert_int_equal(s.slow_call_count, 0);
}

/* Calls of the slow path in one function of the real library; up: all of them, 0 = not known here. */
static void expect_slow_calls(const struct elf_image *img, const struct libc_sites *s,
			      const char *caller, size_t min, unsigned up)
{
	const struct elf_symbol *sym = elf_image_symbol(img, caller);
	size_t seen = 0;

	assert_non_null(sym);
	for (size_t i = 0; i < s->slow_call_count; i++) {
		const struct slow_call *c = &s->slow_calls[i];

		if (c->ret_vaddr - sym->vaddr >= sym->len)
			continue;
		seen++;
		assert_true(c->up_bytes >= 8 && c->up_bytes <= 256 && c->up_bytes % 8 == 0);
		if (up)
			assert_int_equal(c->up_bytes, up);
	}
	assert_true(seen >= min);
}

/* The distances of this build were checked with gdb. */
static void real_libc_has_slow_calls(void **state)
{
	struct elf_image *img;
	struct libc_sites s;
	char text[32768];
	bool known;
	FILE *f;

	if (elf_image_open("/lib/x86_64-linux-gnu/libc.so.6", &img))
		skip();
	assert_int_equal(libc_sites_find(img, &s), 0);
	assert_true(s.slow_malloc.present);
	known = strcmp(img->build_id_hex, "93ac61ec5a8eb1396f9fbd350e3169a558528a40") == 0;
	expect_slow_calls(img, &s, "malloc", known ? 4 : 2, known ? 48 : 0);
	expect_slow_calls(img, &s, "calloc", known ? 3 : 1, known ? 64 : 0);
	f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	assert_int_equal(libc_sites_print(f, img, &s, true), 0);
	fclose(f);
	assert_non_null(strstr(text, "(slow call)"));
	elf_image_free(img);
}

/* gdb's breakpoints: at the first instruction, after push %rbp; mov %rsp,%rbp, after an endbr64. */
ASM_CODE(spots, "endbr64\n push %rbp\n mov %rsp,%rbp\n push %rbx\n spot_frame: push %r12\n ret\n"
		".org spots + 64\n" /* free: one push only */
		"push %rbx\n xor %ebx,%ebx\n pop %rbx\n ret\n"
		".org spots + 128\n"
		"push %r12\n mov %rdi,%rax\n spot_second: push %rbx\n ret\n .balign 64\n");
SLOW_RET(spot_frame);
SLOW_RET(spot_second);

static void debuggers_places_are_left_alone(void **state)
{
	const struct fix_sym names[] = {{"malloc", 0, 32}, {"free", 64, 16}, {"calloc", 128, 16}};
	struct libc_sites s = find_in(spots, ASM_LEN(spots), names, ARRAY_LEN(names));

	assert_int_equal(s.fn[TM_FN_MALLOC].vaddr, SLOW_AT(spots, spot_frame));
	assert_int_equal(s.fn[TM_FN_MALLOC].sp_bytes, 16);
	assert_false(s.fn[TM_FN_MALLOC].at_debugger);
	assert_int_equal(s.fn[TM_FN_CALLOC].vaddr, SLOW_AT(spots, spot_second));
	assert_false(s.fn[TM_FN_CALLOC].at_debugger);
	assert_true(s.fn[TM_FN_FREE].at_debugger);
	assert_int_equal(s.fn[TM_FN_FREE].vaddr, s.fn[TM_FN_FREE].entry_vaddr);
	assert_false(s.fn[TM_FN_FREE].single_step);
}

static void no_allocator_is_said(void **state)
{
	struct elf_image *img = fix_open(libc_like, ASM_LEN(libc_like), syms + 1, 3);
	struct libc_sites s;

	assert_non_null(img);
	assert_int_equal(libc_sites_find(img, &s), -ENOENT);
	elf_image_free(img);
	assert_string_equal(libc_fn_name(TM_FN_POSIX_MEMALIGN), "posix_memalign");
	assert_string_equal(libc_fn_name(TM_FN_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cheap_instruction_is_chosen),
		cmocka_unit_test(nop5_is_passed_over_and_stack_counted),
		cmocka_unit_test(entry_is_the_last_resort),
		cmocka_unit_test(aliases_and_covered_functions_have_no_probe),
		cmocka_unit_test(slow_path_needs_all_signs),
		cmocka_unit_test(slow_calls_have_the_way_up_to_the_caller),
		cmocka_unit_test(slow_calls_that_cannot_be_followed_are_left_out),
		cmocka_unit_test(slow_calls_need_the_size_and_the_slow_path),
		cmocka_unit_test(real_libc_has_slow_calls),
		cmocka_unit_test(debuggers_places_are_left_alone),
		cmocka_unit_test(no_allocator_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
