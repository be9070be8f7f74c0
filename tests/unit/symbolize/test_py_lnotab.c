/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The line tables before 3.11: by hand, broken, and against CPython's own answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line_vectors.h"

#define LNOTAB(table, first, lasti) py_lnotab_line(table, sizeof(table), first, lasti)
#define RANGES(table, first, addrq) py_ranges_line(table, sizeof(table), first, addrq)
#define S(delta)		    ((uint8_t)(int8_t)(delta))
#define NO_LINE			    0x80

/* ---- co_lnotab, 3.6 to 3.9: {step of addresses, step of lines}, the line changes behind the step ---- */

static void lines_change_at_their_address(void **state)
{
	/* Objects/lnotab_notes.txt: offsets 0, 6, 50, 350, 361 on lines 1, 2, 7, 207, 208 */
	const uint8_t table[] = {0, 1, 6, 1, 44, 5, 255, 0, 45, 127, 0, 73, 11, 1};

	assert_int_equal(LNOTAB(table, 0, 0), 1);
	assert_int_equal(LNOTAB(table, 0, 5), 1);
	assert_int_equal(LNOTAB(table, 0, 6), 2);
	assert_int_equal(LNOTAB(table, 0, 49), 2);
	assert_int_equal(LNOTAB(table, 0, 50), 7);
	assert_int_equal(LNOTAB(table, 0, 349), 7);
	assert_int_equal(LNOTAB(table, 0, 350), 207);
	assert_int_equal(LNOTAB(table, 0, 360), 207);
	assert_int_equal(LNOTAB(table, 0, 361), 208);
	assert_int_equal(LNOTAB(table, 0, INT64_MAX), 208); /* it has no end */
}

static void lines_of_lnotab_go_backwards(void **state)
{
	const uint8_t table[] = {2, S(-1), 2, S(-128), 0, S(-2), 2, 127};

	assert_int_equal(LNOTAB(table, 1000, 0), 1000);
	assert_int_equal(LNOTAB(table, 1000, 2), 999);
	assert_int_equal(LNOTAB(table, 1000, 4), 869);
	assert_int_equal(LNOTAB(table, 1000, 6), 996);
}

static void before_lnotab_begins_is_the_first_line(void **state)
{
	const uint8_t table[] = {0, 5, 2, 1};

	assert_int_equal(LNOTAB(table, 7, -1), 7);
	assert_int_equal(LNOTAB(table, 7, -2), 7);
	assert_int_equal(LNOTAB(table, 7, INT64_MIN), 7);
	assert_int_equal(LNOTAB(table, 7, 0), 12);
	assert_int_equal(py_lnotab_line(NULL, 0, 7, 0), 7);
	assert_int_equal(py_lnotab_line(NULL, 0, 7, -1), 7);
	assert_int_equal(py_lnotab_line(NULL, 0, 7, INT64_MAX), 7);
}

/* ---- co_linetable, 3.10: {length of the range, step of lines before it} ---- */

static void ranges_end_where_the_next_begins(void **state)
{
	/* Objects/lnotab_notes.txt of 3.10: 6 bytes on line 1, 44 on 2, 300 on 7, none on 8, 11 on 207 */
	const uint8_t table[] = {6, 1,	 44, 1,	 254, 5, 46, 0,	      0, 1,
				 0, 127, 0,  72, 10,  0, 2,  NO_LINE, 4, 1};

	assert_int_equal(RANGES(table, 0, 0), 1);
	assert_int_equal(RANGES(table, 0, 5), 1);
	assert_int_equal(RANGES(table, 0, 6), 2);
	assert_int_equal(RANGES(table, 0, 49), 2);
	assert_int_equal(RANGES(table, 0, 50), 7);
	assert_int_equal(RANGES(table, 0, 303), 7);
	assert_int_equal(RANGES(table, 0, 304), 7);
	assert_int_equal(RANGES(table, 0, 349), 7);
	assert_int_equal(RANGES(table, 0, 350), 207); /* what has no length only moves the line */
	assert_int_equal(RANGES(table, 0, 359), 207);
	assert_int_equal(RANGES(table, 0, 360), -1); /* no line, */
	assert_int_equal(RANGES(table, 0, 361), -1);
	assert_int_equal(RANGES(table, 0, 362), 208); /* and it did not move */
	assert_int_equal(RANGES(table, 0, 365), 208);
	assert_int_equal(RANGES(table, 0, 366), -1); /* behind the code */
	assert_int_equal(RANGES(table, 0, INT64_MAX), -1);
}

static void lines_of_ranges_go_backwards(void **state)
{
	const uint8_t table[] = {2, S(-1), 2, S(-127), 0, S(-127), 2, 127};

	assert_int_equal(RANGES(table, 1000, 0), 999);
	assert_int_equal(RANGES(table, 1000, 2), 872);
	assert_int_equal(RANGES(table, 1000, 4), 872);
	assert_int_equal(RANGES(table, 1000, 6), -1);
}

static void before_the_first_range_is_the_first_line(void **state)
{
	const uint8_t table[] = {2, 5};

	assert_int_equal(RANGES(table, 7, -1), 7);
	assert_int_equal(RANGES(table, 7, -2), 7);
	assert_int_equal(RANGES(table, 7, INT64_MIN), 7);
	assert_int_equal(RANGES(table, 7, 0), 12);
	assert_int_equal(py_ranges_line(NULL, 0, 7, -1), 7);
}

static void no_ranges_have_no_lines(void **state)
{
	const uint8_t empty[] = {0, 1, 0, NO_LINE, 0, S(-1)};

	assert_int_equal(py_ranges_line(NULL, 0, 7, 0), -1);
	assert_int_equal(RANGES(empty, 7, 0), -1);
}

/* ---- broken ones ---- */

static void half_an_entry_is_none(void **state)
{
	const uint8_t table[] = {2, 1, 2, 1, 2};

	for (size_t len = 0; len <= sizeof(table); len++) {
		uint8_t *exact = malloc(len + !len); /* ASan sees a read behind it */

		memcpy(exact, table, len);
		for (int64_t at = 0; at < 12; at++) {
			int64_t whole = (int64_t)(len / 2), entry = at / 2;

			/* lnotab: so many entries lie at or before; ranges: it is in one, or behind all */
			assert_int_equal(py_lnotab_line(exact, len, 7, at),
					 7 + (entry < whole ? entry : whole));
			assert_int_equal(py_ranges_line(exact, len, 7, at),
					 entry < whole ? 7 + entry + 1 : -1);
		}
		free(exact);
	}
}

static void lines_beyond_an_int_are_none(void **state)
{
	const uint8_t up[] = {0, 1, 2, 127, 2, 127};
	const uint8_t down[] = {0, S(-1), 2, S(-128), 2, S(-128)};
	const uint8_t range_up[] = {2, 1, 2, S(-1)};
	const uint8_t range_down[] = {2, S(-1), 2, 1};

	assert_int_equal(LNOTAB(up, INT32_MAX, 0), -1);
	assert_int_equal(LNOTAB(up, INT32_MAX - 1, 0), INT32_MAX);
	assert_int_equal(LNOTAB(down, INT32_MIN, 4), -1);
	assert_int_equal(LNOTAB(down, INT32_MIN + 1, 0), INT32_MIN);
	assert_int_equal(RANGES(range_up, INT32_MAX, 0), -1);
	assert_int_equal(RANGES(range_up, INT32_MAX, 2), INT32_MAX);
	assert_int_equal(RANGES(range_down, INT32_MIN, 0), -1);
	assert_int_equal(RANGES(range_down, INT32_MIN, 2), INT32_MIN);
}

/* ---- CPython's own answers ---- */

static void lnotab_equals_cpython_on_the_standard_library(void **state)
{
	if (!vectors_compare_all(6, 9, py_lnotab_line))
		skip();
}

static void ranges_equal_cpython_on_the_standard_library(void **state)
{
	if (!vectors_compare_all(10, 10, py_ranges_line))
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_change_at_their_address),
		cmocka_unit_test(lines_of_lnotab_go_backwards),
		cmocka_unit_test(before_lnotab_begins_is_the_first_line),
		cmocka_unit_test(ranges_end_where_the_next_begins),
		cmocka_unit_test(lines_of_ranges_go_backwards),
		cmocka_unit_test(before_the_first_range_is_the_first_line),
		cmocka_unit_test(no_ranges_have_no_lines),
		cmocka_unit_test(half_an_entry_is_none),
		cmocka_unit_test(lines_beyond_an_int_are_none),
		cmocka_unit_test(lnotab_equals_cpython_on_the_standard_library),
		cmocka_unit_test(ranges_equal_cpython_on_the_standard_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
