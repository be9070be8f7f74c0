/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the C library's provider plans for each role, and what one link selects of a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc/provider.h"

static struct target_object file_a, file_b;
static const struct probe_choice no_choice;

static struct probe_spec spec(const char *program, uint64_t offset, unsigned roles)
{
	return (struct probe_spec){
		.program = program, .object = &file_a, .offset = offset, .roles = roles};
}

static size_t selected(const struct probe_list *l, const struct probe_spec *like,
		       enum probe_role role, unsigned away, const struct probe_choice *choice)
{
	struct probe_batch b;
	size_t count;

	assert_int_equal(probe_list_select(l, like, role, away, choice, &b), 0);
	count = b.count;
	probe_batch_release(&b);
	return count;
}

static void links_part_by_program_file_return_set_part_and_choice(void **state)
{
	struct probe_spec a = spec("one", 1, PROBE_EXACT), b = a;

	b.offset = 2;
	b.roles = PROBE_GROWTH;
	assert_true(probe_spec_shares_link(&a, &b));
	b = a, b.program = "two";
	assert_false(probe_spec_shares_link(&a, &b));
	b = a, b.object = &file_b;
	assert_false(probe_spec_shares_link(&a, &b));
	b = a, b.at_return = true;
	assert_false(probe_spec_shares_link(&a, &b));
	b = a, b.set = 1;
	assert_false(probe_spec_shares_link(&a, &b));
	b = a, b.part = PROBE_PART_MALLOC;
	assert_false(probe_spec_shares_link(&a, &b));
	b = a, b.choice = 1;
	assert_false(probe_spec_shares_link(&a, &b));
	a.choice = 7;
	assert_true(probe_spec_shares_link(&a, &b));
}

static void a_role_selects_each_offset_once(void **state)
{
	struct probe_list l = {0};
	struct probe_spec s = spec("one", 0x10, PROBE_EXACT | PROBE_TRIAL);
	struct probe_batch b;

	s.kind = TM_PROG_MALLOC;
	s.cookie = 5;
	probe_list_add(&l, &s);
	s.cookie = 6; /* another name of the same address */
	probe_list_add(&l, &s);
	s.offset = 0x20;
	s.roles = PROBE_EXACT | PROBE_GROWTH;
	probe_list_add(&l, &s);
	assert_false(l.oom);
	assert_int_equal(probe_list_select(&l, &l.specs[0], PROBE_EXACT, 0, &no_choice, &b), 0);
	assert_int_equal(b.count, 2);
	assert_int_equal(b.offsets[0], 0x10);
	assert_int_equal(b.cookies[0], 5);
	assert_int_equal(b.offsets[1], 0x20);
	assert_int_equal(b.of_kind[TM_PROG_MALLOC], 2);
	probe_batch_release(&b);
	assert_int_equal(selected(&l, &l.specs[0], PROBE_TRIAL, 0, &no_choice), 1);
	assert_int_equal(selected(&l, &l.specs[0], PROBE_GROWTH, 0, &no_choice), 1);
	assert_int_equal(selected(&l, &l.specs[0], PROBE_OFF, 0, &no_choice), 0);
	probe_list_release(&l);
}

static void a_part_that_is_away_is_not_selected(void **state)
{
	struct probe_list l = {0};
	struct probe_spec s = spec("one", 0x10, PROBE_ALWAYS),
			  always = spec("two", 1, PROBE_ALWAYS);

	s.part = PROBE_PART_OBJECTS;
	probe_list_add(&l, &s);
	probe_list_add(&l, &always);
	assert_int_equal(selected(&l, &s, PROBE_EXACT, PROBE_PART_MALLOC, &no_choice), 1);
	assert_int_equal(selected(&l, &s, PROBE_EXACT, PROBE_PART_OBJECTS, &no_choice), 0);
	assert_int_equal(selected(&l, &s, PROBE_EXACT, PROBE_PART_ALL, &no_choice), 0);
	assert_int_equal(selected(&l, &always, PROBE_EXACT, PROBE_PART_ALL, &no_choice), 1);
	probe_list_release(&l);
}

static void what_is_gone_is_left_out_and_the_others_are_told(void **state)
{
	bool gone[3] = {false, true, false};
	struct probe_choice choice = {.gone = gone, .count = 3, .cookie_bits = 0x100};
	struct probe_list l = {0};
	struct probe_batch b;

	for (uint16_t i = 0; i < 3; i++) {
		struct probe_spec s = spec("one", i, PROBE_EXACT);

		s.choice = (uint16_t)(i + 1);
		s.cookie = i;
		probe_list_add(&l, &s);
	}
	assert_int_equal(probe_list_choices(&l), 3);
	choice.any_gone = true;
	assert_int_equal(probe_list_select(&l, &l.specs[0], PROBE_EXACT, 0, &choice, &b), 0);
	assert_int_equal(b.count, 2);
	assert_int_equal(b.cookies[0], 0x100);
	assert_int_equal(b.offsets[1], 2);
	assert_int_equal(b.cookies[1], 0x102);
	probe_batch_release(&b);
	gone[1] = choice.any_gone = false;
	assert_int_equal(probe_list_select(&l, &l.specs[0], PROBE_EXACT, 0, &choice, &b), 0);
	assert_int_equal(b.count, 3);
	assert_int_equal(b.cookies[2], 2);
	probe_batch_release(&b);
	probe_list_release(&l);
}

static void batches_are_equal_when_sites_and_cookies_are(void **state)
{
	uint64_t one[2] = {1, 2}, other[2] = {1, 3};
	struct probe_batch a = {.offsets = one, .cookies = one, .count = 2};
	struct probe_batch same = a, less = a, moved = a, retold = a;

	less.count = 1;
	moved.offsets = other;
	retold.cookies = other;
	assert_true(probe_batch_equal(&a, &same));
	assert_false(probe_batch_equal(&a, &less));
	assert_false(probe_batch_equal(&a, &moved));
	assert_false(probe_batch_equal(&a, &retold));
}

/* ---- the plan of the malloc family ---- */

static void fill_family(struct libc_sites *s, bool slow)
{
	memset(s, 0, sizeof(*s));
	for (int fn = 0; fn < TM_FN_COUNT; fn++)
		s->fn[fn] = (struct fn_site){.present = fn != TM_FN_PVALLOC,
					     .vaddr = (uint64_t)fn * 0x100 + 4,
					     .file_off = (uint64_t)fn * 0x100 + 4,
					     .ret_off = (uint64_t)fn * 0x100,
					     .sp_bytes = 8};
	s->slow_malloc = s->fn[TM_FN_MALLOC];
	s->slow_malloc.present = slow;
	s->slow_malloc.file_off = 0x5004;
	s->slow_malloc.ret_off = 0x5000;
}

static struct probe_list family_plan(bool slow)
{
	struct alloc_set set = {.libc = {.object = &file_a}};
	struct libc_sites sites;
	struct probe_list l = {0};

	fill_family(&sites, slow);
	alloc_libc.plan(&set, &sites, &l);
	return l;
}

static bool planned(const struct probe_list *l, const char *program, uint64_t offset,
		    enum probe_role role)
{
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->specs[i].program, program) == 0 && l->specs[i].offset == offset &&
		    l->specs[i].roles & role)
			return true;
	return false;
}

static size_t planned_in(const struct probe_list *l, enum probe_role role)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		n += !!(l->specs[i].roles & role);
	return n;
}

static void growth_takes_the_slow_path_instead_of_malloc_and_calloc(void **state)
{
	struct probe_list l = family_plan(true);

	assert_true(planned(&l, "alloc_enter", TM_FN_MALLOC * 0x100 + 4, PROBE_EXACT));
	assert_true(planned(&l, "alloc_enter", TM_FN_CALLOC * 0x100 + 4, PROBE_EXACT));
	assert_false(planned(&l, "alloc_enter", TM_FN_MALLOC * 0x100 + 4, PROBE_GROWTH));
	assert_false(planned(&l, "alloc_enter", TM_FN_CALLOC * 0x100 + 4, PROBE_GROWTH));
	assert_true(planned(&l, "alloc_enter", 0x5004, PROBE_GROWTH));
	assert_false(planned(&l, "alloc_enter", 0x5004, PROBE_EXACT));
	assert_true(planned(&l, "alloc_enter", TM_FN_REALLOC * 0x100 + 4, PROBE_GROWTH));
	assert_true(planned(&l, "free_enter", TM_FN_FREE * 0x100 + 4, PROBE_GROWTH));
	assert_false(planned(&l, "alloc_enter", TM_FN_PVALLOC * 0x100 + 4, PROBE_EXACT));
	probe_list_release(&l);
}

static void without_a_slow_path_growth_takes_malloc_itself(void **state)
{
	struct probe_list l = family_plan(false);

	assert_true(planned(&l, "alloc_enter", TM_FN_MALLOC * 0x100 + 4, PROBE_GROWTH));
	assert_true(planned(&l, "alloc_enter", TM_FN_CALLOC * 0x100 + 4, PROBE_GROWTH));
	assert_false(planned(&l, "alloc_enter", 0x5004, PROBE_GROWTH));
	probe_list_release(&l);
}

static void the_trial_is_the_entry_of_malloc_alone(void **state)
{
	struct probe_list l = family_plan(true);

	assert_int_equal(planned_in(&l, PROBE_TRIAL), 1);
	assert_true(planned(&l, "alloc_enter", TM_FN_MALLOC * 0x100 + 4, PROBE_TRIAL));
	probe_list_release(&l);
}

static void ends_come_first_and_every_spec_can_be_taken_away(void **state)
{
	struct probe_list l = family_plan(true);

	assert_string_equal(l.specs[0].program, "free_enter");
	assert_int_equal(l.specs[0].cookie, 0);
	for (size_t i = 0; i < l.count; i++) {
		assert_int_equal(l.specs[i].part, PROBE_PART_MALLOC);
		if (strcmp(l.specs[i].program, "alloc_enter") == 0)
			assert_int_equal(l.specs[i].cookie >> 8, 8); /* sp_bytes */
	}
	assert_string_equal(l.specs[l.count - 1].program, "alloc_enter");
	probe_list_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_part_by_program_file_return_set_part_and_choice),
		cmocka_unit_test(a_role_selects_each_offset_once),
		cmocka_unit_test(a_part_that_is_away_is_not_selected),
		cmocka_unit_test(what_is_gone_is_left_out_and_the_others_are_told),
		cmocka_unit_test(batches_are_equal_when_sites_and_cookies_are),
		cmocka_unit_test(growth_takes_the_slow_path_instead_of_malloc_and_calloc),
		cmocka_unit_test(without_a_slow_path_growth_takes_malloc_itself),
		cmocka_unit_test(the_trial_is_the_entry_of_malloc_alone),
		cmocka_unit_test(ends_come_first_and_every_spec_can_be_taken_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
