/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "export_fixture.h"

static void a_snapshot_is_header_frames_stacks_sites_end(void **state)
{
	struct snap_frame main_py = frame("/m.py", 12, "<module>");

	snap->rss_bytes = 433061888;
	snap->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 3, 1, 0};
	snap->drops[0] = 7;
	ADD(SNAP_PYTHON, 10, 1, frame("/a.py", 1, "f"), main_py);
	last_allocated(100, 5);
	last_thread("MainThread");
	ADD(SNAP_NATIVE, 7, 1, frame("/lib/x.so", 0, ""), main_py);
	last_allocated(7, 1);
	ADD(SNAP_NATIVE, 5, 1, frame("/a.py", 1, "f"), main_py);
	snap->stacks[2].truncated = true;
	export_text("ndjson");
	assert_string_equal(
		text,
		"{\"schema\":\"tmbpf/1\",\"type\":\"snapshot\",\"time\":\"2026-11-22T14:02:00.013Z\","
		"\"version\":\"" TMBPF_VERSION "\",\"pid\":4711,\"comm\":\"gunicorn\","
		"\"program\":\"/usr/bin/python3.12\",\"python\":\"3.12.4\",\"mode\":\"exact\","
		"\"frames\":25,\"seq\":3,\"elapsed_s\":20.5,\"live_bytes\":22,\"live_blocks\":3,"
		"\"rss_bytes\":433061888,\"alloc_known\":false,\"coverage\":{\"python\":{\"ratio\":0.75,"
		"\"recorded\":3,\"missed\":1,\"moving\":0},\"native\":null},"
		"\"lost\":{\"ring_full\":7},\"filtered\":{\"stacks\":0,\"bytes\":0,\"blocks\":0}}\n"
		"{\"type\":\"frame\",\"id\":0,\"file\":\"/a.py\",\"line\":1,\"function\":\"f\","
		"\"domain\":\"python\"}\n"
		"{\"type\":\"frame\",\"id\":1,\"file\":\"/m.py\",\"line\":12,\"function\":\"<module>\","
		"\"domain\":\"python\"}\n"
		"{\"type\":\"stack\",\"id\":0,\"frames\":[0,1]}\n"
		"{\"type\":\"frame\",\"id\":2,\"file\":\"/lib/x.so\",\"line\":0,\"function\":null,"
		"\"domain\":\"native\"}\n"
		"{\"type\":\"stack\",\"id\":1,\"frames\":[2,1]}\n"
		"{\"type\":\"site\",\"seq\":3,\"file\":\"/a.py\",\"line\":1,\"function\":\"f\","
		"\"domain\":\"python\",\"thread\":\"MainThread\",\"bytes\":10,\"blocks\":1,"
		"\"alloc_bytes\":100,\"alloc_blocks\":5,\"stack_id\":0,\"truncated\":false}\n"
		"{\"type\":\"site\",\"seq\":3,\"file\":\"/lib/x.so\",\"line\":0,\"function\":null,"
		"\"domain\":\"native\",\"thread\":null,\"bytes\":7,\"blocks\":1,"
		"\"alloc_bytes\":7,\"alloc_blocks\":1,\"stack_id\":1,\"truncated\":false}\n"
		"{\"type\":\"site\",\"seq\":3,\"file\":\"/a.py\",\"line\":1,\"function\":\"f\","
		"\"domain\":\"native\",\"thread\":null,\"bytes\":5,\"blocks\":1,"
		"\"alloc_bytes\":null,\"alloc_blocks\":null,\"stack_id\":0,\"truncated\":true}\n"
		"{\"type\":\"end\",\"reason\":\"complete\",\"exit\":0,\"frames\":3,\"stacks\":2,"
		"\"sites\":3}\n");
}

static void what_is_not_known_is_null(void **state)
{
	struct export_opts opts = {0};

	snap->mode = NULL;
	snap->time_ns = 0;
	snap->elapsed_s = 0;
	assert_int_equal(export_with("ndjson", &(struct store_meta){0}, &opts), 0);
	assert_string_equal(
		text,
		"{\"schema\":\"tmbpf/1\",\"type\":\"snapshot\",\"time\":null,\"version\":\"" TMBPF_VERSION
		"\",\"pid\":null,\"comm\":null,\"program\":null,\"python\":null,\"mode\":null,"
		"\"frames\":null,\"seq\":3,\"elapsed_s\":null,\"live_bytes\":0,\"live_blocks\":0,"
		"\"rss_bytes\":null,\"alloc_known\":true,\"coverage\":{\"python\":null,\"native\":null},"
		"\"lost\":{},\"filtered\":{\"stacks\":0,\"bytes\":0,\"blocks\":0}}\n"
		"{\"type\":\"end\",\"reason\":\"complete\",\"exit\":0,\"frames\":0,\"stacks\":0,"
		"\"sites\":0}\n");
}

static void an_unknown_stack_has_tracemallocs_frame(void **state)
{
	add_unknown(SNAP_PYTHON, 7, 1);
	export_text("ndjson");
	assert_non_null(strstr(text,
			       "{\"type\":\"frame\",\"id\":0,\"file\":\"<unknown>\",\"line\":0,"
			       "\"function\":null,\"domain\":\"python\"}\n"
			       "{\"type\":\"stack\",\"id\":0,\"frames\":[0]}\n"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(a_snapshot_is_header_frames_stacks_sites_end),
		T(what_is_not_known_is_null),
		T(an_unknown_stack_has_tracemallocs_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
