// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <cmocka.h>

#include "base/codes.h"

static void a_row_is_found_in_either_case(void **state)
{
	(void)state;
	assert_string_equal(codes_find("E301")->code, "E301");
	assert_ptr_equal(codes_find("e301"), codes_find("E301"));
	assert_null(codes_find("E999"));
	assert_null(codes_find("E30"));
	assert_null(codes_find(""));
	assert_string_equal(losses_find("ring_full")->key, "ring_full");
	assert_null(losses_find("ring"));
}

static void every_row_is_complete_and_in_order(void **state)
{
	size_t count;
	const struct code_row *rows = codes_all(&count);

	(void)state;
	assert_true(count >= 50);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(strlen(rows[i].code), 4);
		assert_true(*rows[i].meaning && *rows[i].cause && *rows[i].fix);
		assert_true(!i || strcmp(rows[i - 1].code, rows[i].code) < 0);
	}
	for (int i = 0; i < TM_DROP_COUNT; i++)
		assert_true(*losses_get((enum tm_drop)i)->remedy);
}

static void the_class_is_the_exit_status(void **state)
{
	(void)state;
	assert_int_equal(codes_exit_status("E201"), 2);
	assert_int_equal(codes_exit_status("E708"), 7);
	assert_int_equal(codes_exit_status("W127"), 0);
	assert_int_equal(codes_exit_status("E801"), 1);
	assert_int_equal(codes_exit_status(""), 1);
}

static void the_distance_counts_edits(void **state)
{
	char longer[200];

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(codes_distance("E301", "e301"), 0);
	assert_int_equal(codes_distance("E301", "E302"), 1);
	assert_int_equal(codes_distance("E301", "E3011"), 1);
	assert_int_equal(codes_distance("ring_ful", "ring_full"), 1);
	assert_int_equal(codes_distance("", "E301"), 4);
	assert_int_equal(codes_distance("kitten", "sitting"), 3);
	assert_int_equal(codes_distance(longer, ""), 31);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_row_is_found_in_either_case),
		cmocka_unit_test(every_row_is_complete_and_in_order),
		cmocka_unit_test(the_class_is_the_exit_status),
		cmocka_unit_test(the_distance_counts_edits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
