/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json_writer.h"

static void every_kind_of_value_is_written_without_spaces(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_object_begin(&w, NULL);
	json_str(&w, "s", "x y");
	json_str(&w, "none", NULL);
	json_u64(&w, "u", UINT64_MAX);
	json_i64(&w, "i", INT64_MIN);
	json_double(&w, "d", 0.1);
	json_bool(&w, "t", true);
	json_bool(&w, "f", false);
	json_null(&w, "n");
	json_array_begin(&w, "a");
	json_u64(&w, NULL, 1);
	json_array_begin(&w, NULL);
	json_array_end(&w);
	json_object_begin(&w, NULL);
	json_object_end(&w);
	json_str(&w, NULL, "e");
	json_array_end(&w);
	json_object_begin(&w, "o");
	json_u64(&w, "k", 0);
	json_object_end(&w);
	json_object_end(&w);
	assert_string_equal(
		b.data, "{\"s\":\"x y\",\"none\":null,\"u\":18446744073709551615,"
			"\"i\":-9223372036854775808,\"d\":0.1,\"t\":true,\"f\":false,\"n\":null,"
			"\"a\":[1,[],{},\"e\"],\"o\":{\"k\":0}}");
}

static void assert_string_written(const char *in, const char *expected)
{
	_cleanup_(buf_release) struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_str(&w, NULL, in);
	assert_string_equal(b.data, expected);
}

static void strings_are_escaped_as_rfc_8259(void **state)
{
	assert_string_written("", "\"\"");
	assert_string_written("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
	assert_string_written("\b\f\n\r\t\x01\x1f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\"");
	assert_string_written("\x7f", "\"\\u007f\"");
	/* CSI as UTF-8, right-to-left override and its isolate, ALM: escaped, so nothing is lost */
	assert_string_written("\xc2\x9b\xe2\x80\xae\xe2\x81\xa6\xd8\x9c",
			      "\"\\u009b\\u202e\\u2066\\u061c\"");
}

static void utf8_passes_and_other_bytes_become_escapes(void **state)
{
	assert_string_written("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", /* two, three, four bytes */
			      "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
	assert_string_written("a\xe9z", "\"a\\u00e9z\"");
	assert_string_written("\xc0\xaf", "\"\\u00c0\\u00af\"");	    /* overlong */
	assert_string_written("\xe0\x80\x80", "\"\\u00e0\\u0080\\u0080\""); /* overlong */
	assert_string_written("\xed\xa0\x80", "\"\\u00ed\\u00a0\\u0080\""); /* surrogate */
	assert_string_written("\xf4\x90\x80\x80",
			      "\"\\u00f4\\u0090\\u0080\\u0080\""); /* > 10FFFF */
	assert_string_written("\xf0\x8f\xbf\xbf", "\"\\u00f0\\u008f\\u00bf\\u00bf\"");
	assert_string_written("x\xe2\x82", "\"x\\u00e2\\u0082\""); /* cut at the end */
	assert_string_written("\xc3\"", "\"\\u00c3\\\"\"");
	assert_string_written("\xff\xfe", "\"\\u00ff\\u00fe\"");
}

static void assert_double_written(double in, const char *expected)
{
	_cleanup_(buf_release) struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_double(&w, NULL, in);
	assert_string_equal(b.data, expected);
}

static void doubles_read_back_equal_and_are_never_nan(void **state)
{
	assert_double_written(0, "0");
	assert_double_written(0.019, "0.019");
	assert_double_written(1.0 / 3, "0.3333333333333333");
	assert_double_written(1e300, "1e+300");
	assert_double_written(-2.5, "-2.5");
	assert_double_written((double)NAN, "null");
	assert_double_written((double)INFINITY, "null");
	assert_double_written((double)-INFINITY, "null");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_of_value_is_written_without_spaces),
		cmocka_unit_test(strings_are_escaped_as_rfc_8259),
		cmocka_unit_test(utf8_passes_and_other_bytes_become_escapes),
		cmocka_unit_test(doubles_read_back_equal_and_are_never_nan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
