/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What counts as proof that a new reference follows an allocation, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "asm_code.h"
#include "elf_fixture.h"
#include "sites/fresh.h"

#define MALLOC	"malloc_fn"
#define UNKNOWN "unknown_fn"
#define RBX	3
#define FATAL	0x20
#define REFILL	0x28
#define BODY	0x40

/*
 * Each file: PyObject_Malloc through the table {ctx, malloc, calloc, realloc, free}, a function that
 * never returns, the refill function, one unknown function, then the code of the case.
 */
#define CASE(name, text)                                                                        \
	ASM_CODE(name, ".set table, " #name " + 0x4000\n"                                       \
		       ".set malloc_fn, " #name "\n .set fatal_fn, " #name " + 0x20\n"          \
		       ".set refill_fn, " #name " + 0x28\n .set unknown_fn, " #name " + 0x30\n" \
		       "mov table+8(%rip),%rax\n mov table(%rip),%rdi\n jmp *%rax\n"            \
		       ".org " #name " + 0x20,0xcc\n push %rbx\n hlt\n"                         \
		       ".org " #name " + 0x28,0xcc\n push %rbx\n ret\n"                         \
		       ".org " #name " + 0x30,0xcc\n push %rbx\n mov (%rdi),%rax\n ret\n"       \
		       ".org " #name " + 0x40,0xcc\n" text)

/* The site is the jump before the only ud2. */
#define SITE "test %ecx,%ecx\n je 77f\n ud2\n 77: ret\n"
#define POP                                                 \
	POP_GUARD("rdx", "rcx")                             \
	"je 90f\n" POP_BODY("rdx", "rcx", "rax") "je 91f\n" \
						 "91: mov %rax,%rbx\n"
#define REFILLED "90: call refill_fn\n test %rax,%rax\n jne 91b\n ret\n"

CASE(by_pop, POP SITE REFILLED);
CASE(by_call, "call " MALLOC "\n lea 0x10(%rax),%rbx\n sub $8,%rbx\n" SITE);
CASE(by_pointer, "mov table+8(%rip),%rax\n mov table(%rip),%rdi\n cmp $0x1234,%rax\n je 1f\n"
		 "call *%rax\n 2: mov %rax,%rbx\n" SITE "1: call " MALLOC "\n jmp 2b\n");
CASE(by_table, "call *table+8(%rip)\n mov %rax,%rbx\n" SITE);
CASE(by_local_fn, "call 5f\n mov %rax,%rbx\n" SITE
		  "5: push %rbp\n test %edi,%edi\n je 6f\n call " MALLOC "\n 7: pop %rbp\n ret\n"
		  "6: xor %eax,%eax\n jmp 7b\n");
CASE(by_tail_call, "call 5f\n mov %rax,%rbx\n" SITE "5: mov $8,%edi\n jmp " MALLOC "\n");
CASE(by_spill, "sub $0x18,%rsp\n call " MALLOC "\n mov %rax,0x8(%rsp)\n call " UNKNOWN "\n"
	       "push %rcx\n mov 0x10(%rsp),%rbx\n pop %rcx\n" SITE);
CASE(by_push, "call " MALLOC "\n push %rax\n call " UNKNOWN "\n pop %rbx\n" SITE);
CASE(by_sum, "call " MALLOC "\n lea (%rbp,%rax),%rbx\n add %r12,%rbx\n" SITE);
CASE(by_loop,
     "call " MALLOC "\n mov %rax,%rbx\n 1: call " UNKNOWN "\n test %eax,%eax\n jne 1b\n" SITE);
CASE(zero_on_one_path,
     "xor %ebx,%ebx\n test %edi,%edi\n je 1f\n call " MALLOC "\n mov %rax,%rbx\n 1:" SITE);
CASE(behind_the_end, "call " MALLOC "\n mov %rax,%rbx\n jmp 1f\n"
		     "2: mov (%rdi),%rbx\n call fatal_fn\n 1:" SITE "jmp 2b\n");
CASE(padding, "call " MALLOC "\n mov %rax,%rbx\n jmp 1f\n .nops 9\n 1:" SITE);

CASE(argument, "mov %rdi,%rbx\n" SITE);
CASE(free_list, "mov table+64(%rip),%rdx\n mov (%rdx),%rbx\n" SITE);
CASE(merged,
     "mov (%rdi),%rbx\n test %rbx,%rbx\n jne 1f\n call " MALLOC "\n mov %rax,%rbx\n 1:" SITE);
CASE(merged_pop, "mov (%rdi),%rax\n test %rax,%rax\n jne 91f\n" POP SITE REFILLED);
CASE(unknown_call, "call " UNKNOWN "\n mov %rax,%rbx\n" SITE);
CASE(unknown_pointer, "call *%r12\n mov %rax,%rbx\n" SITE);
CASE(realloc_entry, "call *table+24(%rip)\n mov %rax,%rbx\n" SITE);
CASE(mixed_pointer, "mov table+8(%rip),%rax\n test %edi,%edi\n je 1f\n mov table+24(%rip),%rax\n"
		    "1: call *%rax\n mov %rax,%rbx\n" SITE);
CASE(mixed_fn, "call 5f\n mov %rax,%rbx\n" SITE "5: push %rbp\n call " MALLOC
	       "\n test %rax,%rax\n jne 6f\n mov (%rbp),%rax\n"
	       "6: pop %rbp\n ret\n");
CASE(endless_fn, "call 5f\n mov %rax,%rbx\n" SITE "5: push %rbp\n call 5b\n pop %rbp\n ret\n");
CASE(escaped,
     "sub $0x18,%rsp\n call " MALLOC "\n mov %rax,0x8(%rsp)\n lea 0x8(%rsp),%rdi\n call " UNKNOWN
     "\n mov 0x8(%rsp),%rbx\n" SITE);
CASE(escaped_early, "sub $0x18,%rsp\n mov %rsp,%rbp\n call " MALLOC "\n mov %rax,0x8(%rsp)\n"
		    "mov %rbp,%rdi\n call " UNKNOWN "\n mov 0x8(%rsp),%rbx\n" SITE);
CASE(half_stored, "sub $0x18,%rsp\n call " MALLOC "\n mov %rax,0x8(%rsp)\n movl $0,0xc(%rsp)\n"
		  "mov 0x8(%rsp),%rbx\n" SITE);
CASE(stack_argument, "mov 0x8(%rsp),%rbx\n" SITE);
CASE(half_copied, "call " MALLOC "\n mov %eax,%ebx\n" SITE);
CASE(sum_of_zero, "xor %eax,%eax\n mov (%rdi),%rbx\n add %rax,%rbx\n" SITE);
CASE(sum_half_zero, "xor %eax,%eax\n mov (%rdi),%rbx\n test %rbx,%rbx\n jne 1f\n call " MALLOC
		    "\n mov table+64(%rip),%rbx\n 1: add %rax,%rbx\n" SITE);
CASE(mixed_returns, "call 5f\n mov %rax,%rbx\n" SITE
		    "5: push %rbp\n test %edi,%edi\n je 6f\n call " MALLOC "\n pop %rbp\n ret\n"
		    "6: mov (%rsi),%rax\n pop %rbp\n ret\n");
CASE(only_zero, "xor %ebx,%ebx\n" SITE);
CASE(switch_label, "mov (%rdi),%rbx\n lea 6f(%rip),%rdx\n movslq (%rdx,%rcx,4),%rcx\n"
		   "add %rdx,%rcx\n jmp *%rcx\n"
		   "call " MALLOC "\n mov %rax,%rbx\n 7: nop\n" SITE
		   ".balign 4\n 6: .long 7b-6b\n .long 7b-6b\n .long 0x7fffffff\n");
CASE(no_way_here, "call " MALLOC "\n mov %rax,%rbx\n jmp *%rcx\n" SITE);
CASE(too_long, "call " MALLOC "\n mov %rax,%rbx\n .rept 4200\n nop\n .endr\n" SITE);

static bool proven(const uint8_t *p, size_t len)
{
	const struct fix_sym syms[] = {
		{"PyObject_Malloc", 0, 0x18}, {"_Py_FatalErrorFunc", FATAL, 2}, {"body", BODY, 0}};
	struct elf_image *img = fix_open(p, len, syms, ARRAY_LEN(syms));
	struct site s = {.reg = RBX};
	struct pop_blocks blocks = {0};
	struct site_list pops = {0};
	struct code c;
	size_t i;

	assert_non_null(img);
	assert_int_equal(decode_image(img, &c), 0);
	assert_int_equal(pops_find_blocks(&c, &pops, &blocks), 0);
	for (i = decode_find(&c, fix_vaddr(BODY)); i < c.count; i++)
		if (c.insns[i].op == OP_TRAP)
			break;
	assert_true(i < c.count);
	s.vaddr = insn_vaddr(&c, i - 1);
	assert_int_equal(c.insns[i - 1].op, OP_JCC);
	assert_int_equal(fresh_prove(img, &c, &blocks, fix_vaddr(REFILL), &s, 1), 0);
	pop_blocks_release(&blocks);
	site_list_release(&pops);
	decode_release(&c);
	elf_image_free(img);
	return s.fresh_proven;
}

#define EXPECT(name)                     \
	{                                \
#name, name, &name##_end \
	}
struct expected {
	const char *name;
	const uint8_t *code;
	const uint8_t (*end)[];
};

static void expect_all(const struct expected *e, size_t count, bool verdict)
{
	for (size_t i = 0; i < count; i++)
		if (proven(e[i].code, (size_t)(*e[i].end - e[i].code)) != verdict)
			fail_msg("%s: %s", e[i].name, verdict ? "not proven" : "falsely proven");
}

static void allocations_are_proven(void **state)
{
	const struct expected cases[] = {
		EXPECT(by_pop),		EXPECT(by_call),	  EXPECT(by_pointer),
		EXPECT(by_table),	EXPECT(by_local_fn),	  EXPECT(by_spill),
		EXPECT(by_tail_call),	EXPECT(by_push),	  EXPECT(by_sum),
		EXPECT(by_loop),	EXPECT(zero_on_one_path), EXPECT(padding),
		EXPECT(behind_the_end),
	};

	expect_all(cases, ARRAY_LEN(cases), true);
}

static void anything_else_is_not(void **state)
{
	const struct expected cases[] = {
		EXPECT(argument),      EXPECT(free_list),      EXPECT(merged),
		EXPECT(merged_pop),    EXPECT(unknown_call),   EXPECT(unknown_pointer),
		EXPECT(mixed_fn),      EXPECT(realloc_entry),  EXPECT(mixed_pointer),
		EXPECT(endless_fn),    EXPECT(half_copied),    EXPECT(sum_of_zero),
		EXPECT(only_zero),     EXPECT(stack_argument), EXPECT(no_way_here),
		EXPECT(switch_label),  EXPECT(too_long),       EXPECT(sum_half_zero),
		EXPECT(mixed_returns),
	};

	expect_all(cases, ARRAY_LEN(cases), false);
}

static void stack_words_must_be_private(void **state)
{
	const struct expected cases[] = {EXPECT(escaped), EXPECT(escaped_early),
					 EXPECT(half_stored)};

	expect_all(cases, ARRAY_LEN(cases), false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocations_are_proven),
		cmocka_unit_test(anything_else_is_not),
		cmocka_unit_test(stack_words_must_be_private),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
