/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/source_line.h"

static char dir[] = "/tmp/tmbpf-source-XXXXXX";
static char path[64], fifo[64];

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/a.py", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	return mkfifo(fifo, 0600);
}

static int teardown(void **state)
{
	unlink(path);
	unlink(fifo);
	return rmdir(dir);
}

static void write_file(const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

static void assert_line(const char *file, int64_t line, const char *want)
{
	_cleanup_(source_lines_freep) struct source_lines *s = source_lines_new();
	_cleanup_(buf_release) struct buf out = {0};

	source_lines_get(s, file, line, &out);
	assert_string_equal(out.data ? out.data : "", want);
}

static void lines_come_without_the_blanks_around_them(void **state)
{
	static const char text[] = "one\n\t two = 2 \r\n\r\nfour\rfive";

	write_file(text, sizeof(text) - 1);
	assert_line(path, 1, "one");
	assert_line(path, 2, "two = 2");
	assert_line(path, 3, "");
	assert_line(path, 4, "four");
	assert_line(path, 5, "five");
	assert_line(path, 6, "");
	assert_line(path, 0, "");
	assert_line(path, -1, "");
	assert_line(path, INT64_MAX, "");
}

static void a_newline_at_the_end_is_no_line(void **state)
{
	write_file("one\n", 4);
	assert_line(path, 1, "one");
	assert_line(path, 2, "");
	write_file("", 0);
	assert_line(path, 1, "");
}

static void several_lines_of_one_file_are_read_once(void **state)
{
	_cleanup_(source_lines_freep) struct source_lines *s = source_lines_new();
	_cleanup_(buf_release) struct buf out = {0};

	write_file("one\ntwo\n", 8);
	source_lines_get(s, path, 1, &out);
	write_file("changed\n", 8);
	source_lines_get(s, path, 2, &out);
	assert_string_equal(out.data, "onetwo");
	source_lines_get(s, "/nonexistent", 1, &out);
	source_lines_get(s, path, 1, &out);
	assert_string_equal(out.data, "onetwochanged");
}

static void what_is_no_regular_file_is_not_read(void **state)
{
	assert_line("/nonexistent/a.py", 1, "");
	assert_line("", 1, "");
	assert_line(dir, 1, "");
	assert_line(fifo, 1, ""); /* and nobody waits for a writer */
	assert_line("/dev/zero", 1, "");
}

static void long_lines_and_big_files_are_bounded(void **state)
{
	char *big = malloc(SOURCE_FILE_MAX + 1);
	_cleanup_(source_lines_freep) struct source_lines *s = source_lines_new();
	_cleanup_(buf_release) struct buf out = {0};

	assert_non_null(big);
	memset(big, 'x', SOURCE_FILE_MAX + 1);
	write_file(big, 5000);
	source_lines_get(s, path, 1, &out);
	assert_int_equal(out.len, SOURCE_LINE_MAX);
	write_file(big, SOURCE_FILE_MAX + 1);
	assert_line(path, 1, "");
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_without_the_blanks_around_them),
		cmocka_unit_test(a_newline_at_the_end_is_no_line),
		cmocka_unit_test(several_lines_of_one_file_are_read_once),
		cmocka_unit_test(what_is_no_regular_file_is_not_read),
		cmocka_unit_test(long_lines_and_big_files_are_bounded),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
