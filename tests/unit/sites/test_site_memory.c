/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "sites/site_memory.h"

#define PAGE 4096u

/* Whole pages of text that nothing else is in: je rel8, jne rel32, push r12, ret. */
__asm__(".text\n.balign 4096\n.globl site_page\nsite_page:\n"
	"je 1f\n jne site_page + 4000\n push %r12\n ret\n 1: ret\n .balign 4096\n");
extern uint8_t site_page[];

#define AT_JE	0
#define AT_JNE	2
#define AT_PUSH 8

static struct target *target;
static struct target_object *object;

static enum site_memory look(size_t at)
{
	uint64_t addr = (uint64_t)(uintptr_t)site_page + at;

	assert_int_equal(target_refresh_maps(target), 0);
	object = target_object_at(target, addr);
	assert_non_null(object);
	return site_memory_at(target, object, addr - object->bias);
}

static void patch(size_t at, uint8_t byte)
{
	assert_int_equal(mprotect(site_page, PAGE, PROT_READ | PROT_WRITE), 0);
	site_page[at] = byte;
	assert_int_equal(mprotect(site_page, PAGE, PROT_READ | PROT_EXEC), 0);
}

static int set_up(void **state)
{
	return target_open(getpid(), &target);
}

static int tear_down(void **state)
{
	target_free(target);
	return 0;
}

static void text_as_in_the_file_is_recognised(void **state)
{
	assert_int_equal(look(AT_JE), SITE_AS_FILE);
	assert_int_equal(look(AT_JNE), SITE_AS_FILE);
	assert_int_equal(look(AT_PUSH), SITE_AS_FILE);
}

static void a_breakpoint_is_told_from_other_changes(void **state)
{
	const size_t at[] = {AT_JE, AT_JNE, AT_PUSH};

	for (size_t i = 0; i < 3; i++) {
		uint8_t first = site_page[at[i]], second = site_page[at[i] + 1];

		patch(at[i], 0xcc);
		assert_int_equal(look(at[i]), SITE_BREAKPOINT);
		patch(at[i] + 1, second ^ 1);
		assert_int_equal(look(at[i]), SITE_CHANGED);
		patch(at[i], first);
		assert_int_equal(look(at[i]), SITE_CHANGED);
		patch(at[i] + 1, second);
		assert_int_equal(look(at[i]), SITE_AS_FILE);
	}
}

/* What follows may be the site of another tool. */
static void the_next_instruction_does_not_count(void **state)
{
	uint8_t next = site_page[AT_JNE];

	patch(AT_JNE, 0xcc);
	assert_int_equal(look(AT_JE), SITE_AS_FILE);
	patch(AT_JNE, next);
}

static void writable_and_unmapped_pages_are_told(void **state)
{
	uint64_t addr = (uint64_t)(uintptr_t)site_page;

	assert_int_equal(mprotect(site_page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), 0);
	assert_int_equal(look(AT_JE), SITE_WRITABLE);
	assert_int_equal(mprotect(site_page, PAGE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(look(AT_JE), SITE_AS_FILE);
	assert_int_equal(mprotect(site_page, PAGE, PROT_READ), 0);
	assert_int_equal(target_refresh_maps(target), 0);
	assert_int_equal(site_memory_at(target, object, addr - object->bias), SITE_UNMAPPED);
	assert_int_equal(mprotect(site_page, PAGE, PROT_READ | PROT_EXEC), 0);
	assert_int_equal(site_memory_at(target, object, 1ull << 40), SITE_UNMAPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_as_in_the_file_is_recognised),
		cmocka_unit_test(a_breakpoint_is_told_from_other_changes),
		cmocka_unit_test(the_next_instruction_does_not_count),
		cmocka_unit_test(writable_and_unmapped_pages_are_told),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
