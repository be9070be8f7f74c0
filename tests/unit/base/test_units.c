/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "base/cleanup.h"
#include "base/units.h"

static void sizes_are_those_of_tracemalloc(void **state)
{
	/* printed by tracemalloc._format_size of CPython 3.11.2, without and with sign */
	static const struct {
		int64_t bytes;
		const char *plain, *with_sign;
	} rows[] = {
		{0, "0 B", "+0 B"},
		{1, "1 B", "+1 B"},
		{99, "99 B", "+99 B"},
		{100, "100 B", "+100 B"},
		{1023, "1023 B", "+1023 B"},
		{1024, "1024 B", "+1024 B"},
		{10239, "10239 B", "+10239 B"},
		{10240, "10.0 KiB", "+10.0 KiB"},
		{10241, "10.0 KiB", "+10.0 KiB"},
		{102348, "99.9 KiB", "+99.9 KiB"},
		{102399, "100.0 KiB", "+100.0 KiB"},
		{102400, "100 KiB", "+100 KiB"},
		{102451, "100 KiB", "+100 KiB"},
		{104857599, "100.0 MiB", "+100.0 MiB"},
		{104857600, "100 MiB", "+100 MiB"},
		{10485759, "10240 KiB", "+10240 KiB"},
		{10485760, "10.0 MiB", "+10.0 MiB"},
		{10737418239, "10240 MiB", "+10240 MiB"},
		{10737418240, "10.0 GiB", "+10.0 GiB"},
		{10995116277760, "10.0 TiB", "+10.0 TiB"},
		{109951162777600, "100 TiB", "+100 TiB"},
		{9007199254740993, "8192 TiB", "+8192 TiB"},
		{9223372036854775807, "8388608 TiB", "+8388608 TiB"},
		{13002342, "12.4 MiB", "+12.4 MiB"},
		{-1, "-1 B", "-1 B"},
		{-10240, "-10.0 KiB", "-10.0 KiB"},
		{-102400, "-100 KiB", "-100 KiB"},
		{-1300234, "-1270 KiB", "-1270 KiB"},
		{INT64_MIN, "-8388608 TiB", "-8388608 TiB"},
	};
	char out[UNITS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(units_format_size(out, rows[i].bytes, false), rows[i].plain);
		assert_string_equal(units_format_size(out, rows[i].bytes, true), rows[i].with_sign);
	}
	assert_ptr_equal(units_format_size(out, 1, false), out);
}

static void averages_have_parts_of_a_byte(void **state)
{
	/* tracemalloc._format_size(x, False) of CPython 3.11.2 */
	static const struct {
		double bytes;
		const char *text;
	} rows[] = {
		{0.5, "0 B"},	       {1.5, "2 B"},	     {2.5, "2 B"},
		{99.6, "100 B"},       {10239.5, "10240 B"}, {10239.99, "10240 B"},
		{10240.5, "10.0 KiB"}, {145.333, "145 B"},   {102399.9, "100.0 KiB"},
		{-0.4, "-0 B"},
	};
	char out[UNITS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(units_format_size_f(out, rows[i].bytes, false), rows[i].text);
}

static void sizes_are_read_with_iec_and_si_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{"0", 0},
		{"512", 512},
		{"512B", 512},
		{"64K", 65536},
		{"64k", 65536},
		{"1KiB", 1024},
		{"3Gi", 3ull << 30},
		{"1MiB", 1 << 20},
		{"2GB", 2000000000},
		{"1kB", 1000},
		{"1T", 1ull << 40},
		{"15E", 15ull << 60},
		{"18446744073709551615", UINT64_MAX},
	};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(units_parse_size(rows[i].text, &bytes), 0);
		assert_true(bytes == rows[i].bytes);
	}
}

static void bad_sizes_are_refused_and_leave_the_output(void **state)
{
	static const char *const invalid[] = {"",     "K",     "-1",  "+1", " 1",  "1 ",   "1.5M",
					      "1KB ", "1KiBx", "1Mb", "1Q", "1Bi", "0x10", "1KK"};
	static const char *const range[] = {"16E", "18446744073709551616",
					    "99999999999999999999999K"};
	uint64_t bytes = 42;

	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		assert_int_equal(units_parse_size(invalid[i], &bytes), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(range); i++)
		assert_int_equal(units_parse_size(range[i], &bytes), -ERANGE);
	assert_int_equal(units_parse_size("99999999999999999999999Q", &bytes), -EINVAL);
	assert_int_equal(bytes, 42);
}

static void durations_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
		{"10", 10000},	    {"0", 0},
		{"90s", 90000},	    {"5m", 300000},
		{"1h30m", 5400000}, {"500ms", 500},
		{"1d", 86400000},   {"1d2h3m4s5ms", 86400000 + 7200000 + 180000 + 4005},
	};
	uint64_t ns;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(units_parse_duration(rows[i].text, &ns), 0);
		assert_true(ns == rows[i].ms * 1000000);
	}
}

static void bad_durations_are_refused_and_leave_the_output(void **state)
{
	static const char *const invalid[] = {"",     "s",   "-1s", "1.5s",  "1h30", "30m1h",
					      "1s1s", "5 m", "5us", "5ms5m", "1w"};
	static const char *const range[] = {"18446744074", "99999999999999999999", "213504d",
					    "213503d23h34m34s"};
	uint64_t ns = 42;

	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		assert_int_equal(units_parse_duration(invalid[i], &ns), -EINVAL);
	for (size_t i = 0; i < ARRAY_LEN(range); i++)
		assert_int_equal(units_parse_duration(range[i], &ns), -ERANGE);
	assert_true(ns == 42);
}

static void percents_are_ratios(void **state)
{
	static const char *const invalid[] = {"",    "%",   "5",    "-5%", "5.%",
					      ".5%", "5%%", "nan%", "5 %"};
	double ratio = 42;

	for (size_t i = 0; i < ARRAY_LEN(invalid); i++)
		assert_int_equal(units_parse_percent(invalid[i], &ratio), -EINVAL);
	assert_true(ratio == 42);
	assert_int_equal(units_parse_percent("5%", &ratio), 0);
	assert_true(ratio == 0.05);
	assert_int_equal(units_parse_percent("0.5%", &ratio), 0);
	assert_true(ratio > 0.00499999 && ratio < 0.00500001);
	assert_int_equal(units_parse_percent("0%", &ratio), 0);
	assert_true(ratio == 0);
	assert_int_equal(units_parse_percent("12.25%", &ratio), 0);
	assert_true(ratio > 0.12249999 && ratio < 0.12250001);
	assert_int_equal(units_parse_percent("250%", &ratio), 0);
	assert_true(ratio == 2.5);
}

static void counts_stay_within_their_limits(void **state)
{
	uint64_t out = 42;

	assert_int_equal(units_parse_count("", 0, 9, &out), -EINVAL);
	assert_int_equal(units_parse_count("5x", 0, 9, &out), -EINVAL);
	assert_int_equal(units_parse_count("-1", 0, 9, &out), -EINVAL);
	assert_int_equal(units_parse_count("0", 1, 9, &out), -ERANGE);
	assert_int_equal(units_parse_count("10", 1, 9, &out), -ERANGE);
	assert_int_equal(units_parse_count("18446744073709551616", 0, UINT64_MAX, &out), -ERANGE);
	assert_int_equal(out, 42);
	assert_int_equal(units_parse_count("1", 1, 9, &out), 0);
	assert_int_equal(out, 1);
	assert_int_equal(units_parse_count("9", 1, 9, &out), 0);
	assert_int_equal(out, 9);
}

static void times_are_rfc_3339(void **state)
{
	static const struct {
		int64_t ns;
		const char *text;
	} rows[] = {
		{1795356120013000000, "2026-11-22T14:02:00.013Z"},
		{1795356120013999999, "2026-11-22T14:02:00.013Z"}, /* cut, not rounded */
		{1, "1970-01-01T00:00:00.000Z"},
		{951782400000000000, "2000-02-29T00:00:00.000Z"},
		{INT64_MAX, "2262-04-11T23:47:16.854Z"},
		{0, ""}, /* not known */
		{-1, ""},
		{INT64_MIN, ""},
	};
	char out[UNITS_LEN];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_string_equal(units_format_time(out, rows[i].ns), rows[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_those_of_tracemalloc),
		cmocka_unit_test(averages_have_parts_of_a_byte),
		cmocka_unit_test(sizes_are_read_with_iec_and_si_units),
		cmocka_unit_test(bad_sizes_are_refused_and_leave_the_output),
		cmocka_unit_test(durations_are_read),
		cmocka_unit_test(bad_durations_are_refused_and_leave_the_output),
		cmocka_unit_test(percents_are_ratios),
		cmocka_unit_test(counts_stay_within_their_limits),
		cmocka_unit_test(times_are_rfc_3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
