/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/search.h"
#include "base/text.h"

static void assert_cleaned(const char *in, const char *expected)
{
	_cleanup_(buf_release) struct buf b = {0};
	char copy[64];

	text_append_clean(&b, in);
	assert_string_equal(b.data ? b.data : "", expected);
	snprintf(copy, sizeof(copy), "%s", in);
	assert_string_equal(text_clean(copy), expected);
}

static void what_steers_a_terminal_becomes_a_question_mark(void **state)
{
	assert_cleaned("", "");
	assert_cleaned("plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
		       "plain \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_cleaned("\x1b[2J\r\n\t\x01\x7f", "?[2J?????");
	assert_cleaned("a\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0",
		       "a???\xc2\xa0");				   /* U+0080 U+009B U+009F U+00A0 */
	assert_cleaned("\xd8\x9c\xe2\x80\x8e\xe2\x80\x8f", "???"); /* ALM LRM RLM */
	assert_cleaned("\xe2\x80\xa8\xe2\x80\xaa\xe2\x80\xae", "\xe2\x80\xa8??"); /* U+2028 stays */
	assert_cleaned("\xe2\x80\xaf\xe2\x81\xa5",
		       "\xe2\x80\xaf\xe2\x81\xa5"); /* U+202F, U+2065 stay */
	assert_cleaned("\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa",
		       "??\xe2\x81\xaa");		      /* isolates; U+206A stays */
	assert_cleaned("\x9b\xff\xc0\xaf\xe2\x82", "??????"); /* no UTF-8 */
}

static void every_byte_of_bad_text_is_covered(void **state)
{
	for (unsigned a = 1; a < 256; a++) {
		for (unsigned b = 1; b < 256; b++) {
			char s[] = {(char)a, (char)b, 0};

			for (const char *p = text_clean(s); *p; p++) {
				unsigned char c = (unsigned char)*p;

				assert_true(c >= 0x20 && c != 0x7f);
				assert_false(c == 0xc2 && (unsigned char)p[1] < 0xa0);
			}
		}
	}
}

static void stderr_is_cleaned_but_for_newlines(void **state)
{
	int fds[2];
	char out[64] = "";

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (pid == 0) {
		dup2(fds[1], 2);
		text_clean_stderr();
		fprintf(stderr, "a\x1b%s\nb\xc2\x9b\n", "\xff");
		fflush(stderr);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	assert_true(read(fds[0], out, sizeof(out) - 1) > 0);
	assert_string_equal(out, "a??\nb?\n");
	close(fds[0]);
	close(fds[1]);
}

static void base_names(void **state)
{
	assert_string_equal(text_base_name("/usr/bin/x"), "x");
	assert_string_equal(text_base_name("x"), "x");
	assert_string_equal(text_base_name("/usr/"), "/usr/");
	assert_string_equal(text_base_name(""), "");
}

static void times(void **state)
{
	const int64_t at = 1769860805987654321; /* 2026-01-31 12:00:05 UTC */
	char out[32];

	assert_int_equal(text_format_time(out, sizeof(out), at, TEXT_UTC), 20);
	assert_string_equal(out, "2026-01-31T12:00:05Z");
	text_format_time(out, sizeof(out), at, TEXT_UTC_OPEN);
	assert_string_equal(out, "2026-01-31T12:00:05");
	text_format_time(out, sizeof(out), at, TEXT_UTC_CLOCK);
	assert_string_equal(out, "12:00:05Z");
	text_format_time(out, sizeof(out), at, TEXT_UTC_NAME);
	assert_string_equal(out, "20260131T120005Z");
	assert_int_equal(text_format_time(out, sizeof(out), at, TEXT_LOCAL_CLOCK), 8);
}

static void the_first_index_is_found(void **state)
{
	static const int v[] = {1, 3, 3, 7};

	for (size_t n = 0; n <= 4; n++) {
		for (int want = 0; want < 9; want++) {
			size_t slow = 0;

			while (slow < n && v[slow] < want)
				slow++;
			assert_int_equal(first_index(i, n, v[i] >= want), slow);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_steers_a_terminal_becomes_a_question_mark),
		cmocka_unit_test(every_byte_of_bad_text_is_covered),
		cmocka_unit_test(stderr_is_cleaned_but_for_newlines),
		cmocka_unit_test(base_names),
		cmocka_unit_test(times),
		cmocka_unit_test(the_first_index_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
