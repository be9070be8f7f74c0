/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/filter.h"

/* a.py:2 < b.py:4; a.py:5 < b.py:4 (native); b.py:1; an unknown stack; a native leaf under p.py:7 */
static int setup(void **state)
{
	if (snap_setup(state))
		return -1;
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 2, NULL), frame("b.py", 4, NULL));
	ADD(SNAP_NATIVE, 10, 1, frame("a.py", 5, NULL), frame("b.py", 4, NULL));
	ADD(SNAP_PYTHON, 10, 1, frame("b.py", 1, NULL));
	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 10, 1), 0);
	ADD(SNAP_NATIVE, 10, 1, frame("/lib/libx.so", 0, "new"), frame("p.py", 7, "f"));
	return 0;
}

/* The stacks that pass, as digits. */
static const char *passed(const struct filter_spec *specs, size_t count)
{
	static char text[16];
	struct filter_set *set = filter_set_new();
	uint8_t skip[8] = {0};
	size_t len = 0;

	assert_non_null(set);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(filter_set_add(set, &specs[i]), 0);
	assert_int_equal(filter_set_apply(set, snap, skip), 0);
	for (size_t i = 0; i < snap->stack_count; i++) {
		assert_true(!skip[i] || skip[i] == FILTER_DROPS);
		if (!skip[i])
			text[len++] = (char)('0' + i);
	}
	text[len] = '\0';
	filter_set_free(set);
	return text;
}

#define PASSED(...)                                       \
	passed((const struct filter_spec[]){__VA_ARGS__}, \
	       ARRAY_LEN(((const struct filter_spec[]){__VA_ARGS__})))
#define INCLUDE(...)                           \
	{                                      \
		.inclusive = true, __VA_ARGS__ \
	}
#define EXCLUDE(...)                            \
	{                                       \
		.inclusive = false, __VA_ARGS__ \
	}
#define DOMAIN(n) .has_domain = true, .domain = (n)

static void no_filter_passes_everything(void **state)
{
	assert_string_equal(passed(NULL, 0), "01234");
}

static void the_innermost_frame_decides(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "b.py")), "2");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "b.py")), "0134");
	assert_string_equal(PASSED(INCLUDE(.pattern = "b.py", .all_frames = true)), "012");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "b.py", .all_frames = true)), "34");
}

static void a_line_must_be_that_line_also_line_zero(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "a.py", .has_line = true, .line = 5)), "1");
	assert_string_equal(PASSED(INCLUDE(.pattern = "*", .has_line = true, .line = 0)), "34");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "a.py", .has_line = true, .line = 5)),
			    "0234");
}

static void any_include_takes_and_every_exclude_drops(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "a.py", .has_line = true, .line = 2),
				   INCLUDE(.pattern = "b.py")),
			    "02");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "a.py"), EXCLUDE(.pattern = "b.py")), "34");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "a.py"), INCLUDE(.pattern = "[ab].py")), "2");
}

static void a_domain_is_a_filter_of_its_own(void **state)
{
	assert_string_equal(PASSED(INCLUDE(DOMAIN(SNAP_NUMBER_NATIVE))), "14");
	assert_string_equal(PASSED(EXCLUDE(DOMAIN(SNAP_NUMBER_NATIVE))), "023");
	assert_string_equal(PASSED(INCLUDE(DOMAIN(5))), "");
	/* inclusive filters are alternatives, whatever they are about */
	assert_string_equal(PASSED(INCLUDE(DOMAIN(SNAP_NUMBER_NATIVE)), INCLUDE(.pattern = "b.py")),
			    "124");
}

static void a_pattern_can_be_about_one_domain(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "a.py", DOMAIN(SNAP_NUMBER_NATIVE))), "1");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "a.py", DOMAIN(SNAP_NUMBER_NATIVE))), "0234");
}

static void compiled_files_are_their_sources(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("c.pyc", 1, NULL));
	ADD(SNAP_PYTHON, 10, 1, frame(".pyc", 1, NULL));
	assert_string_equal(PASSED(INCLUDE(.pattern = "c.py")), "5");
	assert_string_equal(PASSED(INCLUDE(.pattern = "a.pyc")), "01");
	assert_string_equal(PASSED(INCLUDE(.pattern = ".py")), "6");
}

static void an_unknown_stack_has_the_unknown_file(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "<unknown>")), "3");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "<unknown>", .all_frames = true)), "0124");
}

static void native_frames_match_by_library_and_by_symbol(void **state)
{
	assert_string_equal(PASSED(INCLUDE(.pattern = "*/libx.so")), "4");
	assert_string_equal(PASSED(INCLUDE(.pattern = "*libx.so!new")), "4");
	assert_string_equal(PASSED(INCLUDE(.pattern = "*libx.so!old")), "");
	assert_string_equal(PASSED(EXCLUDE(.pattern = "*!new")), "0123");
}

static void what_is_marked_already_stays_as_it_is(void **state)
{
	const struct filter_spec spec = {.pattern = "a.py"};
	struct filter_set *set = filter_set_new();
	uint8_t skip[8] = {9};

	assert_int_equal(filter_set_add(set, &spec), 0);
	assert_int_equal(filter_set_apply(set, snap, skip), 0);
	assert_int_equal(skip[0], 9);
	assert_int_equal(skip[1], FILTER_DROPS);
	filter_set_free(set);
}

static void what_nobody_asked_for_has_a_mark_of_its_own(void **state)
{
	const struct filter_spec specs[] = {
		{.pattern = "a.py", .line = 2, .has_line = true, .is_default = true},
		{.pattern = "a.py"},
		{.pattern = "a.py", .inclusive = true}};
	struct filter_set *set = filter_set_new();
	uint8_t skip[8] = {0};

	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		assert_int_equal(filter_set_add(set, &specs[i]), 0);
	assert_int_equal(filter_set_apply(set, snap, skip), 0);
	assert_int_equal(skip[0], FILTER_DROPS_BY_DEFAULT); /* though it is asked for as well */
	assert_int_equal(skip[1], FILTER_DROPS);
	assert_int_equal(skip[2], FILTER_DROPS); /* not included */
	filter_set_free(set);
}

static void a_filter_about_nothing_is_refused(void **state)
{
	const struct filter_spec spec = {.inclusive = true};
	struct filter_set *set = filter_set_new();

	assert_int_equal(filter_set_add(set, &spec), -EINVAL);
	filter_set_free(set);
	filter_set_free(NULL);
}

#undef CASE
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, snap_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(no_filter_passes_everything),
		CASE(the_innermost_frame_decides),
		CASE(a_line_must_be_that_line_also_line_zero),
		CASE(any_include_takes_and_every_exclude_drops),
		CASE(a_domain_is_a_filter_of_its_own),
		CASE(a_pattern_can_be_about_one_domain),
		CASE(compiled_files_are_their_sources),
		CASE(an_unknown_stack_has_the_unknown_file),
		CASE(native_frames_match_by_library_and_by_symbol),
		CASE(what_is_marked_already_stays_as_it_is),
		CASE(what_nobody_asked_for_has_a_mark_of_its_own),
		CASE(a_filter_about_nothing_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
