/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "analyze/glob.h"

static bool matches(const char *pattern, const char *text)
{
	struct glob *g = NULL;
	bool yes;

	assert_int_equal(glob_new(pattern, strlen(pattern), &g), 0);
	yes = glob_match(g, text, strlen(text));
	glob_free(g);
	return yes;
}

/* What fnmatch.fnmatchcase() of CPython 3.11.2 says: bit i stands for texts[i]. */
static const char *const texts[] = {"",
				    "a",
				    "b",
				    "c",
				    "abc",
				    "ac",
				    "axxc",
				    "x.py",
				    "/x/y.py",
				    "/a/x/b/c.py",
				    "]",
				    "[",
				    "[a",
				    "[!",
				    "[]",
				    "[!]",
				    "a[",
				    "-",
				    "^",
				    "!",
				    "x",
				    "y",
				    "z",
				    "m",
				    "\\",
				    "&",
				    "e",
				    "d",
				    ".",
				    "a.c",
				    "a\nc",
				    "\\abc",
				    "\303\251",
				    "\303\266",
				    "\346\227\245",
				    "\346\234\254",
				    "\360\237\230\220",
				    "\360\220\200\200",
				    "\356\200\200",
				    "x\303\251",
				    "\357\277\256"};
static const struct {
	const char *pattern;
	uint64_t matches;
} rows[] = {
	{"", 0x1ull},
	{"*", 0x1ffffffffffull},
	{"?", 0x17f1ffe0c0eull},
	{"a*c", 0x60000070ull},
	{"a**c", 0x60000070ull},
	{"*.py", 0x380ull},
	{"*/x/*.py", 0x300ull},
	{"[abc]", 0xeull},
	{"[!abc]", 0x17f1ffe0c00ull},
	{"[a-c]", 0xeull},
	{"[!a-c]", 0x17f1ffe0c00ull},
	{"[^a]", 0x40002ull},
	{"[]]", 0x400ull},
	{"[!]]", 0x17f1ffe080eull},
	{"[]a]", 0x402ull},
	{"[", 0x800ull},
	{"[a", 0x1000ull},
	{"[!", 0x2000ull},
	{"[]", 0x4000ull},
	{"[!]", 0x8000ull},
	{"a[", 0x10000ull},
	{"[a-]", 0x20002ull},
	{"[-a]", 0x20002ull},
	{"[!-a]", 0x17f1ffc0c0cull},
	{"[!-a-c]", 0x17f1ffc0c00ull},
	{"[z-a]", 0x0ull},
	{"[!z-a]", 0x17f1ffe0c0eull},
	{"[z-ab]", 0x4ull},
	{"[b-a!]", 0x17f1ffe0c0eull},
	{"[b-a!x]", 0x17f1fee0c0eull},
	{"[b-a!-z]", 0x17f1fbc0c0eull},
	{"[b-a!x-z]", 0x17f1f8e0c0eull},
	{"[z-ab-a]", 0x0ull},
	{"[a-c-e]", 0x402000eull},
	{"[--a]", 0x11060c02ull},
	{"[a--b]", 0x4ull},
	{"[\\]", 0x1000000ull},
	{"[\\-a]", 0x1040402ull},
	{"[a&&b]", 0x2000006ull},
	{"[[a]", 0x802ull},
	{"\\*", 0x81000000ull},
	{"a.c", 0x20000000ull},
	{"[\303\251-\303\274]", 0x300000000ull},
	{"[\346\227\245-\350\252\236]", 0xc00000000ull},
	{"[\360\237\230\200-\360\237\231\217]", 0x1000000000ull},
	{"?\303\251", 0x8000000000ull},
	{"[!\357\277\256]", 0x7f1ffe0c0eull},
};

static void patterns_match_what_fnmatch_matches(void **state)
{
	for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
		for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
			bool want = rows[r].matches >> t & 1;

			if (matches(rows[r].pattern, texts[t]) != want)
				fail_msg("'%s' and '%s': fnmatch says %d", rows[r].pattern,
					 texts[t], want);
		}
	}
}

static void bytes_that_are_no_text_are_single_characters(void **state)
{
	/* surrogateescape makes U+DCFF of it */
	assert_true(matches("a?b", "a\xff"
				   "b"));
	assert_false(matches("a?b", "a\xff\xff"
				    "b"));
	assert_true(matches("a\xff"
			    "b",
			    "a\xff"
			    "b"));
	assert_false(matches("\xfe", "\xff"));
	/* a surrogate that was encoded all the same is one character, and between U+D7FF and U+E000 */
	assert_true(matches("?", "\xed\xb2\x80"));
	assert_true(matches("[\xed\x9f\xbf-\xee\x80\x80]", "\xed\xb2\x80"));
	assert_false(matches("??", "\xed\xb2\x80"));
	/* cut in the middle: three bytes, three characters */
	assert_true(matches("??", "\xed\xb2"));
}

static void many_stars_do_not_take_forever(void **state)
{
	char text[5001], pattern[4001];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memcpy(pattern + sizeof(pattern) - 3, "*b", 3);
	assert_false(matches(pattern, text));
	pattern[sizeof(pattern) - 2] = 'a';
	assert_true(matches(pattern, text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_what_fnmatch_matches),
		cmocka_unit_test(bytes_that_are_no_text_are_single_characters),
		cmocka_unit_test(many_stars_do_not_take_forever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
