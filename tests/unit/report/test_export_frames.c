/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export_fixture.h"

static void assert_names(uint8_t domain, struct snap_frame f, const char *function,
			 const char *long_text, const char *short_text)
{
	struct buf b = {0};

	export_function_text(&b, snap, domain, &f);
	assert_string_equal(b.data, function);
	buf_reset(&b);
	export_frame_text(&b, snap, domain, &f, false);
	assert_string_equal(b.data, long_text);
	buf_reset(&b);
	export_frame_text(&b, snap, domain, &f, true);
	assert_string_equal(b.data, short_text);
	buf_release(&b);
}

static void every_frame_has_a_name(void **state)
{
	assert_names(SNAP_PYTHON, frame("/srv/cache.py", 88, "put"), "put",
		     "put (/srv/cache.py:88)", "put (cache.py:88)");
	assert_names(SNAP_PYTHON, frame("/srv/cache.py", 88, ""), "cache.py", "/srv/cache.py:88",
		     "cache.py:88");
	assert_names(SNAP_PYTHON, frame("", 0, ""), "<unknown>", "<unknown>", "<unknown>");
	assert_names(SNAP_PYTHON, frame("<string>", 1, "<module>"), "<module>",
		     "<module> (<string>:1)", "<module> (<string>:1)");
	/* a Python line that is not known is no native code */
	assert_names(SNAP_PYTHON, frame("/srv/a.py", 0, "f"), "f", "f (/srv/a.py:0)", "f (a.py:0)");
	assert_names(SNAP_NATIVE, frame("/usr/lib/libx.so.2", 0, "xnew"), "xnew",
		     "xnew (/usr/lib/libx.so.2)", "xnew (libx.so.2)");
	assert_names(SNAP_NATIVE, frame("/usr/lib/libx.so.2", 0, ""), "[libx.so.2]", "[libx.so.2]",
		     "[libx.so.2]");
	/* nor is it under a block of native code */
	assert_names(SNAP_NATIVE, frame("/srv/a.py", 0, "f"), "f", "f (/srv/a.py:0)", "f (a.py:0)");
	assert_names(SNAP_NATIVE, frame("<string>", 0, "f"), "f", "f (<string>:0)",
		     "f (<string>:0)");
	assert_names(SNAP_NATIVE, frame("<unknown>", 0, ""), "<unknown>", "<unknown>", "<unknown>");
	assert_names(SNAP_NATIVE, frame("", 0, ""), "<unknown>", "<unknown>", "<unknown>");
	assert_names(SNAP_NATIVE, frame("/srv/a.py", 3, "f"), "f", "f (/srv/a.py:3)", "f (a.py:3)");
	assert_names(SNAP_PYTHON, frame("/srv/", 3, ""), "/srv/", "/srv/:3", "/srv/:3");
}

static void a_stack_without_frames_has_an_unknown_one(void **state)
{
	struct export_stack st;

	add_unknown(SNAP_NATIVE, 1, 1);
	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, "f"), frame("b.py", 1, "f"));
	st = export_stack_of(snap, &snap->stacks[0]);
	assert_int_equal(st.count, 1);
	assert_true(st.unknown);
	assert_int_equal(st.domain, SNAP_NATIVE);
	assert_string_equal(export_file_name(snap, st.frames), "<unknown>");
	st = export_stack_of(snap, &snap->stacks[1]);
	assert_int_equal(st.count, 2);
	assert_false(st.unknown);
}

static void numbers_of_frames_are_dense_and_stable(void **state)
{
	struct snap_frame frames[] = {
		frame("a.py", 1, "f"), frame("a.py", 2, "f"),	 frame("a.py", 1, "g"),
		frame("b.py", 1, "f"), frame("liba.so", 0, "f"), frame("", 0, ""),
	};
	struct export_frame_ids ids;
	uint32_t id;
	bool is_new;

	assert_int_equal(export_frame_ids_init(&ids, snap->strings), 0);
	for (uint32_t i = 0; i < ARRAY_LEN(frames); i++) {
		assert_int_equal(export_frame_id(&ids, SNAP_PYTHON, &frames[i], &id, &is_new), 0);
		assert_true(is_new);
		assert_int_equal(id, i);
	}
	for (uint32_t i = 0; i < ARRAY_LEN(frames); i++) {
		assert_int_equal(export_frame_id(&ids, SNAP_PYTHON, &frames[i], &id, &is_new), 0);
		assert_false(is_new);
		assert_int_equal(id, i);
	}
	/* a library is not a Python file whose line is unknown */
	assert_int_equal(export_frame_id(&ids, SNAP_NATIVE, &frames[4], &id, &is_new), 0);
	assert_true(is_new);
	/* but a Python frame is one frame, whatever it allocated */
	assert_int_equal(export_frame_id(&ids, SNAP_NATIVE, &frames[0], &id, &is_new), 0);
	assert_false(is_new);
	assert_int_equal(id, 0);
	export_frame_ids_release(&ids);
}

static void domains_of_others_are_numbers(void **state)
{
	char room[16];
	uint8_t domain;

	assert_int_equal(snapshot_domain_of(snap, 389047, &domain), 0);
	assert_string_equal(export_domain_text(room, snap, SNAP_PYTHON), "python");
	assert_string_equal(export_domain_text(room, snap, SNAP_NATIVE), "native");
	assert_string_equal(export_domain_text(room, snap, domain), "389047");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(every_frame_has_a_name),
		T(a_stack_without_frames_has_an_unknown_one),
		T(numbers_of_frames_are_dense_and_stable),
		T(domains_of_others_are_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
