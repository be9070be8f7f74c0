/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export_fixture.h"

#define HEAD "file,line,function,domain,bytes,blocks,alloc_bytes,allocs\n"

static void sites_come_most_bytes_first(void **state)
{
	add_story();
	assert_string_equal(export_text("csv"),
			    HEAD "/usr/lib/libxml2.so.2,0,xmlNewNode,native,4096,1,8192,2\n"
				 "/srv/shop/cache.py,88,put,python,1000,10,5000,50\n"
				 "/srv/shop/views.py,31,handle,python,300,3,300,3\n");
}

static void callers_do_not_matter(void **state)
{
	struct snap_frame put = frame("c.py", 8, "put");

	ADD(SNAP_PYTHON, 10, 1, put, frame("a.py", 1, "f"));
	last_allocated(20, 2);
	ADD(SNAP_PYTHON, 30, 3, put, frame("b.py", 1, "g"));
	last_allocated(40, 4);
	ADD(SNAP_NATIVE, 5, 1, put, frame("b.py", 1, "g"));
	last_allocated(5, 1);
	assert_string_equal(export_text("csv"),
			    HEAD "c.py,8,put,python,40,4,60,6\nc.py,8,put,native,5,1,5,1\n");
}

static void what_was_not_recorded_is_empty(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"));
	assert_string_equal(export_text("csv"), HEAD "a.py,1,f,python,10,1,,\n");
}

static void fields_are_quoted_as_rfc_4180_says(void **state)
{
	ADD(SNAP_PYTHON, 6, 1, frame("a,b.py", 1, "\"q\""));
	ADD(SNAP_PYTHON, 5, 1, frame("a\nb", 1, "\""));
	ADD(SNAP_PYTHON, 4, 1, frame("a\rb", 1, " f"));
	ADD(SNAP_PYTHON, 3, 1, frame("a\tb", 1, "f "));
	ADD(SNAP_PYTHON, 2, 1, frame("a b", 1, "\u00e4;'"));
	add_unknown(SNAP_NATIVE, 1, 1);
	assert_string_equal(export_text("csv"), HEAD "\"a,b.py\",1,\"\"\"q\"\"\",python,6,1,,\n"
						     "a?b,1,\"\"\"\",python,5,1,,\n"
						     "a?b,1,\" f\",python,4,1,,\n"
						     "a?b,1,\"f \",python,3,1,,\n"
						     "a b,1,\u00e4;',python,2,1,,\n"
						     "<unknown>,0,,native,1,1,,\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(sites_come_most_bytes_first),
		T(callers_do_not_matter),
		T(what_was_not_recorded_is_empty),
		T(fields_are_quoted_as_rfc_4180_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
