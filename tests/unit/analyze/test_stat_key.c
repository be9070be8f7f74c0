/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/stat_key.h"

/* Order of two single frames by line. */
static int order(uint8_t domain, struct snap_frame a, struct snap_frame b)
{
	struct statistics st = {.snap = snap, .key = STAT_LINENO};
	struct statistic sa = {.top = stat_place(in, domain, &a), .domain = domain};
	struct statistic sb = {.top = stat_place(in, domain, &b), .domain = domain};
	int c = statistic_cmp_key(&st, &sa, &st, &sb);

	assert_int_equal(c == 0, statistic_equals(&st, &sa, &sb));
	if (!c)
		assert_int_equal(statistic_hash(&st, &sa), statistic_hash(&st, &sb));
	return (c > 0) - (c < 0);
}

static void files_are_ordered_by_code_points(void **state)
{
	assert_int_equal(order(0, frame("a", 1, NULL), frame("b", 1, NULL)), -1);
	assert_int_equal(order(0, frame("a", 1, NULL), frame("aa", 1, NULL)), -1);
	assert_int_equal(order(0, frame("", 1, NULL), frame("a", 1, NULL)), -1);
	/* U+FFEE and U+10000: UTF-16 would have it the other way */
	assert_int_equal(
		order(0, frame("\xef\xbf\xae", 1, NULL), frame("\xf0\x90\x80\x80", 1, NULL)), -1);
	assert_int_equal(order(0, frame("\x7f", 1, NULL), frame("\xc3\xa9", 1, NULL)), -1);
}

static void lines_are_ordered_as_numbers(void **state)
{
	assert_int_equal(order(0, frame("a", 9, NULL), frame("a", 10, NULL)), -1);
	assert_int_equal(order(0, frame("a", 10, "f"), frame("a", 10, "g")), 0);
}

static void a_native_place_is_ordered_as_its_name_in_a_pickle(void **state)
{
	/* "a!f" against "a b!f": the blank comes before the exclamation mark */
	assert_int_equal(order(SNAP_NATIVE, frame("a", 0, "f"), frame("a b", 0, "f")), 1);
	assert_int_equal(order(SNAP_NATIVE, frame("a", 0, "f"), frame("a.so", 0, "f")), -1);
	assert_int_equal(order(SNAP_NATIVE, frame("a", 0, "f"), frame("a", 0, "g")), -1);
	assert_int_equal(order(SNAP_NATIVE, frame("a", 0, NULL), frame("a", 0, "g")), -1);
	/* only in the native domain */
	assert_int_equal(order(SNAP_PYTHON, frame("a", 0, "f"), frame("a", 0, "g")), 0);
}

static bool is_native(uint8_t domain, struct snap_frame f)
{
	return stat_frame_is_native(in, domain, &f);
}

static void native_code_has_no_line_and_no_python_file(void **state)
{
	assert_true(is_native(SNAP_NATIVE, frame("libx.so.2", 0, "new")));
	assert_true(is_native(SNAP_NATIVE, frame("python3.11", 0, "+0x1a2f0")));
	assert_true(is_native(SNAP_NATIVE, frame("[unknown]", 0, "[unknown]")));
	assert_true(is_native(7, frame("libx.so.2", 0, "new")));
	assert_false(is_native(SNAP_PYTHON, frame("libx.so.2", 0, "new")));
	assert_false(is_native(SNAP_NATIVE, frame("libx.so.2", 1, "new")));
	/* Python frames whose line is not known */
	assert_false(is_native(SNAP_NATIVE, frame("/srv/gen.py", 0, "grow")));
	assert_false(is_native(SNAP_NATIVE, frame("/srv/gen.pyc", 0, "grow")));
	assert_false(is_native(SNAP_NATIVE, frame("<string>", 0, "grow")));
	assert_false(is_native(SNAP_NATIVE, frame("<unknown>", 0, "<unknown>")));
}

static void without_a_symbol_native_code_is_a_shared_object(void **state)
{
	assert_true(is_native(SNAP_NATIVE, frame("/usr/lib/libz.so", 0, NULL)));
	assert_true(is_native(SNAP_NATIVE, frame("libxml2.so.2.9.14", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, frame("libxml2.so.2!new", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, frame("a.so.b", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, frame("/srv/shop", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, frame("1.2", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, frame("", 0, NULL)));
	assert_false(is_native(SNAP_NATIVE, (struct snap_frame){0}));
}

static void two_pools_are_compared_by_text(void **state)
{
	struct intern *other = intern_new();
	struct snapshot *os = snapshot_new(other);
	struct statistics st = {.snap = snap, .key = STAT_LINENO}, ost = st;
	struct statistic a = {.top = frame("b.py", 1, NULL)};
	struct statistic b = {.top = frame_in(other, "a.py", 1, NULL)};

	ost.snap = os;
	assert_true(statistic_cmp_key(&st, &a, &ost, &b) > 0);
	b.top = frame_in(other, "b.py", 1, NULL);
	assert_int_equal(statistic_cmp_key(&st, &a, &ost, &b), 0);
	snapshot_free(os);
	intern_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(files_are_ordered_by_code_points),
		CASE(lines_are_ordered_as_numbers),
		CASE(a_native_place_is_ordered_as_its_name_in_a_pickle),
		CASE(native_code_has_no_line_and_no_python_file),
		CASE(without_a_symbol_native_code_is_a_shared_object),
		CASE(two_pools_are_compared_by_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
