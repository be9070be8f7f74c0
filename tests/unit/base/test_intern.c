/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"

static void none_and_unknown_ids_are_the_empty_string(void **state)
{
	struct intern *in = intern_new();
	str_id_t id = {9};

	assert_string_equal(intern_get(in, (str_id_t){0}), "");
	assert_string_equal(intern_get(in, (str_id_t){4711}), "");
	assert_int_equal(intern_len(in, (str_id_t){4711}), 0);
	assert_int_equal(intern_str(in, "", &id), 0);
	assert_int_equal(id.v, 0);
	assert_int_equal(intern_count(in), 0);
	intern_free(in);
	intern_free(NULL);
}

static void equal_bytes_get_the_equal_dense_id(void **state)
{
	struct intern *in = intern_new();
	str_id_t a, b, again, part;

	assert_int_equal(intern_str(in, "cache.py", &a), 0);
	assert_int_equal(intern_str(in, "views.py", &b), 0);
	assert_int_equal(intern_str(in, "cache.py", &again), 0);
	assert_int_equal(intern_add(in, "cache.py", 5, &part), 0);
	assert_int_equal(a.v, 1);
	assert_int_equal(b.v, 2);
	assert_int_equal(again.v, 1);
	assert_int_equal(part.v, 3);
	assert_string_equal(intern_get(in, part), "cache");
	assert_int_equal(intern_count(in), 3);
	intern_free(in);
}

static void bytes_may_hold_nul_and_are_terminated(void **state)
{
	struct intern *in = intern_new();
	str_id_t a, b;

	assert_int_equal(intern_add(in, "a\0b", 3, &a), 0);
	assert_int_equal(intern_add(in, "a\0c", 3, &b), 0);
	assert_int_not_equal(a.v, b.v);
	assert_int_equal(intern_len(in, a), 3);
	assert_memory_equal(intern_get(in, a), "a\0b", 4);
	intern_free(in);
}

static void pointers_stay_good_while_the_pool_grows(void **state)
{
	enum { COUNT = 20000 };
	struct intern *in = intern_new();
	char name[32], *huge = calloc(1, 200001);
	const char *first;
	str_id_t id;

	memset(huge, 'x', 200000);
	intern_str(in, "name 0", &id);
	first = intern_get(in, id);
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "name %d", i);
		assert_int_equal(intern_str(in, name, &id), 0);
		assert_int_equal(id.v, i + 1);
	}
	assert_int_equal(intern_str(in, huge, &id), 0);
	assert_int_equal(intern_len(in, id), 200000);
	assert_string_equal(intern_get(in, id), huge);
	assert_string_equal(first, "name 0");
	assert_ptr_equal(first, intern_get(in, (str_id_t){1}));
	assert_string_equal(intern_get(in, (str_id_t){COUNT}), "name 19999");
	assert_int_equal(intern_count(in), COUNT + 1);
	free(huge);
	intern_free(in);
}

/* Chunks have 65536 bytes: the second string would fit but for its NUL. */
static void a_string_that_just_does_not_fit_goes_elsewhere(void **state)
{
	struct intern *in = intern_new();
	char *text = calloc(1, 40001);
	str_id_t a, b;

	memset(text, 'y', 40000);
	assert_int_equal(intern_add(in, text, 30000, &a), 0);
	assert_int_equal(intern_add(in, text, 65536 - 30001, &b), 0);
	assert_int_equal(strlen(intern_get(in, a)), 30000);
	assert_int_equal(strlen(intern_get(in, b)), 35535);
	free(text);
	intern_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_and_unknown_ids_are_the_empty_string),
		cmocka_unit_test(equal_bytes_get_the_equal_dense_id),
		cmocka_unit_test(bytes_may_hold_nul_and_are_terminated),
		cmocka_unit_test(pointers_stay_good_while_the_pool_grows),
		cmocka_unit_test(a_string_that_just_does_not_fit_goes_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
