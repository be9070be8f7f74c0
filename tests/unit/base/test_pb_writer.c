/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pb_writer.h"

static struct buf b;

static int teardown(void **state)
{
	buf_release(&b);
	return 0;
}

#define assert_bytes(want)                                 \
	do {                                               \
		assert_int_equal(b.len, sizeof(want) - 1); \
		assert_memory_equal(b.data, want, b.len);  \
		buf_reset(&b);                             \
	} while (0)

static void varints_have_seven_bits_a_byte(void **state)
{
	pb_varint(&b, 0);
	pb_varint(&b, 1);
	pb_varint(&b, 127);
	assert_bytes("\x00\x01\x7f");
	pb_varint(&b, 128);
	pb_varint(&b, 300); /* the example of the encoding's documentation is 150 */
	pb_varint(&b, 150);
	assert_bytes("\x80\x01\xac\x02\x96\x01");
	pb_varint(&b, INT64_MAX);
	assert_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
	pb_varint(&b, UINT64_MAX);
	assert_bytes("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
}

static void fields_have_number_and_wire_type(void **state)
{
	pb_u64(&b, 1, 150);
	assert_bytes("\x08\x96\x01");
	pb_u64(&b, 16, 1); /* a key of two bytes */
	assert_bytes("\x80\x01\x01");
	pb_bool(&b, 2, true);
	assert_bytes("\x10\x01");
	pb_bytes(&b, 2, "testing", 7);
	assert_bytes("\x12\x07testing");
}

static void zeros_are_left_out_but_empty_bytes_are_not(void **state)
{
	pb_u64(&b, 1, 0);
	pb_bool(&b, 1, false);
	assert_int_equal(b.len, 0);
	pb_bytes(&b, 6, "", 0);
	pb_bytes(&b, 6, NULL, 0);
	assert_bytes("\x32\x00\x32\x00");
}

static void a_message_empties_its_buffer(void **state)
{
	struct buf inner = {0};

	for (int i = 0; i < 2; i++) {
		pb_u64(&inner, 1, 150);
		pb_message(&b, 3, &inner);
		assert_int_equal(inner.len, 0);
	}
	assert_bytes("\x1a\x03\x08\x96\x01\x1a\x03\x08\x96\x01");
	pb_message(&b, 3, &inner);
	assert_bytes("\x1a\x00");
	/* a message that is not whole spoils what it goes into */
	inner.oom = true;
	pb_message(&b, 3, &inner);
	assert_true(b.oom);
	buf_release(&inner);
}

static void a_length_may_need_two_bytes(void **state)
{
	/* a comment whose strings have numbers past 127 once had its length cut to one byte */
	struct buf inner = {0};

	for (int i = 0; i < 100; i++)
		pb_varint(&inner, 128 + i);
	pb_message(&b, 13, &inner);
	assert_int_equal(b.len, 1 + 2 + 200);
	assert_memory_equal(b.data, "\x6a\xc8\x01\x80\x01", 5);
	buf_release(&inner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(varints_have_seven_bits_a_byte, teardown),
		cmocka_unit_test_teardown(fields_have_number_and_wire_type, teardown),
		cmocka_unit_test_teardown(zeros_are_left_out_but_empty_bytes_are_not, teardown),
		cmocka_unit_test_teardown(a_message_empties_its_buffer, teardown),
		cmocka_unit_test_teardown(a_length_may_need_two_bytes, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
