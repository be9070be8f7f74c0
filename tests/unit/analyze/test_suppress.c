/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/suppress.h"

static struct suppressions *parse(const char *text)
{
	struct suppressions *s = NULL;
	struct suppress_error error;

	assert_int_equal(suppressions_parse(text, strlen(text), &s, &error), 0);
	return s;
}

static void assert_bad(const char *text, size_t len, size_t line)
{
	struct suppressions *s = NULL;
	struct suppress_error error = {0};

	assert_int_equal(suppressions_parse(text, len, &s, &error), -EBADMSG);
	assert_int_equal(error.line, line);
	assert_true(error.reason && *error.reason);
	assert_null(s);
}

/* Does "leak:PATTERN" take a stack whose function is `name`? */
static bool takes(const char *pattern, const char *name)
{
	struct suppress_hit hit = {0};
	struct suppressions *s;
	uint8_t skip[8] = {0};
	char line[128];

	snprintf(line, sizeof(line), "leak:%s", pattern);
	s = parse(line);
	snap->stack_count = 0;
	ADD(SNAP_PYTHON, 10, 2, frame("-", 1, name));
	assert_int_equal(suppressions_apply(s, snap, 1, skip, &hit), 0);
	assert_int_equal(hit.bytes, skip[0] ? 10 : 0);
	suppressions_free(s);
	return skip[0];
}

static void a_file_has_patterns_comments_and_blank_lines(void **state)
{
	struct suppressions *s =
		parse("# known\n\n  leak:lru_cache  \r\nleak:^libx*$\n#leak:no\nleak:x");

	assert_int_equal(suppressions_count(s), 3);
	suppressions_free(s);
	s = parse("");
	assert_int_equal(suppressions_count(s), 0);
	suppressions_free(s);
	suppressions_free(NULL);
}

static void what_is_no_suppression_is_refused_with_its_line(void **state)
{
	assert_bad("leak:a\nrace:b\n", 14, 2);
	assert_bad("lru_cache", 9, 1);
	assert_bad("\n\nleak:", 7, 3);
	assert_bad("leak:^*$", 8, 1);
	assert_bad("leak:a\0b", 8, 1);
}

static void too_many_patterns_are_refused(void **state)
{
	size_t len = (SUPPRESS_MAX + 1) * 7;
	char *text = malloc(len + 1);

	for (size_t i = 0; i <= SUPPRESS_MAX; i++)
		memcpy(text + i * 7, "leak:x\n", 7);
	assert_bad(text, len, SUPPRESS_MAX + 1);
	free(text);
}

static void a_pattern_is_part_of_a_name(void **state)
{
	assert_true(takes("cache", "lru_cache_wrapper"));
	assert_false(takes("cash", "lru_cache_wrapper"));
	assert_true(takes("*", "f"));
	assert_true(takes("^lru", "lru_cache"));
	assert_false(takes("^cache", "lru_cache"));
	assert_true(takes("cache$", "lru_cache"));
	assert_false(takes("lru$", "lru_cache"));
	assert_true(takes("^lru_cache$", "lru_cache"));
	assert_false(takes("^lru_cache$", "lru_cache2"));
}

static void stars_stand_for_anything(void **state)
{
	assert_true(takes("lru*wrap", "lru_cache_wrapper"));
	assert_false(takes("wrap*lru", "lru_cache_wrapper"));
	assert_true(takes("^l*c*r$", "lru_cache_wrapper"));
	assert_false(takes("^l*x*r$", "lru_cache_wrapper"));
	/* the end is looked for from the end */
	assert_true(takes("ab$", "abab"));
	assert_true(takes("a*ab$", "aabab"));
	assert_false(takes("abab*ab$", "abab"));
	assert_true(takes("ab*", "xab"));
	assert_true(takes("*ab$", "ab"));
	assert_false(takes("^a*a$", "a"));
}

static void function_file_and_module_of_any_frame_are_looked_at(void **state)
{
	struct suppress_hit hits[4] = {0};
	struct suppressions *s =
		parse("leak:^inner$\nleak:/b.py\nleak:^json.decoder$\nleak:libx\n");
	uint8_t skip[8] = {0};

	ADD(SNAP_PYTHON, 1, 1, frame("/a.py", 2, "inner"), frame("/b.py", 4, "f"));
	ADD(SNAP_PYTHON, 2, 1, frame("/a.py", 5, "g"), frame("/b.py", 4, "f"));
	ADD(SNAP_PYTHON, 4, 1, frame("/usr/lib/python3.11/json/decoder.py", 1, "raw"));
	ADD(SNAP_NATIVE, 8, 3, frame("/lib/libx.so", 0, "new"), frame("/a.py", 7, "f"));
	ADD(SNAP_PYTHON, 16, 1, frame("/a.py", 1, "f"));
	ADD(SNAP_PYTHON, 0, 0, frame("/a.py", 2, "inner"));
	skip[4] = 9;
	assert_int_equal(suppressions_apply(s, snap, 1, skip, hits), 0);
	assert_memory_equal(skip, ((uint8_t[]){1, 1, 1, 1, 9, 0}), 6);
	assert_string_equal(hits[0].pattern, "^inner$");
	assert_int_equal(hits[0].bytes, 1);
	assert_int_equal(hits[1].bytes, 2);
	assert_int_equal(hits[2].bytes, 4);
	assert_int_equal(hits[3].bytes, 8);
	assert_int_equal(hits[3].blocks, 3);
	assert_int_equal(hits[3].stacks, 1);
	suppressions_free(s);
}

static void the_first_pattern_of_the_innermost_frame_gets_it(void **state)
{
	struct suppress_hit hits[2] = {0};
	struct suppressions *s = parse("leak:outer\nleak:inner\n");
	uint8_t skip[8] = {0};

	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 2, "inner"), frame("b.py", 4, "outer"));
	ADD(SNAP_PYTHON, 2, 1, frame("a.py", 2, "outer_inner"));
	assert_int_equal(suppressions_apply(s, snap, 1, skip, hits), 0);
	assert_int_equal(hits[0].bytes, 2);
	assert_int_equal(hits[1].bytes, 1);
	suppressions_free(s);
}

static void stacks_without_frames_are_unknown(void **state)
{
	struct suppress_hit hit = {0};
	struct suppressions *s = parse("leak:<unknown>\n");
	uint8_t skip[8] = {0};

	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 10, 1), 0);
	assert_int_equal(suppressions_apply(s, snap, 1, skip, &hit), 0);
	assert_int_equal(skip[0], 1);
	suppressions_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_file_has_patterns_comments_and_blank_lines),
		CASE(what_is_no_suppression_is_refused_with_its_line),
		CASE(too_many_patterns_are_refused),
		CASE(a_pattern_is_part_of_a_name),
		CASE(stars_stand_for_anything),
		CASE(function_file_and_module_of_any_frame_are_looked_at),
		CASE(the_first_pattern_of_the_innermost_frame_gets_it),
		CASE(stacks_without_frames_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
