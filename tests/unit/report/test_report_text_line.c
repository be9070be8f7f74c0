/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

#include "base/text.h"
#include "report/report_text_line.h"

static void assert_line(const char *path, const char *function, const char *tail, size_t width,
			const char *expected)
{
	_cleanup_(text_line_release) struct text_line line = {.function_column = 40,
							      .tail_column = 52};
	_cleanup_(buf_release) struct buf b = {0};

	buf_append_str(&line.head, "  +1 B ");
	buf_append_str(&line.path, path);
	buf_append_str(&line.after_path, ":8 (1 block)");
	buf_append_str(&line.function, function);
	buf_append_str(&line.tail, tail);
	text_line_write(&b, &line, width);
	assert_string_equal(b.data, expected);
	if (width)
		assert_true(text_columns(b.data) <= width + 1); /* with the newline */
}

static void parts_stand_in_their_columns(void **state)
{
	assert_line("cache.py", "put", "+1 B/s", 0,
		    "  +1 B cache.py:8 (1 block)             put         +1 B/s\n");
	assert_line("cache.py", "", "+1 B/s", 0,
		    "  +1 B cache.py:8 (1 block)                         +1 B/s\n");
	assert_line("cache.py", "put", "", 0, "  +1 B cache.py:8 (1 block)             put\n");
	assert_line("cache.py", "", "", 0, "  +1 B cache.py:8 (1 block)\n");
	assert_line("", "", "", 0, "  +1 B :8 (1 block)\n");
}

static void long_parts_push_the_next_one_when_nothing_is_cut(void **state)
{
	assert_line("/srv/shop/application/cache.py", "a_long_function_name", "+1 B/s", 0,
		    "  +1 B /srv/shop/application/cache.py:8 (1 block)  a_long_function_name  "
		    "+1 B/s\n");
}

static void a_line_that_fits_is_not_cut(void **state)
{
	assert_line("cache.py", "put", "+1 B/s", 58,
		    "  +1 B cache.py:8 (1 block)             put         +1 B/s\n");
}

static void the_path_loses_its_left_part_first(void **state)
{
	assert_line("/srv/shop/application/cache.py", "put", "+1 B/s", 58,
		    "  +1 B \xe2\x80\xa6shop/application/cache.py:8 (1 block)  put  +1 B/s\n");
	assert_line("/srv/shop/application/cache.py", "", "", 40,
		    "  +1 B \xe2\x80\xa6"
		    "application/cache.py:8 (1 block)\n");
	assert_line("/srv/\xc3\xa9/application/caches.py", "", "", 38,
		    "  +1 B \xe2\x80\xa6lication/caches.py:8 (1 block)\n");
}

static void what_still_does_not_fit_is_cut_at_the_right(void **state)
{
	assert_line("/srv/shop/application/cache.py", "put", "+1 B/s", 50,
		    "  +1 B \xe2\x80\xa6plication/cache.py:8 (1 block)  put      \xe2\x80\xa6\n");
	assert_line("cache.py", "put", "+1 B/s", 10, "  +1 B ca\xe2\x80\xa6\n");
	assert_line("cache.py", "put", "+1 B/s", 1, "\xe2\x80\xa6\n");
}

static void hostile_bytes_become_question_marks(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};

	text_append_clean(&b, "a\x1b[31m\n\x7f\xc2\x9b\xffz\xc3\xa9\xe2\x82");
	assert_string_equal(b.data, "a?[31m????z\xc3\xa9??");
	buf_reset(&b);
	text_append_clean(&b, "");
	assert_int_equal(b.len, 0);
}

static void columns_count_characters(void **state)
{
	assert_int_equal(text_columns(""), 0);
	assert_int_equal(text_columns("abc"), 3);
	assert_int_equal(text_columns("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_stand_in_their_columns),
		cmocka_unit_test(long_parts_push_the_next_one_when_nothing_is_cut),
		cmocka_unit_test(a_line_that_fits_is_not_cut),
		cmocka_unit_test(the_path_loses_its_left_part_first),
		cmocka_unit_test(what_still_does_not_fit_is_cut_at_the_right),
		cmocka_unit_test(hostile_bytes_become_question_marks),
		cmocka_unit_test(columns_count_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
