/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export_fixture.h"

static void a_line_goes_from_the_root_to_the_leaf(void **state)
{
	add_story();
	assert_string_equal(export_text("folded"),
			    "<module> (/srv/shop/main.py:12);handle (/srv/shop/views.py:31) 300\n"
			    "<module> (/srv/shop/main.py:12);handle (/srv/shop/views.py:31);"
			    "put (/srv/shop/cache.py:88) 1000\n"
			    "<module> (/srv/shop/main.py:12);parse (/srv/shop/parse.py:57);"
			    "xmlNewNode (/usr/lib/libxml2.so.2) 4096\n");
}

static void each_value_can_be_had(void **state)
{
	static const char *const want[EXPORT_VALUES] = {
		[EXPORT_ALLOC_OBJECTS] = "f (a.py:1) 9\n",
		[EXPORT_ALLOC_SPACE] = "f (a.py:1) 900\n",
		[EXPORT_INUSE_OBJECTS] = "f (a.py:1) 2\n",
		[EXPORT_INUSE_SPACE] = "f (a.py:1) 200\n",
	};

	ADD(SNAP_PYTHON, 200, 2, frame("a.py", 1, "f"));
	last_allocated(900, 9);
	for (int v = 0; v < EXPORT_VALUES; v++) {
		struct export_opts opts = {.value = (enum export_value)v};

		assert_int_equal(export_with("folded", &story_meta, &opts), 0);
		assert_string_equal(text, want[v]);
	}
}

static void what_the_format_cannot_hold_is_replaced(void **state)
{
	ADD(SNAP_PYTHON, 5, 1, frame("/a;b\n\r\tc.py", 1, "f;g\x1b[31m\x7f"),
	    frame("x\xc2\x85\u2028\u2029y \u00e4\u4e2d\U0001f40d\u2030.py", 2, ";"));
	assert_string_equal(
		export_text("folded"),
		": (x   y \u00e4\u4e2d\U0001f40d\u2030.py:2);f:g [31m  (/a:b   c.py:1) 5\n");
}

static void zeros_are_left_out(void **state)
{
	ADD(SNAP_PYTHON, 0, 0, frame("a.py", 1, "f"));
	last_allocated(10, 1);
	assert_string_equal(export_text("folded"), "");
}

static void one_stack_is_one_line(void **state)
{
	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, "f"));
	last_thread("one");
	ADD(SNAP_NATIVE, 2, 1, frame("a.py", 1, "f"));
	add_unknown(SNAP_PYTHON, 3, 1);
	add_unknown(SNAP_NATIVE, 4, 1);
	assert_string_equal(export_text("folded"), "<unknown> 7\nf (a.py:1) 3\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(a_line_goes_from_the_root_to_the_leaf),
		T(each_value_can_be_had),
		T(what_the_format_cannot_hold_is_replaced),
		T(zeros_are_left_out),
		T(one_stack_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
