/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/idmap.h"

static void an_empty_map_has_nothing(void **state)
{
	struct idmap *m = idmap_new();
	uint64_t key;
	uint32_t value = 5;
	size_t pos = 0;

	assert_non_null(m);
	assert_false(idmap_get(m, 0, &value));
	assert_int_equal(value, 5);
	assert_false(idmap_del(m, 0));
	assert_false(idmap_next(m, &pos, &key, &value));
	assert_int_equal(idmap_count(m), 0);
	idmap_free(m);
	idmap_free(NULL);
}

static void any_key_can_be_put_and_replaced(void **state)
{
	static const uint64_t keys[] = {0, 1, UINT64_MAX, 0x7f0000000000ull};
	struct idmap *m = idmap_new();
	uint32_t value;

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(idmap_put(m, keys[i], i), 0);
	assert_int_equal(idmap_put(m, 0, 77), 0);
	assert_int_equal(idmap_count(m), 4);
	assert_true(idmap_get(m, 0, &value));
	assert_int_equal(value, 77);
	assert_true(idmap_get(m, UINT64_MAX, &value));
	assert_int_equal(value, 2);
	assert_false(idmap_get(m, 2, &value));
	idmap_free(m);
}

/* Against a plain array as the model, with many deletions: backward shifting must lose nobody. */
static void random_puts_and_deletes_match_a_model(void **state)
{
	enum { KEYS = 5000, STEPS = 300000 };
	static uint32_t model[KEYS]; /* 0 = absent */
	struct idmap *m = idmap_new();
	size_t live = 0, seen = 0, pos = 0;
	uint64_t key;
	uint32_t value;

	srand(1);
	for (uint32_t step = 1; step <= STEPS; step++) {
		size_t i = (size_t)rand() % KEYS;

		if (rand() % 3) {
			live += !model[i];
			model[i] = step;
			assert_int_equal(idmap_put(m, i * 16, step), 0);
		} else {
			assert_int_equal(idmap_del(m, i * 16), model[i] != 0);
			live -= model[i] != 0;
			model[i] = 0;
		}
	}
	assert_int_equal(idmap_count(m), live);
	for (size_t i = 0; i < KEYS; i++) {
		assert_int_equal(idmap_get(m, i * 16, &value), model[i] != 0);
		if (model[i])
			assert_int_equal(value, model[i]);
	}
	while (idmap_next(m, &pos, &key, &value)) {
		assert_int_equal(value, model[key / 16]);
		seen++;
	}
	assert_int_equal(seen, live);
	idmap_free(m);
}

static void a_million_entries_are_all_found(void **state)
{
	enum { COUNT = 1000000 };
	struct idmap *m = idmap_new();
	uint32_t value;

	for (uint32_t i = 0; i < COUNT; i++)
		assert_int_equal(idmap_put(m, 0x7f0000000000ull + i * 4096ull, i), 0);
	assert_int_equal(idmap_count(m), COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		assert_true(idmap_get(m, 0x7f0000000000ull + i * 4096ull, &value));
		assert_int_equal(value, i);
	}
	idmap_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_has_nothing),
		cmocka_unit_test(any_key_can_be_put_and_replaced),
		cmocka_unit_test(random_puts_and_deletes_match_a_model),
		cmocka_unit_test(a_million_entries_are_all_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
