/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The words of `leaks`, for a worker with a leak, a cache, a parser and what it loaded at the start. */
#include "report_fixture.h"

#include "report/report_leaks.h"

#define MINUTE	  60000000000ll
#define SNAPSHOTS 31

static struct snapshot *snap;
static struct leak_lines *lines;
static struct leak_series *series;
static struct leak_table table;
static struct leak_process process;
static struct selection selection;
static int64_t times[SNAPSHOTS];

static const struct store_meta meta = {
	.pid = 4711,
	.comm = "gunicorn",
	.python_version = "3.12.4",
	.frames = 25,
	.cgroup_limit_bytes = 512 << 20,
};

static struct leak_value held(uint32_t line, uint64_t i)
{
	switch (line) {
	case 0: /* grows by 2.4 MiB a minute, nearly nothing is freed */
		return (struct leak_value){2500000 * i, 20000 * i, 2505000 * i, 20040 * i};
	case 1: /* fills for six minutes */
		i = i < 6 ? i : 6;
		return (struct leak_value){1100000 * i, 1000 * i, 1100000 * i, 1000 * i};
	case 2: /* comes and goes */
		return (struct leak_value){3250000 + i % 2, 3000, 1237000000 * i + 1, 3000 * i + 1};
	default: /* loaded at the start */
		return (struct leak_value){13000000, 90000, 13000000, 90000};
	}
}

static int setup(void **state)
{
	uint32_t map[4];

	if (story_setup(state))
		return -1;
	snap = story_snapshot(SNAPSHOTS);
	ADD(snap, SNAP_PYTHON, 1, 1, frame("/srv/shop/cache.py", 88, "put"),
	    frame("/srv/shop/views.py", 31, "handle"), frame("/srv/shop/main.py", 12, "<module>"));
	ADD(snap, SNAP_PYTHON, 1, 1, frame("/srv/shop/views.py", 31, "handle"));
	ADD(snap, SNAP_NATIVE, 1, 1, frame("/usr/lib/libxml2.so.2", 0, "xmlNewNode"));
	ADD(snap, SNAP_PYTHON, 1, 1, frame("/srv/shop/views.py", 2, "<module>"));
	snap->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 731213, 0, 0};
	for (size_t i = 0; i < SNAPSHOTS; i++)
		times[i] = ATTACH_NS + (int64_t)i * MINUTE;
	if (leak_lines_new(STAT_LINENO, &lines) || leak_lines_add(lines, snap, NULL, map) ||
	    leak_series_new(times, SNAPSHOTS, &series))
		return -1;
	for (size_t i = 0; i < SNAPSHOTS; i++) {
		for (uint32_t line = 0; line < 4; line++) {
			struct leak_value v = held(line, i);

			if (leak_series_set(series, i, map[line], &v))
				return -1;
		}
	}
	leak_series_finish(series);
	if (leak_table_make(series, 0, 4096, &table))
		return -1;
	process = (struct leak_process){
		.rss_known = true,
		.rss = {.trend_known = true,
			.trend = {.per_min = 3355443},
			.level_bytes = 413 << 20},
		.unexplained = true,
		.unexplained_per_min = 629145,
		.limit_min = 41,
		.limit_min_low = 39,
		.limit_min_high = 44.5,
	};
	return 0;
}

static int teardown(void **state)
{
	leak_table_release(&table);
	leak_series_free(series);
	leak_lines_free(lines);
	snapshot_free(snap);
	return story_teardown(state);
}

static struct leaks_report report_of(unsigned top)
{
	static const char *const files[] = {"run.tmb"};

	return (struct leaks_report){
		.files = files,
		.file_count = 1,
		.meta = &meta,
		.last = snap,
		.key = STAT_LINENO,
		.top = top,
		.from_ns = times[0],
		.to_ns = times[SNAPSHOTS - 1],
		.time_ns = times,
		.clock_ns = times,
		.snapshots = SNAPSHOTS,
		.windows = SNAPSHOTS,
		.stretches = 1,
		.lines = lines,
		.table = &table,
		.process = &process,
		.selection = &selection,
	};
}

static void text_says_each_verdict_in_its_words(void **state)
{
	struct leaks_report r = report_of(10);

	assert_int_equal(report_leaks_text(out, &r), 0);
	assert_written(
		"4711 gunicorn: 31 snapshots in 30 min, 2026-11-22T14:02:00.013Z to "
		"2026-11-22T14:32:00.013Z, exact\n"
		"LEAK      cache.py:88 put                   +2441 KiB/min (2441 KiB to 2441 KiB), R2 1.000, "
		"30/30 windows up in 30 min, at least 66% of 600000 blocks older than 10 min, 0.2% "
		"ever freed\n"
		"          cgroup limit 512 MiB is reached in ~41 min (+-3), from RSS 413 MiB at the rate of "
		"RSS   see: docs/leak-verdict.md\n"
		"UNKNOWN   RSS grew 3277 KiB/min but traced live only 2662 KiB/min: fragmentation, memory "
		"from before attach, or memory that is not traced   see: docs/leak-verdict.md\n"
		"PLATEAU   views.py:31 handle                flat for 24 min (grew by 6445 KiB before), holds "
		"6445 KiB\n"
		"CHURN     libxml2.so.2 xmlNewNode           1180 MiB/min allocated, live flat at 3174 KiB\n"
		"WARM-UP   1 site                            stopped growing within 0.0 s, holds 12.4 MiB\n"
		"coverage python 100% (recorded 731213, missed 0), native n/a; lost: nothing\n");
}

static void ndjson_has_a_record_a_line(void **state)
{
	struct leaks_report r = report_of(1);

	assert_int_equal(report_leaks_ndjson(out, &r), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "{\"schema\":\"tmbpf/1\",\"type\":\"leaks\","));
	assert_non_null(strstr(out_text,
			       "\"verdicts\":{\"LEAK\":1,\"UNKNOWN\":0,\"PLATEAU\":1,\"CHURN\":1,"
			       "\"WARM-UP\":1}"));
	assert_non_null(strstr(out_text, "{\"type\":\"verdict\",\"verdict\":\"LEAK\",\"why\":"
					 "\"keeps_growing\",\"file\":\"/srv/shop/cache.py\","
					 "\"line\":88,\"function\":\"put\""));
	assert_non_null(strstr(out_text, "\"verdict\":\"CHURN\",\"why\":\"turnover\""));
	assert_non_null(strstr(out_text, "\"bytes_per_min\":null"));
	assert_non_null(strstr(out_text, "\"limit_min\":41,\"limit_min_low\":39,"
					 "\"limit_min_high\":44.5,\"limit_rate\":\"rss\"}"));
	assert_null(strstr(out_text, "\"verdict\":\"WARM-UP\",\"why\""));
}

static void all_lines_are_shown_with_top_zero(void **state)
{
	struct leaks_report r = report_of(0);

	assert_int_equal(report_leaks_shown(&r, LEAK_WARM_UP), 1);
	r.top = 10;
	assert_int_equal(report_leaks_shown(&r, LEAK_WARM_UP), 0);
	assert_int_equal(report_leaks_shown(&r, LEAK_YES), 1);
	assert_int_equal(report_leaks_shown(&r, LEAK_UNKNOWN), 0);
}

static void what_is_missing_and_left_out_is_said(void **state)
{
	struct leaks_report r = report_of(10);

	r.missing_ratio = 0.021;
	r.stretches = 3;
	r.left_out = 17;
	r.windows = 20;
	table.rows[0].finding.lossy = true;
	table.rows[0].finding.why = LEAK_WHY_FEW_BUT_EVEN;
	process.limit_min_high = -1;
	process.limit_rate = LEAK_RATE_LEAKS;
	selection.filtered = (struct selection_sum){1, 4096, 7};
	selection.suppressed = (struct selection_sum){2, 2048, 5};
	assert_int_equal(report_leaks_text(out, &r), 0);
	fflush(out);
	assert_non_null(strstr(out_text, ", judged in 20 windows\n"));
	assert_non_null(strstr(out_text,
			       "tracing was started 3 times: judged is the longest session, 17 "
			       "snapshots of the others are left out\n"));
	assert_non_null(strstr(out_text,
			       "; only 31 snapshots, record more to be sure; 2.1% of the data "
			       "is missing\n"));
	assert_non_null(strstr(out_text,
			       "in ~41 min (at least 39), from RSS 413 MiB at the rate of the "
			       "leaks shown   see"));
	assert_non_null(strstr(out_text, "\nfiltered out: 4096 B in 7 blocks of 1 stacks\n"
					 "suppressed: 2048 B in 5 blocks of 2 stacks\n"));
	assert_non_null(strstr(out_text, "at the worst snapshot 2.1% was missing\n"));
	selection = (struct selection){0};
}

static const char *text_of(const struct leaks_report *r)
{
	rewind(out);
	assert_int_equal(report_leaks_text(out, r), 0);
	fflush(out);
	return out_text;
}

static void the_limit_is_said_with_its_rate(void **state)
{
	struct leaks_report r = report_of(10);

	process.limit_rate = LEAK_RATE_LIVE;
	assert_non_null(strstr(text_of(&r), " at the rate of all that is traced   see"));
	process.limit_rate = LEAK_RATE_LEAKS;
	assert_non_null(strstr(text_of(&r), " at the rate of the leaks   see"));
	/* an error that rounds to nothing is left out */
	process.limit_min = process.limit_min_low = process.limit_min_high = 168;
	assert_non_null(strstr(text_of(&r), " is reached in ~2.8 h, from RSS"));
	process.limit_min = process.limit_min_low = process.limit_min_high = 0;
	process.limit_reached = true;
	assert_non_null(strstr(text_of(&r),
			       "\n          RSS 413 MiB is at or above the cgroup limit "
			       "512 MiB   see: docs/leak-verdict.md\n"));
	assert_null(strstr(out_text, "is reached in"));
	rewind(out);
	assert_int_equal(report_leaks_ndjson(out, &r), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "\"limit_min\":0,\"limit_min_low\":0,"
					 "\"limit_min_high\":0,\"limit_rate\":null}"));
}

static void slow_growth_has_a_longer_unit(void **state)
{
	struct leaks_report r = report_of(10);
	struct trend *t = &table.rows[0].finding.trend;

	t->per_min = 0.3333;
	t->per_min_low = 0.33;
	t->per_min_high = 0.34;
	assert_non_null(strstr(text_of(&r), " +20 B/h (20 B to 20 B), R2 "));
	t->per_min = t->per_min_low = t->per_min_high = 0.01;
	assert_non_null(strstr(text_of(&r), " +14 B/day (14 B to 14 B), R2 "));
	t->per_min = t->per_min_low = t->per_min_high = 1;
	assert_non_null(strstr(text_of(&r), " +1 B/min (1 B to 1 B), R2 "));
}

static void callers_have_short_paths_too(void **state)
{
	struct leaks_report r = report_of(10);
	struct leak_lines *stacks = NULL;
	uint32_t map[4];

	assert_int_equal(leak_lines_new(STAT_TRACEBACK, &stacks), 0);
	assert_int_equal(leak_lines_add(stacks, snap, NULL, map), 0);
	r.key = STAT_TRACEBACK;
	r.lines = stacks;
	assert_non_null(strstr(text_of(&r), "\nLEAK      cache.py:88 put < views.py:31 < "
					    "main.py:12  +2441 KiB/min"));
	leak_lines_free(stacks);
}

static void a_share_of_nothing_is_not_said(void **state)
{
	struct leaks_report r = report_of(10);

	table.rows[0].ages.old_ratio = 0.0099;
	assert_null(strstr(text_of(&r), "at least"));
	table.rows[0].ages.old_ratio = 0.01;
	assert_non_null(strstr(text_of(&r), "at least 1% of 600000 blocks older than 10 min"));
}

static void every_reason_of_unknown_has_its_words(void **state)
{
	static const struct {
		enum leak_why why;
		const char *words;
	} reasons[] = {
		{LEAK_WHY_SHORT, "too short to decide"},
		{LEAK_WHY_FEW, "steps too few or too uneven to decide"},
		{LEAK_WHY_PAUSED, "flat for longer than before: stopped?"},
		{LEAK_WHY_SLOWING, "growth slows down: a cache that fills?"},
		{LEAK_WHY_LOSSES, "growth is within the "},
	};
	struct leaks_report r = report_of(10);

	table.counts[LEAK_UNKNOWN] = 1;
	table.counts[LEAK_YES] = 0;
	table.rows[0].finding.verdict = LEAK_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		table.rows[0].finding.why = reasons[i].why;
		assert_int_equal(report_leaks_text(out, &r), 0);
		fflush(out);
		assert_non_null(strstr(out_text, "UNKNOWN   cache.py:88 put "));
		assert_non_null(strstr(out_text, reasons[i].words));
		rewind(out);
	}
}

static void a_full_disk_is_reported(void **state)
{
	struct leaks_report r = report_of(10);
	FILE *full = fopen("/dev/full", "w");

	assert_non_null(full);
	setvbuf(full, NULL, _IONBF, 0);
	assert_int_equal(report_leaks_text(full, &r), -ENOSPC);
	assert_int_equal(report_leaks_ndjson(full, &r), -ENOSPC);
	fclose(full);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(text_says_each_verdict_in_its_words),
		TEST(ndjson_has_a_record_a_line),
		TEST(all_lines_are_shown_with_top_zero),
		TEST(what_is_missing_and_left_out_is_said),
		TEST(the_limit_is_said_with_its_rate),
		TEST(slow_growth_has_a_longer_unit),
		TEST(callers_have_short_paths_too),
		TEST(a_share_of_nothing_is_not_said),
		TEST(every_reason_of_unknown_has_its_words),
		TEST(a_full_disk_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
