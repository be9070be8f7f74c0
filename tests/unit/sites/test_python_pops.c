/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "asm_code.h"
#include "elf_fixture.h"
#include "sites/python_pops.h"

ASM_CODE(je_form, POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
			  "rax", "rdx", "rcx") "ret\n"
					       "9: call 8f\n ret\n 8: push %rbx\n ret\n");
/* guard far away, reached by the taken edge of a jne; compare the other way round; incl */
ASM_CODE(jne_form,
	 "jmp 1f\n"
	 "2: mov 0x8(%rdi),%r14\n incl (%rdi)\n mov (%r14),%rsi\n mov %rsi,0x8(%rdi)\n ret\n"
	 "1: mov 0x10(%rdi),%rsi\n cmp %rdi,%rsi\n jne 2b\n call 8f\n ret\n"
	 "8: push %rbx\n ret\n");
ASM_CODE(memory_compare,
	 "cmp %rbx,0x10(%rbx)\n je 9f\n" POP_BODY("rbx", "rdx",
						  "rcx") "ret\n"
							 "9: call 8f\n ret\n 8: push %rbx\n ret\n");
/* the load stands before the jump, the count behind the store */
ASM_CODE(scheduled, POP_GUARD("rax", "rdx") "mov 0x8(%rax),%rcx\n je 9f\n mov (%rcx),%rdx\n"
					    "mov %rdx,0x8(%rax)\n addl $1,(%rax)\n ret\n"
					    "9: call 8f\n ret\n 8: push %rbx\n ret\n");
/* pool copied to another register behind the jump: the site's register is the one at the jump */
ASM_CODE(copied, POP_GUARD("rax", "rdx") "je 9f\n mov %rax,%rsi\n" POP_BODY(
			 "rsi", "rdx", "rcx") "ret\n"
					      "9: call 8f\n ret\n 8: push %rbx\n ret\n");
/* two guards share one pop */
ASM_CODE(shared_tail,
	 POP_GUARD("rax", "rdx") "je 9f\n"
				 "1:" POP_BODY("rax", "rdx",
					       "rcx") "ret\n"
						      "9: call 8f\n ret\n" POP_GUARD(
							      "rax", "r8") "jne 1b\n jmp 9b\n"
									   "8: push %rbx\n ret\n");
/* no jump before the pop, the one behind it serves */
ASM_CODE(after_form, "mov (%rdi),%rax\n" POP_BODY("rax", "rdx", "rcx") "je 9f\n ret\n 9: ret\n");
/* pool rewritten between compare and pop: not this pool's guard */
ASM_CODE(
	rewritten,
	POP_GUARD(
		"rax",
		"rdx") "je 9f\n mov 0x20(%rax),%rax\n"
		       "mov 0x8(%rax),%rcx\n addl $1,(%rax)\n mov %rdx,0x8(%rax)\n ret\n 9: ret\n");
ASM_CODE(incref, POP_GUARD("rax", "rdx") "je 9f\n mov 0x8(%rax),%rcx\n addq $1,(%rax)\n"
					 "mov (%rcx),%rdx\n mov %rdx,0x8(%rax)\n ret\n 9: ret\n");
ASM_CODE(no_store,
	 POP_GUARD("rax", "rdx") "je 9f\n mov 0x8(%rax),%rcx\n addl $1,(%rax)\n ret\n 9: ret\n");
ASM_CODE(on_stack,
	 "mov 0x8(%rsp),%rcx\n addl $1,(%rsp)\n mov (%rcx),%rdx\n mov %rdx,0x8(%rsp)\n ret\n");

#define FIND(name, list) find(name, ASM_LEN(name), list)

static struct code find(const uint8_t *p, size_t len, struct site_list *out)
{
	struct code c;

	*out = (struct site_list){0};
	assert_int_equal(decode_bytes(p, len, 0x1000, &c), 0);
	assert_int_equal(pops_find(&c, out), 0);
	return c;
}

/* One site on a je/jne, with this register, and one refill function that begins with push %rbx. */
static void expect_one(const uint8_t *p, size_t len, uint8_t reg, uint8_t evidence)
{
	struct site_list l;
	struct code c = find(p, len, &l);
	struct refill r;
	size_t idx;

	assert_int_equal(l.count, 1);
	assert_int_equal(l.v[0].reg, reg);
	assert_int_equal(l.v[0].evidence, evidence);
	assert_false(l.v[0].after_pop);
	idx = decode_find(&c, l.v[0].vaddr);
	assert_int_not_equal(idx, CODE_NONE);
	assert_int_equal(c.insns[idx].op, OP_JCC);
	assert_int_equal(refill_find(&c, &l, &r), 0);
	assert_int_equal(r.votes, 1);
	assert_int_equal(r.calls, 1);
	assert_int_equal(r.calls_missed, 0);
	assert_int_equal(c.insns[decode_find(&c, r.vaddr)].op, OP_PUSH);
	site_list_release(&l);
	decode_release(&c);
}

static void every_shape_gives_its_jump(void **state)
{
	expect_one(je_form, ASM_LEN(je_form), REG_RAX, 2);
	expect_one(jne_form, ASM_LEN(jne_form), REG_RDI, 2);
	expect_one(memory_compare, ASM_LEN(memory_compare), 3, 2);
	expect_one(scheduled, ASM_LEN(scheduled), REG_RAX, 2);
	expect_one(copied, ASM_LEN(copied), REG_RAX, 2);
}

static void shared_pop_has_a_site_for_each_way_in(void **state)
{
	struct site_list l;
	struct code c = FIND(shared_tail, &l);
	struct refill r;

	assert_int_equal(l.count, 2);
	assert_true(l.v[0].vaddr < l.v[1].vaddr);
	assert_int_equal(refill_find(&c, &l, &r), 0);
	assert_int_equal(r.votes, 2);
	assert_int_equal(r.calls, 1);
	site_list_release(&l);
	decode_release(&c);
}

static void jump_behind_the_pop_serves(void **state)
{
	struct site_list l;
	struct code c = FIND(after_form, &l);

	assert_int_equal(l.count, 1);
	assert_true(l.v[0].after_pop);
	assert_int_equal(l.v[0].reg, REG_RAX);
	assert_int_equal(l.v[0].reg2, REG_RCX);
	site_list_release(&l);
	decode_release(&c);
}

static void expect_none(const uint8_t *p, size_t len)
{
	struct site_list l;
	struct code c = find(p, len, &l);

	assert_int_equal(l.count, 0);
	site_list_release(&l);
	decode_release(&c);
}

static void look_alikes_are_refused(void **state)
{
	expect_none(rewritten, ASM_LEN(rewritten));
	expect_none(incref, ASM_LEN(incref));
	expect_none(no_store, ASM_LEN(no_store));
	expect_none(on_stack, ASM_LEN(on_stack));
}

/* A file of `copies` je_forms, each with its own refill: no vote wins. */
static struct elf_image *many_refills(unsigned copies)
{
	uint8_t code[8192];

	for (unsigned i = 0; i < copies; i++)
		memcpy(code + i * ASM_LEN(je_form), je_form, ASM_LEN(je_form));
	return fix_open(code, copies * ASM_LEN(je_form), NULL, 0);
}

static void one_file_is_found_and_many_refills_rejected(void **state)
{
	struct elf_image *one = many_refills(1), *many = many_refills(40);
	struct python_sites s;

	assert_non_null(one);
	assert_non_null(many);
	assert_int_equal(python_sites_find(one, 11, &s), 0);
	assert_int_equal(s.pop_count, 1);
	assert_int_equal(s.refill_calls, 1);
	assert_int_equal(s.pops[0].vaddr - s.pops[0].file_off, FIX_VADDR);
	assert_int_equal(s.newref_count, 0);
	assert_non_null(strstr(s.reason, "no trace word"));
	python_sites_release(&s);
	assert_int_equal(python_sites_find(many, 11, &s), -ENOENT);
	assert_non_null(strstr(s.reason, "no single refill function"));
	assert_null(s.pops);
	python_sites_release(&s);
	elf_image_free(one);
	elf_image_free(many);
}

static void no_pop_site_is_said(void **state)
{
	struct elf_image *img = fix_open(incref, ASM_LEN(incref), NULL, 0);
	struct python_sites s;

	assert_non_null(img);
	assert_int_equal(python_sites_find(img, 11, &s), -ENOENT);
	assert_non_null(strstr(s.reason, "no pop site"));
	python_sites_release(&s);
	elf_image_free(img);
}

static void pop_without_refill_call_is_rejected(void **state)
{
	struct elf_image *img = fix_open(after_form, ASM_LEN(after_form), NULL, 0);
	struct python_sites s;

	assert_non_null(img);
	assert_int_equal(python_sites_find(img, 11, &s), -ENOENT);
	assert_non_null(strstr(s.reason, "no refill function"));
	python_sites_release(&s);
	elf_image_free(img);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_gives_its_jump),
		cmocka_unit_test(shared_pop_has_a_site_for_each_way_in),
		cmocka_unit_test(jump_behind_the_pop_serves),
		cmocka_unit_test(look_alikes_are_refused),
		cmocka_unit_test(one_file_is_found_and_many_refills_rejected),
		cmocka_unit_test(no_pop_site_is_said),
		cmocka_unit_test(pop_without_refill_call_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
