/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export_fixture.h"

static void four_profiles_share_their_frames(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("/a.py", 1, "f"), frame("/b.py", 2, "<module>"));
	last_allocated(100, 5);
	ADD(SNAP_NATIVE, 7, 1, frame("/lib/x.so", 0, ""), frame("/b.py", 2, "<module>"));
	last_allocated(7, 1);
	ADD(SNAP_PYTHON, 0, 0, frame("/a.py", 1, "f"));
	last_allocated(64, 2);
	assert_string_equal(
		export_text("speedscope"),
		"{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\","
		"\"exporter\":\"tmbpf@" TMBPF_VERSION "\","
		"\"name\":\"gunicorn 4711 2026-11-22T14:02:00.013Z\",\"activeProfileIndex\":0,"
		"\"shared\":{\"frames\":[{\"name\":\"f\",\"file\":\"/a.py\",\"line\":1},"
		"{\"name\":\"<module>\",\"file\":\"/b.py\",\"line\":2},"
		"{\"name\":\"[x.so]\",\"file\":\"/lib/x.so\"}]},"
		"\"profiles\":["
		"{\"type\":\"sampled\",\"name\":\"live bytes\",\"unit\":\"bytes\","
		"\"startValue\":0,\"endValue\":17,\"samples\":[[1,0],[1,2]],\"weights\":[10,7]},"
		"{\"type\":\"sampled\",\"name\":\"live blocks\",\"unit\":\"none\","
		"\"startValue\":0,\"endValue\":2,\"samples\":[[1,0],[1,2]],\"weights\":[1,1]},"
		"{\"type\":\"sampled\",\"name\":\"allocated bytes\",\"unit\":\"bytes\","
		"\"startValue\":0,\"endValue\":171,\"samples\":[[0],[1,0],[1,2]],"
		"\"weights\":[64,100,7]},"
		"{\"type\":\"sampled\",\"name\":\"allocations\",\"unit\":\"none\","
		"\"startValue\":0,\"endValue\":8,\"samples\":[[0],[1,0],[1,2]],"
		"\"weights\":[2,5,1]}]}\n");
}

static void lower_bounds_are_called_so(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("/a.py", 1, "f"));
	export_text("speedscope");
	assert_non_null(strstr(text, "\"name\":\"live bytes\""));
	assert_non_null(strstr(
		text, "\"name\":\"allocated bytes (not recorded: at least what is alive)\""));
	assert_non_null(
		strstr(text, "\"name\":\"allocations (not recorded: at least what is alive)\""));
}

static void names_are_escaped(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("/a\"\n.py", 1, "f\\\x01"));
	export_text("speedscope");
	assert_non_null(
		strstr(text, "{\"name\":\"f\\\\\\u0001\",\"file\":\"/a\\\"\\n.py\",\"line\":1}"));
}

static void without_meta_the_name_is_the_time(void **state)
{
	struct export_opts opts = {0};

	assert_int_equal(export_with("speedscope", &(struct store_meta){0}, &opts), 0);
	assert_non_null(strstr(text, "\"name\":\"2026-11-22T14:02:00.013Z\""));
	assert_non_null(strstr(text, "\"endValue\":0,\"samples\":[],\"weights\":[]"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(four_profiles_share_their_frames),
		T(lower_bounds_are_called_so),
		T(names_are_escaped),
		T(without_meta_the_name_is_the_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
