/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>

#include "analyze/stat_table.h"

static bool has(const struct stat_table *t, uint64_t hash, uint32_t value)
{
	size_t pos = SIZE_MAX, looks = 0;
	uint32_t found;

	while ((found = stat_table_next(t, hash, &pos)) != STAT_TABLE_NONE) {
		assert_true(looks++ <= t->used);
		if (found == value)
			return true;
	}
	return false;
}

static void an_empty_table_has_nothing(void **state)
{
	struct stat_table t = {0};

	assert_false(has(&t, 0, 0));
	stat_table_release(&t);
}

static void values_of_one_hash_are_all_found(void **state)
{
	struct stat_table t = {0};

	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(stat_table_add(&t, 42ull << 32, i), 0);
	for (uint32_t i = 0; i < 100; i++)
		assert_true(has(&t, 42ull << 32, i));
	assert_false(has(&t, 42ull << 32, 100));
	assert_false(has(&t, 43ull << 32, 1));
	stat_table_release(&t);
}

static void many_values_survive_growing(void **state)
{
	struct stat_table t = {0};

	for (uint32_t i = 0; i < 100000; i++)
		assert_int_equal(stat_table_add(&t, i * 0x9e3779b97f4a7c15ull, i), 0);
	for (uint32_t i = 0; i < 100000; i++)
		assert_true(has(&t, i * 0x9e3779b97f4a7c15ull, i));
	assert_true(t.used * 2 <= t.slot_count);
	stat_table_release(&t);
	assert_null(t.slots);
}

static void the_value_that_means_none_is_refused(void **state)
{
	struct stat_table t = {0};

	assert_int_equal(stat_table_add(&t, 1, STAT_TABLE_NONE), -ENOMEM);
	assert_int_equal(t.used, 0);
	stat_table_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_table_has_nothing),
		cmocka_unit_test(values_of_one_hash_are_all_found),
		cmocka_unit_test(many_values_survive_growing),
		cmocka_unit_test(the_value_that_means_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
