/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

static struct report *new_report(enum stat_key by, unsigned top)
{
	struct report_opts opts = {.by = by, .top = top, .width = 20, .color = true};
	struct report *r;

	assert_int_equal(report_ndjson_new(out, &opts, &r), 0);
	return r;
}

static void hello_says_what_is_traced(void **state)
{
	struct report_hello h = story_hello();
	struct report *r = new_report(STAT_LINENO, 0);

	assert_int_equal(report_hello(r, &h), 0);
	assert_written(
		"{\"schema\":\"tmbpf/1\",\"type\":\"hello\",\"time\":\"2026-11-22T14:02:00.013Z\","
		"\"version\":\"" TMBPF_VERSION "\",\"pid\":4711,\"comm\":\"gunicorn\","
		"\"python\":\"3.12.4\",\"libc\":\"glibc 2.36\",\"container\":\"3f9c1a0be2d4\","
		"\"mode\":\"exact\",\"mode_reason\":null,\"trial_events_per_s\":null,\"projected_cost_ratio\":null,\"projected_slowdown_ratio\":null,\"frames\":25,"
		"\"domains\":[\"python\",\"native\"],"
		"\"sites\":{\"pop\":212,\"newref\":31,\"libc\":12}}\n");
	report_free(r);
}

static void hello_of_a_native_process_has_nulls(void **state)
{
	struct report_hello h = {.pid = 1,
				 .comm = "x\"y",
				 .libc = "",
				 .mode = TRACE_MODE_POOLS,
				 .mode_reason = "too many events",
				 .trial = true,
				 .trial_events_per_s = 7,
				 .projected_cost_ratio = 0.5,
				 .projected_slowdown_ratio = 9,
				 .frames = 1,
				 .domains = {false, true}};
	struct report *r = new_report(STAT_LINENO, 0);

	assert_int_equal(report_hello(r, &h), 0);
	assert_written(
		"{\"schema\":\"tmbpf/1\",\"type\":\"hello\","
		"\"time\":null,\"version\":\"" TMBPF_VERSION "\","
		"\"pid\":1,\"comm\":\"x\\\"y\",\"python\":null,\"libc\":\"\","
		"\"container\":null,\"mode\":\"pools\","
		"\"mode_reason\":\"too many events\",\"trial_events_per_s\":7,\"projected_cost_ratio\":0.5,\"projected_slowdown_ratio\":9,\"frames\":1,\"domains\":[\"native\"],"
		"\"sites\":{\"pop\":0,\"newref\":0,\"libc\":0}}\n");
	report_free(r);
}

static void an_interval_is_followed_by_its_sites(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report *r = new_report(STAT_LINENO, 2);

	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 3, 1, 2};
	s->drops[TM_DROP_RING_FULL] = 12;
	s->drops[TM_DROP_POOL_BAD] = 1;
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"{\"type\":\"interval\",\"time\":\"2026-11-22T14:02:10.013Z\",\"seq\":1,"
		"\"elapsed_s\":10,\"live_bytes\":17186816,\"live_blocks\":91590,"
		"\"rss_bytes\":410000000,\"mode\":\"exact\",\"coverage\":{\"python\":"
		"{\"ratio\":0.75,\"recorded\":3,\"missed\":1,\"moving\":2},\"native\":null},"
		"\"lost\":{\"ring_full\":12,\"pool_malformed\":1},\"cost_cpu_ratio\":0.019,\"slowdown_ratio\":0.019,"
		"\"cost_uncertainty\":0.2,\"events\":4711,\"drain_s\":0,\"unfollowed\":null}\n"
		"{\"type\":\"site\",\"seq\":1,\"file\":\"/srv/shop/cache.py\",\"line\":88,"
		"\"function\":\"put\",\"domain\":\"python\",\"bytes\":13002342,"
		"\"blocks\":90342,\"bytes_per_s\":1300234}\n"
		"{\"type\":\"site\",\"seq\":1,\"file\":\"/srv/shop/views.py\",\"line\":31,"
		"\"function\":\"handle\",\"domain\":\"python\",\"bytes\":3250586,"
		"\"blocks\":1204,\"bytes_per_s\":325059}\n");
	report_free(r);
}

static void what_is_unknown_is_null_and_top_0_shows_all(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(2);
	struct report *r = new_report(STAT_FILENAME, 0);

	s->coverage[SNAP_NATIVE].known = true;
	s->rss_bytes = 0;
	s->elapsed_s = 0; /* no time, no rate */
	s->cost_uncertainty = 0.5;
	ADD(s, SNAP_NATIVE, 30, 2, frame("/usr/lib/libx.so", 0, "f"));
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, NULL, 0, false, 16, 1), 0);
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"{\"type\":\"interval\",\"time\":\"2026-11-22T14:02:20.013Z\",\"seq\":2,"
		"\"elapsed_s\":0,\"live_bytes\":46,\"live_blocks\":3,\"rss_bytes\":null,"
		"\"mode\":\"exact\",\"coverage\":{\"python\":null,\"native\":{\"ratio\":null,"
		"\"recorded\":0,\"missed\":0,\"moving\":0}},\"lost\":{},"
		"\"cost_cpu_ratio\":null,\"slowdown_ratio\":null,\"cost_uncertainty\":null,\"events\":0,\"drain_s\":0,\"unfollowed\":null}\n"
		"{\"type\":\"site\",\"seq\":2,\"file\":\"/usr/lib/libx.so\",\"line\":0,"
		"\"function\":null,\"domain\":\"native\",\"bytes\":30,\"blocks\":2,"
		"\"bytes_per_s\":null}\n"
		"{\"type\":\"site\",\"seq\":2,\"file\":\"<unknown>\",\"line\":0,"
		"\"function\":null,\"domain\":\"python\",\"bytes\":16,\"blocks\":1,"
		"\"bytes_per_s\":null}\n");
	report_free(r);
}

static void by_traceback_a_site_carries_its_stack(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_snapshot(1), *b = story_snapshot(2);
	struct report *r = new_report(STAT_TRACEBACK, 0);
	const char *sites;

	ADD(a, SNAP_PYTHON, 100, 1, frame("/a.py", 1, "f"), frame("/m.py", 2, "main"));
	assert_int_equal(report_interval(r, a, NULL), 0);
	ADD(b, SNAP_PYTHON, 50, 1, frame("/a.py", 1, "f"), frame("/m.py", 2, "main"));
	assert_int_equal(snapshot_add(b, SNAP_PYTHON, NULL, 0, false, 16, 1), 0);
	assert_int_equal(report_interval(r, b, a), 0);
	fflush(out);
	sites = strstr(out_text, "{\"type\":\"site\",\"seq\":2");
	assert_non_null(sites);
	assert_string_equal(
		sites,
		"{\"type\":\"site\",\"seq\":2,\"file\":\"/a.py\",\"line\":1,"
		"\"function\":\"f\",\"domain\":\"python\",\"bytes\":50,\"blocks\":1,"
		"\"bytes_per_s\":-5,\"stack\":[[\"/a.py\",1,\"f\"],[\"/m.py\",2,\"main\"]]}\n"
		"{\"type\":\"site\",\"seq\":2,\"file\":\"<unknown>\",\"line\":0,"
		"\"function\":null,\"domain\":\"python\",\"bytes\":16,\"blocks\":1,"
		"\"bytes_per_s\":2,\"stack\":[]}\n");
	report_free(r);
}

static void an_empty_interval_has_no_sites(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report(STAT_LINENO, 10);

	assert_int_equal(report_interval(r, s, NULL), 0);
	fflush(out);
	assert_null(strstr(out_text, "\"site\""));
	assert_non_null(strstr(out_text, "\"live_bytes\":0,"));
	report_free(r);
}

static void warnings_and_the_end_are_lines_too(void **state)
{
	struct report_end end = {.end = {.reason = TRACE_END_TARGET_EXIT,
					 .code_known = true,
					 .code = 7,
					 .age_s = 0.5},
				 .exit_status = 3};
	struct report *r = new_report(STAT_LINENO, 0);

	assert_int_equal(report_warning(r, "W101", "lost \"x\"", "--ring 64M"), 0);
	assert_written("{\"type\":\"warning\",\"code\":\"W101\",\"message\":\"lost \\\"x\\\"\","
		       "\"fix\":\"--ring 64M\"}\n");
	assert_int_equal(report_warning(r, "W102", "m", NULL), 0);
	assert_written("{\"type\":\"warning\",\"code\":\"W102\",\"message\":\"m\",\"fix\":null}\n");
	assert_int_equal(report_end(r, &end, NULL), 0);
	assert_written(
		"{\"type\":\"end\",\"reason\":\"target-exit\",\"exit\":3,\"target_status\":7,\"target_signal\":null,\"age_s\":0.5}\n");
	report_free(r);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hello_says_what_is_traced),
		CASE(hello_of_a_native_process_has_nulls),
		CASE(an_interval_is_followed_by_its_sites),
		CASE(what_is_unknown_is_null_and_top_0_shows_all),
		CASE(by_traceback_a_site_carries_its_stack),
		CASE(an_empty_interval_has_no_sites),
		CASE(warnings_and_the_end_are_lines_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
