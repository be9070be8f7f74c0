/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/selection.h"

static void nothing_asked_skips_nothing(void **state)
{
	struct selection sel;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"));
	assert_int_equal(selection_make(snap, NULL, NULL, &sel), 0);
	assert_int_equal(sel.skip[0], 0);
	assert_int_equal(sel.filtered.stacks, 0);
	assert_int_equal(sel.suppressed.stacks, 0);
	assert_int_equal(sel.hit_count, 0);
	selection_release(&sel);
	assert_null(sel.skip);
}

static void what_is_left_out_is_added_up_once(void **state)
{
	static const char text[] = "leak:f\nleak:never";
	const struct filter_spec spec = {.pattern = "a.py"};
	struct filter_set *filters = filter_set_new();
	struct suppressions *known = NULL;
	struct suppress_error error;
	struct selection sel;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f")); /* filtered, though a known leak too */
	ADD(SNAP_PYTHON, 20, 2, frame("b.py", 1, "f"));
	ADD(SNAP_PYTHON, 40, 4, frame("b.py", 1, "g"));
	ADD(SNAP_PYTHON, 0, 0, frame("a.py", 1, "g")); /* empty: does not count */
	assert_int_equal(filter_set_add(filters, &spec), 0);
	assert_int_equal(suppressions_parse(text, sizeof(text) - 1, &known, &error), 0);
	assert_int_equal(selection_make(snap, filters, known, &sel), 0);
	assert_true(sel.skip[0] && sel.skip[1] && !sel.skip[2]);
	assert_int_equal(sel.filtered.stacks, 1);
	assert_int_equal(sel.filtered.bytes, 10);
	assert_int_equal(sel.suppressed.bytes, 20);
	assert_int_equal(sel.suppressed.blocks, 2);
	assert_int_equal(sel.hit_count, 2);
	assert_int_equal(sel.hits[0].bytes, 20);
	assert_string_equal(sel.hits[1].pattern, "never");
	assert_int_equal(sel.hits[1].stacks, 0);
	selection_release(&sel);
	suppressions_free(known);
	filter_set_free(filters);
}

static void what_nobody_asked_to_leave_out_is_a_part_of_it(void **state)
{
	const struct filter_spec specs[] = {{.pattern = "a.py", .is_default = true},
					    {.pattern = "b.py"}};
	struct filter_set *filters = filter_set_new();
	struct selection sel;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 20, 2, frame("b.py", 1, "f"));
	ADD(SNAP_PYTHON, 40, 4, frame("c.py", 1, "g"));
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		assert_int_equal(filter_set_add(filters, &specs[i]), 0);
	assert_int_equal(selection_make(snap, filters, NULL, &sel), 0);
	assert_int_equal(sel.filtered.bytes, 30);
	assert_int_equal(sel.filtered.stacks, 2);
	assert_int_equal(sel.by_default.bytes, 10);
	assert_int_equal(sel.by_default.stacks, 1);
	assert_int_equal(sel.by_default.blocks, 1);
	assert_int_equal(sel.suppressed.stacks, 0);
	selection_release(&sel);
	filter_set_free(filters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_asked_skips_nothing),
		CASE(what_is_left_out_is_added_up_once),
		CASE(what_nobody_asked_to_leave_out_is_a_part_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
