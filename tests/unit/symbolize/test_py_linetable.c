/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The location table of 3.11 on: by hand, broken, and against CPython's own answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "line_vectors.h"

#define ENTRY(code, units)	  ((uint8_t)(0x80 | (code) << 3 | ((units)-1)))
#define LINE(table, first, addrq) py_linetable_line(table, sizeof(table), first, addrq)

static void short_and_one_line_forms(void **state)
{
	const uint8_t table[] = {
		ENTRY(0, 2),  0x11,	  /* offsets 0..3: same line */
		ENTRY(11, 1), 0x01, 0x02, /* 4..5: + 1 */
		ENTRY(12, 8), 0x01, 0x02, /* 6..21: + 2 */
		ENTRY(10, 1), 0x01, 0x02, /* 22..23: + 0 */
		ENTRY(9, 1),  0x7f,	  /* 24..25: same */
	};

	assert_int_equal(LINE(table, 10, 0), 10);
	assert_int_equal(LINE(table, 10, 3), 10);
	assert_int_equal(LINE(table, 10, 4), 11);
	assert_int_equal(LINE(table, 10, 6), 13);
	assert_int_equal(LINE(table, 10, 21), 13);
	assert_int_equal(LINE(table, 10, 22), 13);
	assert_int_equal(LINE(table, 10, 25), 13);
	assert_int_equal(LINE(table, 10, 26), -1);
}

static void signed_deltas_and_no_line(void **state)
{
	const uint8_t table[] = {
		ENTRY(13, 1), 0x40 | 8, 0x03,		  /* + (8 | 3 << 6) / 2 = 100 */
		ENTRY(15, 1),				  /* none */
		ENTRY(14, 1), 0x03,	0x02, 0x05, 0x06, /* - 1 */
		ENTRY(13, 1), 0x40 | 1, 0x04,		  /* - 128 */
	};

	assert_int_equal(LINE(table, 1000, 0), 1100);
	assert_int_equal(LINE(table, 1000, 2), -1);
	assert_int_equal(LINE(table, 1000, 4), 1099);
	assert_int_equal(LINE(table, 1000, 6), 971);
}

static void before_the_code_is_the_first_line(void **state)
{
	const uint8_t table[] = {ENTRY(11, 1), 0, 0};

	assert_int_equal(LINE(table, 7, -2), 7);
	assert_int_equal(LINE(table, 7, INT64_MIN), 7);
	assert_int_equal(py_linetable_line(NULL, 0, 7, -1), 7);
}

static void empty_table_has_no_lines(void **state)
{
	assert_int_equal(py_linetable_line(NULL, 0, 7, 0), -1);
	assert_int_equal(py_linetable_line((const uint8_t *)"", 0, 7, 0), -1);
}

static void first_byte_without_the_high_bit_is_malformed(void **state)
{
	const uint8_t table[] = {0x01, ENTRY(0, 1), 0};

	assert_int_equal(LINE(table, 7, 0), -1);
}

static void cut_or_endless_varint_is_malformed(void **state)
{
	const uint8_t cut[] = {ENTRY(0, 1), 0, ENTRY(13, 1), 0x40 | 8};
	const uint8_t missing[] = {ENTRY(13, 1)};
	const uint8_t into_next[] = {ENTRY(13, 1), 0x40 | 8, ENTRY(0, 1), 0};
	const uint8_t endless[] = {ENTRY(13, 1), 0x7f, 0x7f, 0x7f, 0x7f, 0x7f,
				   0x7f,	 0x7f, 0x7f, 0x7f, 0x00};

	assert_int_equal(LINE(cut, 7, 0), 7);
	assert_int_equal(LINE(cut, 7, 2), -1);
	assert_int_equal(LINE(missing, 7, 0), -1);
	assert_int_equal(LINE(into_next, 7, 0), -1);
	assert_int_equal(LINE(endless, 7, 0), -1);
}

static void line_overflow_is_malformed(void **state)
{
	const uint8_t up[] = {ENTRY(11, 1), 0, 0};
	const uint8_t down[] = {ENTRY(13, 1), 0x03};

	assert_int_equal(LINE(up, INT32_MAX, 0), -1);
	assert_int_equal(LINE(down, INT32_MIN, 0), -1);
}

static void far_offset_ends_with_the_table(void **state)
{
	const uint8_t table[] = {ENTRY(0, 8), 0};

	assert_int_equal(LINE(table, 7, INT64_MAX), -1);
}

static void equals_cpython_on_the_standard_library(void **state)
{
	if (!vectors_compare_all(11, 99, py_linetable_line))
		skip();
}

static void equals_cpython_without_columns(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons);

	for (size_t i = n; i-- > 0;) {
		if (pythons[i].major == 3 && pythons[i].minor >= 11) {
			vectors_compare(&pythons[i], "no_debug_ranges", py_linetable_line);
			return;
		}
	}
	skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(short_and_one_line_forms),
		cmocka_unit_test(signed_deltas_and_no_line),
		cmocka_unit_test(before_the_code_is_the_first_line),
		cmocka_unit_test(empty_table_has_no_lines),
		cmocka_unit_test(first_byte_without_the_high_bit_is_malformed),
		cmocka_unit_test(cut_or_endless_varint_is_malformed),
		cmocka_unit_test(line_overflow_is_malformed),
		cmocka_unit_test(far_offset_ends_with_the_table),
		cmocka_unit_test(equals_cpython_on_the_standard_library),
		cmocka_unit_test(equals_cpython_without_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
