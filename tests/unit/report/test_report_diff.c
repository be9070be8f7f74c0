/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats_fixture.h"

static struct fixture_side *old, *now;
static struct statistic_diffs diffs;

static void compare(enum stat_key key)
{
	struct snapshot *first = story_interval(1), *second = story_interval(2);

	/* one line that is gone, one that is new */
	ADD(first, SNAP_PYTHON, 1232896, 2410, frame("json/decoder.py", 353, "raw_decode"));
	ADD(second, SNAP_PYTHON, 100, 1, frame("b.py", 1, "f"));
	old = side_new(first, "/tmp/x/a.tmb", key, NULL, NULL);
	now = side_new(second, "b.tmb@last", key, NULL, NULL);
	assert_int_equal(statistics_compare(&now->stats, &old->stats, DIFF_BY_GROWTH, 0, &diffs),
			 0);
}

static int teardown(void **state)
{
	statistic_diffs_release(&diffs);
	if (old)
		side_free(old);
	if (now)
		side_free(now);
	old = now = NULL;
	return story_teardown(state);
}

#define LEDGER(side) \
	side "coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing\n"

static void differences_follow_a_line_about_the_sides(void **state)
{
	struct stats_view v = {.top = 2, .sort = "growth", .repeat_warnings = true};

	compare(STAT_LINENO);
	assert_int_equal(report_diff_text(out, &v, &old->view, &now->view, &diffs), 0);
	assert_written(
		"a 14:02:10Z  17.6 MiB/94000   ->   b@last 14:02:20Z  28.8 MiB/181933     +11.2 MiB "
		"(+87933 blocks) in 10.0s\n"
		"/srv/shop/cache.py:88: size=24.8 MiB (+12.4 MiB), count=180684 (+90342), average=144 B\n"
		"json/decoder.py:353: size=0 B (-1204 KiB), count=0 (-2410)\n"
		"3 other: size +100 B, count +1\n" LEDGER("old: ") LEDGER("new: "));
}

static void traceback_differences_come_as_blocks(void **state)
{
	struct stats_view v = {.top = 1, .traceback = {.has_limit = true, .limit = 1}};

	compare(STAT_TRACEBACK);
	assert_int_equal(report_diff_text(out, &v, &old->view, &now->view, &diffs), 0);
	assert_written(
		"a 14:02:10Z  17.6 MiB/94000   ->   b@last 14:02:20Z  28.8 MiB/181933     +11.2 MiB "
		"(+87933 blocks) in 10.0s\n"
		"180684 memory blocks (+90342): 24.8 MiB (+12.4 MiB)\n"
		"  File \"/srv/shop/cache.py\", line 88\n"
		"4 other: size -1204 KiB, count -2409\n" LEDGER("old: ") LEDGER("new: "));
}

static void doubts_are_warned_of(void **state)
{
	struct stats_view v = {.top = 1, .repeat_warnings = true};
	struct buf text = {0};

	compare(STAT_LINENO);
	report_diff_doubts(&text, &old->view, &now->view, true);
	assert_int_equal(text.len, 0);
	now->snap->mode = "pools";
	now->meta.frames = 10;
	report_diff_doubts(&text, &old->view, &now->view, false);
	assert_string_equal(text.data, "the old side is exact, the new one pools");
	assert_int_equal(report_diff_text(out, &v, &old->view, &now->view, &diffs), 0);
	fflush(out);
	assert_non_null(
		strstr(out_text, "\nwarning W204: the old side is exact, the new one pools\n"));
	buf_reset(&text);
	now->meta.pid = 4712;
	now->meta.python_version = "3.13.0";
	now->meta.domains[SNAP_NATIVE] = false;
	now->snap->time_ns = 1;
	report_diff_doubts(&text, &old->view, &now->view, true);
	assert_string_equal(text.data, "the old side is exact, the new one pools; "
				       "they are two processes, 4711 and 4712; "
				       "they ran CPython 3.12.4 and 3.13.0; "
				       "only the old side traced native memory; "
				       "tracebacks have up to 25 and 10 frames; "
				       "the old side was taken after the new one");
	buf_release(&text);
}

static void another_attach_and_another_tool_are_doubts_too(void **state)
{
	struct buf text = {0};

	compare(STAT_LINENO);
	now->meta.attach_ns++;
	report_diff_doubts(&text, &old->view, &now->view, false);
	assert_non_null(strstr(text.data, "attached at different times"));
	buf_reset(&text);
	now->meta = (struct store_meta){0};
	now->snap->mode = "tracemalloc";
	report_diff_doubts(&text, &old->view, &now->view, true);
	assert_non_null(strstr(text.data, "one side is tracemalloc's"));
	assert_null(strstr(text.data, "; "));
	buf_release(&text);
}

static void days_and_long_times_are_said(void **state)
{
	struct stats_view v = {.top = 1};

	compare(STAT_LINENO);
	now->snap->time_ns += 2 * 86400000000000ll + 3600000000000ll;
	assert_int_equal(report_diff_text(out, &v, &old->view, &now->view, &diffs), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "a 2026-11-22T14:02:10Z  17.6 MiB"));
	assert_non_null(strstr(out_text, "b@last 2026-11-24T15:02:20Z  28.8 MiB"));
	assert_non_null(strstr(out_text, " in 2d01h\n"));
}

static void ndjson_has_both_sides_and_a_record_a_group(void **state)
{
	struct stats_view v = {.sort = "growth"};

	compare(STAT_LINENO);
	assert_int_equal(report_diff_ndjson(out, &v, &old->view, &now->view, &diffs), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "{\"schema\":\"tmbpf/1\",\"type\":\"diff\""));
	assert_non_null(strstr(out_text,
			       "\"groups\":5,\"bytes_diff\":11769546,\"blocks_diff\":87933,"
			       "\"seconds\":10,\"old\":{\"file\":\"/tmp/x/a.tmb\""));
	assert_non_null(strstr(out_text, "\"new\":{\"file\":\"b.tmb@last\""));
	assert_non_null(strstr(
		out_text, "{\"type\":\"difference\",\"file\":\"json/decoder.py\",\"line\":353,"
			  "\"function\":\"raw_decode\",\"native\":false,\"bytes\":0,\"bytes_diff\":"
			  "-1232896,\"blocks\":0,\"blocks_diff\":-2410,\"average\":null}\n"));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(differences_follow_a_line_about_the_sides),
		CASE(traceback_differences_come_as_blocks),
		CASE(doubts_are_warned_of),
		CASE(another_attach_and_another_tool_are_doubts_too),
		CASE(days_and_long_times_are_said),
		CASE(ndjson_has_both_sides_and_a_record_a_group),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
