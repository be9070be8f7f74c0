/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats_fixture.h"

static const struct stats_view top2 = {.top = 2, .sort = "size"};

static void lines_of_tracemalloc_between_header_and_coverage(void **state)
{
	struct fixture_side *side = side_new(story_interval(2), "a.tmb", STAT_LINENO, NULL, NULL);

	assert_int_equal(report_stats_text(out, &top2, &side->view), 0);
	assert_written(
		"[ Top 2 of 3, 28.8 MiB in 181932 blocks, 2026-11-22T14:02:20Z, exact ]\n"
		"/srv/shop/cache.py:88: size=24.8 MiB, count=180684, average=144 B\n"
		"/srv/shop/views.py:31: size=3174 KiB, count=1204, average=2700 B\n"
		"1 other: size=912 KiB, count=44\n"
		"coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing\n");
	side_free(side);
}

static void tracebacks_come_as_blocks(void **state)
{
	struct stats_view v = {.top = 1, .traceback.functions = true};
	struct fixture_side *side =
		side_new(story_interval(2), "a.tmb", STAT_TRACEBACK, NULL, NULL);

	side->snap->stacks[0].truncated = true;
	assert_int_equal(report_stats_text(out, &v, &side->view), 0);
	assert_written(
		"[ Top 1 of 3, 28.8 MiB in 181932 blocks, 2026-11-22T14:02:20Z, exact ]\n"
		"180684 memory blocks: 24.8 MiB (86.1%), older calls were cut\n"
		"  File \"/srv/shop/main.py\", line 12\n"
		"    <module>\n"
		"  File \"/srv/shop/views.py\", line 31\n"
		"    handle\n"
		"  File \"/srv/shop/cache.py\", line 88\n"
		"    put\n"
		"2 other: size=4086 KiB, count=1248\n"
		"coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing; 1 of 3 "
		"stacks cut at 25 frames\n");
	side_free(side);
}

static void what_is_left_out_is_said(void **state)
{
	static const char known_text[] = "leak:^put$\nleak:never\n";
	const struct filter_spec spec = {.pattern = "*views.py"};
	struct filter_set *filters = filter_set_new();
	struct suppressions *known = NULL;
	struct suppress_error error;
	struct fixture_side *side;
	struct stats_view all = {0};

	assert_int_equal(filter_set_add(filters, &spec), 0);
	assert_int_equal(suppressions_parse(known_text, sizeof(known_text) - 1, &known, &error), 0);
	side = side_new(story_interval(1), "a.tmb", STAT_LINENO, filters, known);
	side->snap->drops[TM_DROP_RING_FULL] = 12;
	assert_int_equal(report_stats_text(out, &all, &side->view), 0);
	assert_written(
		"[ Top 1 of 1, 912 KiB in 44 blocks, 2026-11-22T14:02:10Z, exact ]\n"
		"<native> /usr/lib/x86_64-linux-gnu/libxml2.so.2!xmlNewNode: size=912 KiB, count=44, "
		"average=20.7 KiB\n"
		"filtered out: 3174 KiB in 1204 blocks of 1 stacks\n"
		"suppressed: 12.4 MiB in 90342 blocks of 1 stacks\n"
		"  leak:^put$: 12.4 MiB in 90342 blocks of 1 stacks\n"
		"coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: ring_full 12\n"
		"  lost ring_full: a new stack did not fit the ring buffer; its blocks are attributed to "
		"<lost>\n");
	side_free(side);
	suppressions_free(known);
	filter_set_free(filters);
}

static void what_nobody_asked_to_leave_out_is_named(void **state)
{
	const struct filter_spec specs[] = {{.pattern = "*views.py", .is_default = true},
					    {.pattern = "*cache.py"}};
	struct filter_set *filters = filter_set_new();
	struct fixture_side *side;
	struct stats_view all = {0};

	assert_int_equal(filter_set_add(filters, &specs[0]), 0);
	side = side_new(story_interval(1), "a.tmb", STAT_LINENO, filters, NULL);
	assert_int_equal(report_stats_text(out, &all, &side->view), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "\nfiltered out: 3174 KiB in 1204 blocks of 1 stacks "
					 "(imports; --no-default-filters shows them)\n"));
	side_free(side);
	assert_int_equal(filter_set_add(filters, &specs[1]), 0);
	side = side_new(story_interval(1), "a.tmb", STAT_LINENO, filters, NULL);
	assert_int_equal(report_stats_text(out, &all, &side->view), 0);
	fflush(out);
	assert_non_null(strstr(out_text,
			       "\nfiltered out: 15.5 MiB in 91546 blocks of 2 stacks (3174 KiB "
			       "of it imports; --no-default-filters shows them)\n"));
	side_free(side);
	filter_set_free(filters);
}

static void an_empty_report_says_so_and_a_pickle_claims_nothing(void **state)
{
	struct snapshot *s = story_snapshot(1);
	struct fixture_side *side;

	s->mode = "tracemalloc";
	s->time_ns = 0;
	side = side_new(s, "a.pickle", STAT_LINENO, NULL, NULL);
	assert_int_equal(report_stats_text(out, &top2, &side->view), 0);
	assert_written("[ Top 0 of 0, 0 B in 0 blocks, tracemalloc ]\n"
		       "nothing that passes the filters is alive\n"
		       "coverage and losses: not known, this is a snapshot of tracemalloc\n");
	side_free(side);
}

static void cumulative_reports_have_no_rest(void **state)
{
	struct stats_view v = {.top = 1, .cumulative = STAT_EACH_FRAME};
	struct fixture_side *side = side_new(story_interval(1), "a.tmb", STAT_LINENO, NULL, NULL);
	struct stat_opts opts = {.key = STAT_LINENO, .cumulative = STAT_EACH_FRAME};

	statistics_release(&side->stats);
	assert_int_equal(statistics_make(side->snap, &opts, &side->stats), 0);
	assert_int_equal(report_stats_text(out, &v, &side->view), 0);
	assert_written(
		"[ Top 1 of 5, 16.4 MiB in 91590 blocks, 2026-11-22T14:02:10Z, exact, "
		"cumulative (each frame) ]\n"
		"/srv/shop/main.py:12: size=16.4 MiB, count=91590, average=188 B\n"
		"coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing\n");
	side_free(side);
}

static void ndjson_has_a_header_and_a_record_a_group(void **state)
{
	struct fixture_side *side = side_new(story_interval(2), "a.tmb", STAT_LINENO, NULL, NULL);

	assert_int_equal(report_stats_ndjson(out, &top2, &side->view), 0);
	assert_written(
		"{\"schema\":\"tmbpf/1\",\"type\":\"report\",\"version\":\"" TMBPF_VERSION
		"\",\"by\":\"lineno\",\"cumulative\":null,\"sort\":\"size\",\"groups\":3,\"file\":"
		"\"a.tmb\",\"time\":\"2026-11-22T14:02:20.013Z\",\"attach_time\":"
		"\"2026-11-22T14:02:00.013Z\",\"elapsed_s\":20,\"pid\":4711,\"comm\":\"gunicorn\","
		"\"python\":\"3.12.4\",\"mode\":\"exact\",\"frames\":25,\"live_bytes\":30189158,"
		"\"live_blocks\":181932,\"rss_bytes\":420000000,\"bytes\":30189158,\"blocks\":181932,"
		"\"filtered\":{\"stacks\":0,\"bytes\":0,\"blocks\":0,\"default_bytes\":0},\"suppressed\":{\"stacks\":0,"
		"\"bytes\":0,\"blocks\":0,\"patterns\":[]},\"coverage\":{\"python\":{\"ratio\":"
		"0.9999787589566399,\"recorded\":141233,\"missed\":3,\"moving\":0},\"native\":null},"
		"\"lost\":{},\"lost_ratio\":2.1241043360098466e-05,\"unfollowed\":null}\n"
		"{\"type\":\"statistic\",\"file\":\"/srv/shop/cache.py\",\"line\":88,\"function\":"
		"\"put\",\"native\":false,\"bytes\":26004684,\"blocks\":180684,\"average\":"
		"143.92355714949858}\n"
		"{\"type\":\"statistic\",\"file\":\"/srv/shop/views.py\",\"line\":31,\"function\":"
		"\"handle\",\"native\":false,\"bytes\":3250586,\"blocks\":1204,\"average\":"
		"2699.822259136213}\n");
	side_free(side);
}

static void ndjson_names_each_kind_of_group(void **state)
{
	static const struct {
		enum stat_key key;
		const char *name;
	} rows[] = {
		{STAT_FILENAME,
		 "{\"type\":\"statistic\",\"file\":\"/srv/shop/cache.py\",\"bytes\""},
		{STAT_FUNCTION,
		 "\"file\":\"/srv/shop/cache.py\",\"function\":\"put\",\"native\":false"},
		{STAT_MODULE, "{\"type\":\"statistic\",\"module\":\"/srv/shop/cache\",\"bytes\""},
		{STAT_THREAD, "{\"type\":\"statistic\",\"thread\":\"<all threads>\",\"bytes\""},
		{STAT_DOMAIN, "{\"type\":\"statistic\",\"domain\":\"python\",\"bytes\""},
		{STAT_TRACEBACK,
		 "\"line\":88,\"function\":\"put\",\"stack\":[[\"/srv/shop/cache.py\",88,\"put\"],"
		 "[\"/srv/shop/views.py\",31,\"handle\"],[\"/srv/shop/main.py\",12,\"<module>\"]],"
		 "\"truncated\":false,\"bytes\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture_side *side =
			side_new(story_interval(1), "a.tmb", rows[i].key, NULL, NULL);

		rewind(out);
		assert_int_equal(report_stats_ndjson(out, &top2, &side->view), 0);
		fflush(out);
		assert_non_null(strstr(out_text, rows[i].name));
		side_free(side);
	}
}

static void write_errors_come_back(void **state)
{
	struct fixture_side *side = side_new(story_interval(1), "a.tmb", STAT_LINENO, NULL, NULL);
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(report_stats_text(full, &top2, &side->view), -ENOSPC);
	assert_int_equal(report_stats_ndjson(full, &top2, &side->view), -ENOSPC);
	fclose(full);
	side_free(side);
}

static void the_lost_ratio_is_the_worst_that_is_known(void **state)
{
	struct snapshot *s = story_snapshot(1);

	assert_true(completeness_lost_ratio(s) == 0); /* nothing known, nothing claimed */
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 90, 10, 0};
	assert_true(completeness_lost_ratio(s) > 0.0999 && completeness_lost_ratio(s) < 0.1001);
	ADD(s, SNAP_PYTHON, 8, 1, frame("a.py", 1, "f"));
	s->drops[TM_DROP_MOVING] = 1000;
	assert_true(completeness_lost_ratio(s) < 0.1001);
	s->drops[TM_DROP_LIVE_TABLE] = 1;
	assert_true(completeness_lost_ratio(s) == 0.5);
	s->stacks[0].alloc_blocks = 99;
	assert_true(completeness_lost_ratio(s) < 0.1001);
	s->live_blocks = 4;
	s->gap = (struct snap_gap){.from_ns = 1, .to_ns = 2, .blocks = 3};
	assert_true(completeness_lost_ratio(s) == 0.75); /* from before a gap */
	snapshot_free(s);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(lines_of_tracemalloc_between_header_and_coverage),
		CASE(tracebacks_come_as_blocks),
		CASE(what_is_left_out_is_said),
		CASE(what_nobody_asked_to_leave_out_is_named),
		CASE(an_empty_report_says_so_and_a_pickle_claims_nothing),
		CASE(cumulative_reports_have_no_rest),
		CASE(ndjson_has_a_header_and_a_record_a_group),
		CASE(ndjson_names_each_kind_of_group),
		CASE(write_errors_come_back),
		CASE(the_lost_ratio_is_the_worst_that_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
