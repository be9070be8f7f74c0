/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "asm_code.h"
#include "sites/python_newrefs.h"

#define BASE 0x1000u
#define WORD 0x9000u

/* The word lies at a fixed distance behind the code, as if the text were loaded at BASE. */
#define NEWREF(name, text) ASM_CODE(name, ".set word, " #name " + 0x8000\n" text)

/* 3.11: count stored behind the test, slow path outlined */
NEWREF(plain, "mov word(%rip),%ecx\n test %ecx,%ecx\n jne 9f\n 1: movq $1,(%rax)\n ret\n"
	      "9: mov %rax,%rdi\n call 8f\n jmp 1b\n 8: push %rbx\n ret\n");
NEWREF(inverted, "cmpl $0,word(%rip)\n je 1f\n mov %rbx,%rdi\n call 8f\n 1: mov $1,%edx\n"
		 "mov %rdx,(%rbx)\n ret\n 8: push %rbx\n ret\n");
/* the slow path takes a copy that was made before the jump */
NEWREF(copy, "push %rbx\n mov %rdi,%rbx\n mov word(%rip),%eax\n test %eax,%eax\n jne 9f\n"
	     "1: movq $1,(%rbx)\n ret\n 9: call 8f\n jmp 1b\n 8: push %rbx\n ret\n");
/* the slow path takes the object from the stack */
NEWREF(from_stack, "mov 0x8(%rsp),%rax\n mov word(%rip),%ecx\n test %ecx,%ecx\n jne 9f\n"
		   "mov 0x8(%rsp),%rax\n movq $1,(%rax)\n ret\n"
		   "9: mov 0x8(%rsp),%rdi\n call 8f\n ret\n 8: push %rbx\n ret\n");
/* the object behind a GC header: the register names the block's start */
NEWREF(with_header, "mov word(%rip),%ecx\n test %ecx,%ecx\n jne 9f\n 1: movq $1,0x10(%rbp)\n ret\n"
		    "9: lea 0x10(%rbp),%rdi\n call 8f\n jmp 1b\n 8: push %rbx\n ret\n");
NEWREF(disagreeing, "mov word(%rip),%ecx\n test %ecx,%ecx\n jne 9f\n 1: movq $1,(%rdx)\n ret\n"
		    "9: mov %rax,%rdi\n call 8f\n jmp 1b\n 8: push %rbx\n ret\n");
NEWREF(one_way, "mov word(%rip),%ecx\n test %ecx,%ecx\n jne 9f\n 1: mov %r12,(%rax)\n ret\n"
		"9: mov %rax,%rdi\n call 8f\n jmp 1b\n 8: push %rbx\n ret\n");
NEWREF(not_tested, "mov word(%rip),%ecx\n test %edx,%edx\n jne 9f\n movq $1,(%rax)\n ret\n"
		   "9: mov %rax,%rdi\n call 8f\n ret\n 8: push %rbx\n ret\n");
/* 3.13: 64-bit word, count stored before, tracer called through the register */
NEWREF(creation, "movq $1,(%rbx)\n mov word(%rip),%rax\n test %rax,%rax\n je 1f\n"
		 "mov %rbx,%rdi\n xor %esi,%esi\n mov word+8(%rip),%rdx\n call *%rax\n 1: ret\n");
NEWREF(destruction, "movq $1,(%rbx)\n mov word(%rip),%rax\n test %rax,%rax\n je 1f\n"
		    "mov %rbx,%rdi\n mov $1,%esi\n mov word+8(%rip),%rdx\n call *%rax\n 1: ret\n");
/* 3.14: the default tracer is compared and inlined first */
NEWREF(default_tracer,
       "movq $1,(%rbx)\n mov word(%rip),%rax\n test %rax,%rax\n je 1f\n"
       "lea 7f(%rip),%rcx\n cmp %rcx,%rax\n jne 9f\n mov word+16(%rip),%rdi\n call 7f\n"
       "1: ret\n 9: mov %rbx,%rdi\n xor %esi,%esi\n call *%rax\n ret\n"
       "7: push %rbx\n ret\n");
/* shared library: the word behind a GOT slot */
NEWREF(through_got, "mov word(%rip),%rdx\n push %rbx\n mov %rdi,%rbx\n mov 0x4(%rdx),%eax\n"
		    "test %eax,%eax\n jne 9f\n 1: movq $1,(%rbx)\n ret\n"
		    "9: call 8f\n jmp 1b\n 8: push %rbx\n ret\n");

static size_t run(const uint8_t *p, size_t len, const struct trace_word *w, struct site_list *l,
		  struct newref_stats *st)
{
	struct code c;

	*l = (struct site_list){0};
	assert_int_equal(decode_bytes(p, len, BASE, &c), 0);
	assert_int_equal(newrefs_find(&c, w, l, st), 0);
	decode_release(&c);
	return l->count;
}

static void expect(const uint8_t *p, size_t len, uint8_t width, uint8_t reg)
{
	struct trace_word w = {.vaddr = WORD, .width = width};
	struct newref_stats st;
	struct site_list l;

	assert_int_equal(run(p, len, &w, &l, &st), 1);
	assert_int_equal(l.v[0].reg, reg);
	assert_int_equal(l.v[0].evidence, 2);
	site_list_release(&l);
}

static void object_register_is_named(void **state)
{
	expect(plain, ASM_LEN(plain), 4, REG_RAX);
	expect(inverted, ASM_LEN(inverted), 4, 3);
	expect(copy, ASM_LEN(copy), 4, REG_RDI);
	expect(from_stack, ASM_LEN(from_stack), 4, REG_RAX);
	expect(with_header, ASM_LEN(with_header), 4, 5);
	expect(creation, ASM_LEN(creation), 8, 3);
	expect(default_tracer, ASM_LEN(default_tracer), 8, 3);
}

static void disagreeing_registers_are_dropped_and_counted(void **state)
{
	struct trace_word w = {.vaddr = WORD, .width = 4};
	struct newref_stats st;
	struct site_list l;

	assert_int_equal(run(disagreeing, ASM_LEN(disagreeing), &w, &l, &st), 0);
	assert_int_equal(st.disagree, 1);
	assert_int_equal(run(one_way, ASM_LEN(one_way), &w, &l, &st), 0);
	assert_int_equal(st.one_way, 1);
	assert_int_equal(run(not_tested, ASM_LEN(not_tested), &w, &l, &st), 0);
	assert_int_equal(st.no_jump, 1);
}

static void destruction_is_no_site(void **state)
{
	struct trace_word w = {.vaddr = WORD, .width = 8};
	struct newref_stats st;
	struct site_list l;

	assert_int_equal(run(destruction, ASM_LEN(destruction), &w, &l, &st), 0);
	assert_int_equal(st.destroy, 1);
}

static void word_behind_a_got_slot_is_followed(void **state)
{
	struct trace_word w = {
		.got_slot = WORD, .disp = 4, .width = 4, .vaddr = 0x77777774, .base = 0x77777770};
	struct newref_stats st;
	struct site_list l;

	assert_int_equal(run(through_got, ASM_LEN(through_got), &w, &l, &st), 1);
	assert_int_equal(l.v[0].reg, REG_RDI);
	site_list_release(&l);
	w.disp = 8;
	assert_int_equal(run(through_got, ASM_LEN(through_got), &w, &l, &st), 0);
	assert_int_equal(st.reads, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(object_register_is_named),
		cmocka_unit_test(disagreeing_registers_are_dropped_and_counted),
		cmocka_unit_test(destruction_is_no_site),
		cmocka_unit_test(word_behind_a_got_slot_is_followed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
