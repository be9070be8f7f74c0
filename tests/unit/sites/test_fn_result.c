/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "asm_code.h"
#include "elf_fixture.h"
#include "sites/fn_result.h"

/* The result goes through rbx and back; the jump at `known` sees it in rbx. */
ASM_CODE(copied, "push %rbx\n call 9f\n mov %rax,%rbx\n test %rcx,%rcx\n copied_known: je 1f\n"
		 "call 9f\n 1: mov %rbx,%rax\n pop %rbx\n ret\n 9: xor %eax,%eax\n ret\n");
extern const uint8_t copied_known[] __attribute__((visibility("hidden")));

/* The path of the failed check never comes back: a call of a function that ends in abort(). */
ASM_CODE(checked, "sub $8,%rsp\n call 9f\n test $15,%al\n checked_known: jne 1f\n"
		  "add $8,%rsp\n ret\n 1: xor %eax,%eax\n call 8f\n"
		  "7: push %rbx\n mov $1,%eax\n pop %rbx\n ret\n" /* what follows in memory */
		  "8: sub $8,%rsp\n call 6f\n .balign 16\n jmp 7b\n"
		  "6: ud2\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t checked_known[] __attribute__((visibility("hidden")));

/* Two blocks: only one way out of the first jump has the result already. */
ASM_CODE(one_way, "push %rbx\n mov %rdi,%rbx\n call 9f\n cmp $3,%rax\n one_way_jump: ja 1f\n"
		  "call 9f\n mov %rax,%rbx\n jmp 1f\n"
		  "1: mov %rbx,%rax\n pop %rbx\n ret\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t one_way_jump[] __attribute__((visibility("hidden")));

/* 0 is what a failed call returns: on the edge where rax is 0 it is the result, too. */
ASM_CODE(failing, "sub $8,%rsp\n call 9f\n test %rax,%rax\n failing_known: je 1f\n"
		  "add $8,%rsp\n ret\n 1: xor %eax,%eax\n add $8,%rsp\n ret\n"
		  "9: mov %rdi,%rax\n ret\n");
extern const uint8_t failing_known[] __attribute__((visibility("hidden")));

/* No jump on the way: the ret. */
ASM_CODE(straight, "lea 8(%rdi),%rax\n straight_ret: ret\n");
extern const uint8_t straight_ret[] __attribute__((visibility("hidden")));

/* The jump of a loop is passed more than once. */
ASM_CODE(looping, "mov %rdi,%rax\n mov $9,%ecx\n 1: sub $1,%ecx\n jne 1b\n looping_ret: ret\n");
extern const uint8_t looping_ret[] __attribute__((visibility("hidden")));

/* A jump table. */
ASM_CODE(table, "push %rbx\n mov %rdi,%rax\n jmp *(%rsi,%rdi,8)\n pop %rbx\n ret\n");

/* The block goes to where the first argument points; the jump before that store sees it in rdx. */
ASM_CODE(pointed, "push %rbx\n mov %rdi,%rbx\n mov %rsi,%rdi\n call 9f\n mov %rax,%rdx\n"
		  "mov $12,%eax\n test %rdx,%rdx\n pointed_known: je 1f\n mov %rdx,(%rbx)\n"
		  "xor %eax,%eax\n 1: pop %rbx\n ret\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t pointed_known[] __attribute__((visibility("hidden")));

/* The same store through another pointer is none of ours: what is left is the status at the ret. */
ASM_CODE(elsewhere, "push %rbx\n mov %rsi,%rbx\n call 9f\n mov %rax,%rdx\n test %rdx,%rdx\n je 1f\n"
		    "mov %rdx,(%rbx)\n xor %eax,%eax\n 1: pop %rbx\n elsewhere_ret: ret\n"
		    "9: mov %rdi,%rax\n ret\n");
extern const uint8_t elsewhere_ret[] __attribute__((visibility("hidden")));

/* `other` has probes of its own: a call of it after the jump would look like an outermost one. */
ASM_CODE(nesting,
	 "push %rbx\n mov %rdi,%rbx\n test %rsi,%rsi\n je 1f\n call 9f\n 1: mov %rbx,%rax\n"
	 "pop %rbx\n nesting_ret: ret\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t nesting_ret[] __attribute__((visibility("hidden")));

/* Checks, then jumps to another function; or fails. */
ASM_CODE(forwarder, "mul %rdx\n jo 1f\n forwarder_jump: jmp 9f\n 1: xor %eax,%eax\n ret\n"
		    ".balign 16\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t forwarder_jump[] __attribute__((visibility("hidden")));

/* A message function that comes back or not by its first argument, as __libc_message() of glibc. */
ASM_CODE(argument,
	 "sub $8,%rsp\n test %rsi,%rsi\n je 1f\n call 9f\n test $15,%al\n"
	 "argument_known: jne 1f\n add $8,%rsp\n ret\n"
	 "1: xor %eax,%eax\n mov $1,%edi\n call 8f\n mov $2,%eax\n add $8,%rsp\n ret\n"
	 "8: push %rbx\n and $1,%edi\n mov %edi,%ebx\n call 9f\n test %ebx,%ebx\n jne 7f\n"
	 "pop %rbx\n ret\n 7: ud2\n 9: mov %rdi,%rax\n ret\n");
extern const uint8_t argument_known[] __attribute__((visibility("hidden")));

struct found {
	struct fn_results r;
	int err;
	bool forwards;
};

/* other: offset of a function with probes of its own, 0 = none. */
static struct found find(const uint8_t *code, size_t len, uint64_t other, bool by_pointer)
{
	struct elf_image *img = fix_open(code, len, NULL, 0);
	struct fn_scope scope = {.img = img};
	const struct result_query query = {.entry_site = 0, .by_pointer = by_pointer};
	struct found f = {.err = -1};
	const char *why;
	struct fn_graph g;

	assert_non_null(img);
	if (other)
		scope.others[scope.other_count++] = fix_vaddr(other);
	assert_int_equal(fn_graph_build(&scope, fix_vaddr(0), &g), 0);
	f.forwards = fn_is_forwarder(&scope, &g);
	f.err = fn_results_find(&scope, &g, &query, &f.r, &why);
	fn_graph_release(&g);
	elf_image_free(img);
	return f;
}

static const struct result_site *site_at(const struct found *f, const uint8_t *code,
					 const uint8_t *label)
{
	for (size_t i = 0; i < f->r.count; i++)
		if (f->r.v[i].vaddr == fix_vaddr((uint64_t)(label - code)))
			return &f->r.v[i];
	return NULL;
}

#define FIND(name)		 find(name, ASM_LEN(name), 0, false)
#define SITE(found, code, label) site_at(&(found), code, label)

static void the_register_that_holds_the_result_is_followed(void **state)
{
	struct found f = FIND(copied);
	const struct result_site *s = SITE(f, copied, copied_known);

	assert_int_equal(f.err, 0);
	assert_int_equal(f.r.count, 1);
	assert_int_equal(f.r.crossed, 1);
	assert_non_null(s);
	assert_int_equal(s->reg, 3);
	assert_int_equal(s->sp_bytes, 8);
	assert_int_equal(s->kind, TM_RESULT_BLOCK);
	assert_int_equal(s->cc, TM_RESULT_ALWAYS);
	assert_false(s->single_step);
}

static void a_call_that_never_returns_ends_its_path(void **state)
{
	struct found f = FIND(checked);

	assert_int_equal(f.err, 0);
	assert_int_equal(f.r.count, 1);
	assert_non_null(SITE(f, checked, checked_known));
}

static void a_call_that_returns_by_its_argument_is_told(void **state)
{
	struct found f = FIND(argument);

	assert_int_equal(f.err, 0);
	assert_int_equal(f.r.count, 1);
	assert_non_null(SITE(f, argument, argument_known));
}

static void one_way_out_of_a_jump_can_be_a_site(void **state)
{
	struct found f = FIND(one_way);
	const struct result_site *s = SITE(f, one_way, one_way_jump);

	assert_int_equal(f.err, 0);
	assert_non_null(s);
	assert_int_equal(s->cc, 7); /* ja */
	assert_int_equal(s->reg, 3);
	for (size_t i = 0; i < f.r.count; i++)
		assert_false(f.r.v[i].single_step);
}

static void zero_is_a_result(void **state)
{
	struct found f = FIND(failing);
	const struct result_site *s = SITE(f, failing, failing_known);

	assert_int_equal(f.r.count, 1);
	assert_non_null(s);
	assert_int_equal(s->reg, REG_RAX);
}

static void the_ret_is_the_last_resort(void **state)
{
	struct found f = FIND(straight);
	const struct result_site *s = SITE(f, straight, straight_ret);

	assert_int_equal(f.r.count, 1);
	assert_non_null(s);
	assert_true(s->single_step);
	assert_int_equal(s->sp_bytes, 0);
	f = FIND(looping);
	assert_int_equal(f.r.count, 1);
	assert_non_null(SITE(f, looping, looping_ret));
}

static void what_cannot_be_followed_is_not_proven(void **state)
{
	struct found f = FIND(table);

	assert_int_not_equal(f.err, 0);
	assert_int_equal(f.r.count, 0);
}

static void a_block_by_pointer_is_seen_before_its_store(void **state)
{
	struct found f = find(pointed, ASM_LEN(pointed), 0, true);
	const struct result_site *s = SITE(f, pointed, pointed_known);

	assert_int_equal(f.r.count, 1);
	assert_non_null(s);
	assert_int_equal(s->reg, REG_RDX);
	assert_int_equal(s->kind, TM_RESULT_BLOCK);
}

static void a_site_is_not_before_a_nested_call(void **state)
{
	const uint64_t other = ASM_LEN(nesting) - 4;
	struct found f = find(nesting, ASM_LEN(nesting), other, false);
	const struct result_site *s = SITE(f, nesting, nesting_ret);

	assert_int_equal(f.err, 0);
	/* Where nothing is called after it, the jump that skips the call is one. */
	for (size_t i = 0; i < f.r.count; i++)
		assert_true(&f.r.v[i] == s || f.r.v[i].cc != TM_RESULT_ALWAYS);
	assert_non_null(s);
	f = find(nesting, ASM_LEN(nesting), 0, false);
	assert_int_equal(f.r.count, 1);
	assert_null(SITE(f, nesting, nesting_ret));
}

static void a_forwarder_is_told(void **state)
{
	const uint64_t other = ASM_LEN(forwarder) - 4;
	struct found f = find(forwarder, ASM_LEN(forwarder), other, false);
	const struct result_site *s = SITE(f, forwarder, forwarder_jump);

	assert_true(f.forwards);
	assert_non_null(s);
	assert_int_equal(s->kind, TM_RESULT_FORWARDED);
	f = FIND(forwarder);
	assert_false(f.forwards);
	assert_false(FIND(failing).forwards);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_register_that_holds_the_result_is_followed),
		cmocka_unit_test(a_call_that_never_returns_ends_its_path),
		cmocka_unit_test(a_call_that_returns_by_its_argument_is_told),
		cmocka_unit_test(one_way_out_of_a_jump_can_be_a_site),
		cmocka_unit_test(zero_is_a_result),
		cmocka_unit_test(the_ret_is_the_last_resort),
		cmocka_unit_test(what_cannot_be_followed_is_not_proven),
		cmocka_unit_test(a_block_by_pointer_is_seen_before_its_store),
		cmocka_unit_test(a_site_is_not_before_a_nested_call),
		cmocka_unit_test(a_forwarder_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
