/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>

#include "base/cursor.h"

static void integers_are_little_endian_and_in_order(void **state)
{
	static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_int_equal(cursor_u16(&c), 0x0201);
	assert_int_equal(cursor_u32(&c), 0x06050403);
	assert_true(cursor_u64(&c) == 0x0e0d0c0b0a090807ull);
	assert_int_equal(cursor_u8(&c), 0xff);
	assert_int_equal(cursor_left(&c), 0);
	assert_true(cursor_ok(&c));
}

static void a_read_past_the_end_is_sticky_and_gives_zero(void **state)
{
	static const uint8_t data[] = {1, 2, 3};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_int_equal(cursor_u32(&c), 0);
	assert_false(cursor_ok(&c));
	assert_int_equal(c.pos, 0);
	assert_int_equal(cursor_u8(&c), 0);
	assert_int_equal(cursor_left(&c), 0);
	cursor_seek(&c, 0);
	assert_false(cursor_ok(&c));
	c = cursor_init(data, sizeof(data));
	assert_true(cursor_u64(&c) == 0);
	assert_false(cursor_ok(&c));
	c = cursor_init(data, 1);
	assert_int_equal(cursor_u16(&c), 0);
	assert_false(cursor_ok(&c));
}

static void no_data_reads_as_nothing(void **state)
{
	struct cursor c = cursor_init(NULL, 0);

	assert_non_null(cursor_bytes(&c, 0));
	cursor_seek(&c, 0);
	assert_true(cursor_ok(&c));
	assert_null(cursor_str(&c));
	assert_false(cursor_ok(&c));
	c = cursor_init(NULL, 0);
	assert_int_equal(cursor_u8(&c), 0);
	assert_false(cursor_ok(&c));
}

static void seek_and_skip_stay_inside(void **state)
{
	static const uint8_t data[] = {10, 11, 12, 13};
	struct cursor c = cursor_init(data, sizeof(data));

	cursor_skip(&c, 2);
	assert_int_equal(cursor_u8(&c), 12);
	cursor_seek(&c, 4);
	assert_true(cursor_ok(&c));
	cursor_seek(&c, 1);
	assert_int_equal(cursor_u8(&c), 11);
	cursor_skip(&c, SIZE_MAX);
	assert_false(cursor_ok(&c));
	c = cursor_init(data, sizeof(data));
	cursor_seek(&c, 5);
	assert_false(cursor_ok(&c));
}

static void bytes_are_borrowed_or_null(void **state)
{
	static const uint8_t data[] = {1, 2, 3};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_ptr_equal(cursor_bytes(&c, 2), data);
	assert_null(cursor_bytes(&c, 2));
	assert_false(cursor_ok(&c));
}

static void a_string_needs_its_nul_inside(void **state)
{
	static const char data[] = {'a', 'b', 0, 0, 'c'};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_string_equal(cursor_str(&c), "ab");
	assert_string_equal(cursor_str(&c), "");
	assert_null(cursor_str(&c));
	assert_false(cursor_ok(&c));
}

static void varints_are_those_of_cpython(void **state)
{
	/* Objects/locations.md: six bits a byte, least first; 0x40 = more. */
	static const uint8_t data[] = {0, 63, 0x40, 1, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 3};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_int_equal(cursor_varint(&c), 0);
	assert_int_equal(cursor_varint(&c), 63);
	assert_int_equal(cursor_varint(&c), 64);
	assert_true(cursor_varint(&c) == UINT32_MAX);
	assert_true(cursor_ok(&c));
}

static void a_varint_past_32_bits_or_past_the_end_is_bad(void **state)
{
	static const uint8_t wide[] = {0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 4};
	static const uint8_t lengthy[] = {0x40, 0x40, 0x40, 0x40, 0x40, 0x40, 0};
	static const uint8_t cut[] = {0x41};
	struct cursor c = cursor_init(wide, sizeof(wide));

	assert_int_equal(cursor_varint(&c), 0);
	assert_false(cursor_ok(&c));
	c = cursor_init(lengthy, sizeof(lengthy));
	assert_int_equal(cursor_varint(&c), 0);
	assert_false(cursor_ok(&c));
	c = cursor_init(cut, sizeof(cut));
	assert_int_equal(cursor_varint(&c), 0);
	assert_false(cursor_ok(&c));
}

static void signed_varints_carry_the_sign_in_the_lowest_bit(void **state)
{
	static const uint8_t data[] = {2, 3, 0, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 3, 0x80};
	struct cursor c = cursor_init(data, sizeof(data));

	assert_int_equal(cursor_svarint(&c), 1);
	assert_int_equal(cursor_svarint(&c), -1);
	assert_int_equal(cursor_svarint(&c), 0);
	assert_int_equal(cursor_svarint(&c), -INT_MAX);
	assert_true(cursor_ok(&c));
}

static void a_sub_cursor_covers_only_its_range(void **state)
{
	static const uint8_t data[] = {1, 2, 3, 4};
	struct cursor c = cursor_init(data, sizeof(data)), sub = cursor_sub(&c, 1, 2);

	assert_int_equal(cursor_u16(&sub), 0x0302);
	assert_int_equal(cursor_u8(&sub), 0);
	assert_false(cursor_ok(&sub));
	sub = cursor_sub(&c, 4, 0);
	assert_true(cursor_ok(&sub));
	sub = cursor_sub(&c, 3, 2);
	assert_false(cursor_ok(&sub));
	sub = cursor_sub(&c, 5, SIZE_MAX);
	assert_false(cursor_ok(&sub));
	c.bad = true;
	sub = cursor_sub(&c, 0, 1);
	assert_false(cursor_ok(&sub));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_little_endian_and_in_order),
		cmocka_unit_test(a_read_past_the_end_is_sticky_and_gives_zero),
		cmocka_unit_test(no_data_reads_as_nothing),
		cmocka_unit_test(seek_and_skip_stay_inside),
		cmocka_unit_test(bytes_are_borrowed_or_null),
		cmocka_unit_test(a_string_needs_its_nul_inside),
		cmocka_unit_test(varints_are_those_of_cpython),
		cmocka_unit_test(a_varint_past_32_bits_or_past_the_end_is_bad),
		cmocka_unit_test(signed_varints_carry_the_sign_in_the_lowest_bit),
		cmocka_unit_test(a_sub_cursor_covers_only_its_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
