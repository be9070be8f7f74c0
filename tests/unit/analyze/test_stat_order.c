/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "analyze/stat_order.h"

#define COUNT 1000

static size_t comparisons;

static int descending(const void *a, const void *b, void *arg)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	assert_ptr_equal(arg, &comparisons);
	comparisons++;
	return (x < y) - (x > y);
}

/* All of 0 .. COUNT - 1, mixed: 617 and COUNT have no common factor. */
static void fill(uint32_t *items)
{
	for (uint32_t i = 0; i < COUNT; i++)
		items[i] = i * 617 % COUNT;
}

static void the_first_are_in_order_and_nothing_is_lost(void **state)
{
	static const size_t tops[] = {0, 1, 2, 3, 10, 124, 125, 126, 500, 999, 1000, 2000};

	for (size_t t = 0; t < sizeof(tops) / sizeof(*tops); t++) {
		uint32_t items[COUNT], seen[COUNT] = {0};
		size_t top = tops[t] && tops[t] < COUNT ? tops[t] : COUNT;

		fill(items);
		stat_order_top(items, COUNT, sizeof(*items), tops[t], descending, &comparisons);
		for (size_t i = 0; i < top; i++)
			assert_int_equal(items[i], COUNT - 1 - i);
		for (size_t i = 0; i < COUNT; i++)
			assert_int_equal(seen[items[i]]++, 0);
	}
}

static void the_few_cost_hardly_more_than_one_look_each(void **state)
{
	uint32_t items[COUNT];

	fill(items);
	comparisons = 0;
	stat_order_top(items, COUNT, sizeof(*items), 10, descending, &comparisons);
	assert_true(comparisons < 2 * COUNT);
}

static void nothing_and_one_are_in_order(void **state)
{
	uint32_t item = 7;

	stat_order_top(NULL, 0, sizeof(item), 10, descending, &comparisons);
	stat_order_top(&item, 1, sizeof(item), 10, descending, &comparisons);
	assert_int_equal(item, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_are_in_order_and_nothing_is_lost),
		cmocka_unit_test(the_few_cost_hardly_more_than_one_look_each),
		cmocka_unit_test(nothing_and_one_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
