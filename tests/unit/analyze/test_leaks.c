/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules, one shape each, drawn by hand. The confusion tables are in test_leaks_labelled.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "analyze/leaks.h"
#include "analyze/leaks_process.h"
#include "analyze/leaks_table.h"
#include "base/cleanup.h"

#define MINUTE 60000000000ll

static int64_t times[LEAKS_WINDOWS_MAX];
static uint64_t low[LEAKS_WINDOWS_MAX], high[LEAKS_WINDOWS_MAX];

static struct leak_line line_of(size_t n)
{
	struct leak_line l = {
		.time_ns = times,
		.low = low,
		.high = high,
		.count = n,
		.alloc_bytes = -1,
		.grain_bytes = 4096,
	};

	memcpy(high, low, sizeof(high));
	for (size_t i = 0; i < LEAKS_WINDOWS_MAX; i++)
		times[i] = (int64_t)i * MINUTE;
	l.first = n ? low[0] : 0;
	l.last = n ? low[n - 1] : 0;
	for (size_t i = 1; i < n; i++)
		l.fell_bytes += low[i] < low[i - 1] ? (double)(low[i - 1] - low[i]) : 0;
	return l;
}

static struct leak_finding judge(const struct leak_line *l)
{
	struct leak_finding f;

	memset(&f, 0xa5, sizeof(f));
	leak_judge(l, &f);
	assert_true(f.verdict >= 0 && f.verdict < LEAK_VERDICTS);
	assert_true(f.why >= 0 && f.why < LEAK_WHYS);
	assert_true(isfinite(f.trend.per_min) && isfinite(f.trend.per_min_low) &&
		    isfinite(f.trend.per_min_high) && isfinite(f.trend.r2));
	assert_true(isfinite(f.turnover) && isfinite(f.span_s));
	return f;
}

static void assert_verdict(size_t n, enum leak_verdict verdict, enum leak_why why)
{
	struct leak_line l = line_of(n);
	struct leak_finding f = judge(&l);

	if (f.verdict != verdict || f.why != why)
		print_message("%s, why %d\n", leak_verdict_name(f.verdict), f.why);
	assert_int_equal(f.verdict, verdict);
	assert_int_equal(f.why, why);
}

static void steady_growth_is_a_leak(void **state)
{
	struct leak_line l;
	struct leak_finding f;

	for (size_t i = 0; i < 31; i++)
		low[i] = 1000000 + 100000 * i;
	l = line_of(31);
	f = judge(&l);
	assert_int_equal(f.verdict, LEAK_YES);
	assert_int_equal(f.kept_bytes, 3000000);
	assert_true(f.trend.per_min > 99999 && f.trend.per_min < 100001);
	assert_int_equal(f.trend.grew, 30);
	assert_int_equal(f.since_ns, 0);
	assert_false(f.lossy);
}

static void growth_that_begins_later_is_a_leak_from_there(void **state)
{
	struct leak_line l;
	struct leak_finding f;

	for (size_t i = 0; i < 60; i++)
		low[i] = 500000 + (i > 30 ? (i - 30) * 50000 : 0);
	l = line_of(60);
	f = judge(&l);
	assert_int_equal(f.verdict, LEAK_YES);
	/* within 5 % of the first level */
	assert_true(f.since_ns >= 30 * MINUTE && f.since_ns <= 32 * MINUTE);
	assert_true(f.trend.per_min > 49000 && f.trend.per_min < 51000);
}

static void growth_that_began_just_now_is_too_short(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = 500000 + (i > 48 ? (i - 48) * 50000 : 0);
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_SHORT);
	/* but not where it came that high before, and went */
	low[10] = low[11] = 2000000;
	assert_verdict(60, LEAK_CHURN, LEAK_WHY_SWINGS);
}

static void growth_behind_a_fill_is_a_leak(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = (i < 5 ? i * 2000000 : 10000000) + i * 20000;
	assert_verdict(60, LEAK_YES, LEAK_WHY_KEEPS_GROWING);
}

static void what_stopped_is_a_plateau_or_was_warming_up(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = (i < 25 ? i : 25) * 100000;
	assert_verdict(60, LEAK_PLATEAU, LEAK_WHY_STOPPED);
	for (size_t i = 0; i < 60; i++)
		low[i] = (i < 4 ? i : 4) * 100000;
	assert_verdict(60, LEAK_WARM_UP, LEAK_WHY_STOPPED);
	for (size_t i = 0; i < 60; i++)
		low[i] = 100000;
	assert_verdict(60, LEAK_WARM_UP, LEAK_WHY_FLAT);
}

static void what_was_released_is_no_churn(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = i < 30 ? 5000000 : 100000;
	assert_verdict(60, LEAK_PLATEAU, LEAK_WHY_RELEASED);
	for (size_t i = 0; i < 60; i++)
		low[i] = i < 3 ? 5000000 : 100000;
	assert_verdict(60, LEAK_WARM_UP, LEAK_WHY_RELEASED);
}

static void what_slows_down_is_not_known(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = i < 30 ? i * 100000 : 3000000 + (i - 30) * 24000;
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_SLOWING);
	/* a cache of many keys, each as likely as the other: it stands still before it is full */
	low[0] = 0;
	for (size_t i = 1; i < 60; i++)
		low[i] = low[i - 1] + (4000000 - low[i - 1]) / 20;
	assert_verdict(60, LEAK_PLATEAU, LEAK_WHY_STOPPED);
}

static void what_pauses_for_longer_than_before_is_not_known(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = (i / 8 > 5 ? 5 : i / 8) * 1000000;
	/* steps every 8 minutes; the last is 19 ago */
	assert_verdict(60, LEAK_PLATEAU, LEAK_WHY_STOPPED);
	for (size_t i = 0; i < 60; i++)
		low[i] = (i / 8 > 6 ? 6 : i / 8) * 1000000;
	/* 11 ago */
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_PAUSED);
	for (size_t i = 0; i < 60; i++)
		low[i] = i / 8 * 1000000;
	assert_verdict(60, LEAK_YES, LEAK_WHY_KEEPS_GROWING);
}

static void a_few_events_are_no_leak(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = (i / 15) * 1000000;
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_FEW);
	/* enough steps, but none for a third of the time in between */
	for (size_t i = 0; i < 60; i++)
		low[i] = (i < 20 ? i / 4 : i < 40 ? 4 : 4 + (i - 36) / 4) * 1000000;
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_FEW);
	/* one step that is most of it */
	for (size_t i = 0; i < 60; i++)
		low[i] = i * 50000 + (i > 45 ? 5000000 : 0);
	assert_verdict(60, LEAK_UNKNOWN, LEAK_WHY_FEW);
}

static void less_than_the_grain_is_no_growth(void **state)
{
	for (size_t i = 0; i < 60; i++)
		low[i] = 1000 + i * 50;
	assert_verdict(60, LEAK_WARM_UP, LEAK_WHY_FLAT);
	for (size_t i = 0; i < 60; i++)
		low[i] = i < 30 ? 0 : 1536;
	assert_verdict(60, LEAK_WARM_UP, LEAK_WHY_FLAT);
}

static void a_level_line_that_allocates_is_churn(void **state)
{
	struct leak_line l;

	for (size_t i = 0; i < 60; i++)
		low[i] = 1000000 + (i % 2) * 10000;
	l = line_of(60);
	l.alloc_bytes = 9e6;
	assert_int_equal(judge(&l).verdict, LEAK_WARM_UP);
	l.alloc_bytes = 11e6;
	assert_int_equal(judge(&l).verdict, LEAK_CHURN);
	assert_int_equal(judge(&l).why, LEAK_WHY_TURNOVER);
	assert_false(judge(&l).trend_known);
}

/* ---- incomplete data ---- */

static void losses_can_explain_small_growth(void **state)
{
	struct leak_line l;
	struct leak_finding f, exact;

	for (size_t i = 0; i < 60; i++)
		low[i] = 100000000 + i * 20000; /* grows by 1.2 % */
	l = line_of(60);
	exact = judge(&l);
	assert_int_equal(exact.verdict, LEAK_YES);
	l.missing_ratio = 0.005;
	f = judge(&l);
	assert_int_equal(f.verdict, LEAK_YES);
	assert_false(f.lossy);
	assert_true(f.trend.per_min_high > exact.trend.per_min_high);
	assert_true(f.trend.per_min_low < exact.trend.per_min_low);
	l.missing_ratio = 0.02;
	f = judge(&l);
	assert_int_equal(f.verdict, LEAK_UNKNOWN);
	assert_int_equal(f.why, LEAK_WHY_LOSSES);
	assert_true(f.lossy);
}

static void a_leak_on_lossy_data_says_so(void **state)
{
	struct leak_line l;
	struct leak_finding f;

	for (size_t i = 0; i < 60; i++)
		low[i] = i * 100000;
	l = line_of(60);
	l.missing_ratio = 0.03;
	f = judge(&l);
	assert_int_equal(f.verdict, LEAK_YES);
	assert_true(f.lossy);
}

/* ---- few snapshots, odd times, extreme values ---- */

static void fewer_than_three_are_no_verdict(void **state)
{
	low[0] = 1;
	low[1] = 1000000;
	assert_verdict(0, LEAK_UNKNOWN, LEAK_WHY_FEW);
	assert_verdict(1, LEAK_UNKNOWN, LEAK_WHY_FEW);
	assert_verdict(2, LEAK_UNKNOWN, LEAK_WHY_FEW);
}

static void three_must_double_evenly(void **state)
{
	low[0] = 100000;
	low[1] = 200000;
	low[2] = 300000;
	assert_verdict(3, LEAK_YES, LEAK_WHY_FEW_BUT_EVEN);
	low[0] = 1100000;
	low[1] = 1200000;
	low[2] = 1300000;
	assert_verdict(3, LEAK_UNKNOWN, LEAK_WHY_FEW);
	low[0] = 100000;
	low[1] = 1000000;
	low[2] = 1100000;
	assert_verdict(3, LEAK_UNKNOWN, LEAK_WHY_SLOWING);
}

static void a_gap_is_no_pause(void **state)
{
	struct leak_line l;

	for (size_t i = 0; i < 60; i++)
		low[i] = i * 100000;
	l = line_of(60);
	/* nothing was seen for an hour; the line grew on at its rate */
	for (size_t i = 30; i < 60; i++) {
		times[i] += 60 * MINUTE;
		low[i] = high[i] = (uint64_t)(times[i] / MINUTE) * 100000;
	}
	l.last = low[59];
	assert_int_equal(judge(&l).verdict, LEAK_YES);
	/* after the gap it stands still: what was seen of that is longer than any pause seen before */
	for (size_t i = 31; i < 60; i++)
		low[i] = high[i] = low[30];
	l.last = low[59];
	assert_int_equal(judge(&l).verdict, LEAK_PLATEAU);
}

static void equal_times_do_no_harm(void **state)
{
	struct leak_line l;

	for (size_t i = 0; i < 20; i++)
		low[i] = i * 100000;
	l = line_of(20);
	for (size_t i = 0; i < 20; i++)
		times[i] = 5;
	(void)judge(&l);
	for (size_t i = 0; i < 20; i++)
		times[i] = (int64_t)(i / 2) * MINUTE;
	assert_int_equal(judge(&l).verdict, LEAK_YES);
}

static void extreme_values_do_no_harm(void **state)
{
	static const uint64_t extremes[] = {0, 1, 1ull << 60, UINT64_MAX, 1ull << 63};
	uint64_t seed = 1;

	for (int round = 0; round < 20000; round++) {
		size_t n = (size_t)round % (LEAKS_WINDOWS_MAX + 1);
		struct leak_line l;

		for (size_t i = 0; i < n; i++) {
			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			low[i] = seed >> 33 & 1 ? extremes[(seed >> 40) % 5] : seed >> (seed >> 58);
		}
		l = line_of(n);
		for (size_t i = 0; i < n; i++)
			high[i] = low[i] > UINT64_MAX / 2 ? low[i] : low[i] * 2;
		l.missing_ratio = round % 7 ? 0 : 0.5;
		l.alloc_bytes = round % 3 ? -1 : 1e18;
		(void)judge(&l);
	}
	for (size_t i = 0; i < 60; i++)
		low[i] = (1ull << 60) / 60 * i;
	assert_verdict(60, LEAK_YES, LEAK_WHY_KEEPS_GROWING);
}

/* ---- the process ---- */

static uint64_t rss_low[LEAKS_WINDOWS_MAX];

static struct leak_line rss_of(uint64_t start, uint64_t per_min, size_t n)
{
	struct leak_line l = line_of(n);

	for (size_t i = 0; i < n; i++)
		rss_low[i] = start + per_min * i;
	l.low = l.high = rss_low;
	l.first = rss_low[0];
	l.last = rss_low[n - 1];
	l.fell_bytes = 0;
	return l;
}

static void rss_that_outgrows_the_lines_is_not_explained(void **state)
{
	const struct leak_sum none = {0};
	struct leak_line rss, live;
	struct leak_process p;

	for (size_t i = 0; i < 40; i++)
		low[i] = i * 100000;
	live = line_of(40);
	rss = rss_of(50000000, 110000, 40);
	leak_process_judge(&rss, &live, &none, 0, &p);
	assert_false(p.unexplained);
	rss = rss_of(50000000, 200000, 40);
	leak_process_judge(&rss, &live, &none, 0, &p);
	assert_true(p.unexplained);
	assert_true(p.unexplained_per_min > 99000 && p.unexplained_per_min < 101000);
	assert_true(p.limit_min < 0);
	/* more than a MiB, but less than a fifth */
	for (size_t i = 0; i < 40; i++)
		low[i] = i * 1000000;
	rss = rss_of(50000000, 1100000, 40);
	leak_process_judge(&rss, &live, &none, 0, &p);
	assert_false(p.unexplained);
	/* a half, less than a MiB in all */
	for (size_t i = 0; i < 40; i++)
		low[i] = i * 10000;
	rss = rss_of(50000000, 20000, 40);
	leak_process_judge(&rss, &live, &none, 0, &p);
	assert_false(p.unexplained);
}

static void the_limit_is_reached_at_the_rate_of_rss(void **state)
{
	const struct leak_sum none = {0};
	struct leak_line rss, live;
	struct leak_process p;

	memset(low, 0, sizeof(low));
	live = line_of(31);
	rss = rss_of(100000000, 1000000, 31);
	leak_process_judge(&rss, &live, &none, 171000000, &p);
	assert_int_equal(p.limit_rate, LEAK_RATE_RSS);
	assert_false(p.limit_reached);
	assert_true(p.limit_min > 40.9 && p.limit_min < 41.1);
	assert_true(p.limit_min_low <= p.limit_min && p.limit_min <= p.limit_min_high);
}

static void a_limit_that_is_reached_needs_no_growth(void **state)
{
	const struct leak_sum none = {0};
	struct leak_line rss, live;
	struct leak_process p;

	memset(low, 0, sizeof(low));
	live = line_of(31);
	rss = rss_of(100000000, 1000000, 31);
	leak_process_judge(&rss, &live, &none, 1000, &p);
	assert_true(p.limit_reached && p.limit_min == 0 && p.limit_min_high == 0);
	rss = rss_of(100000000, 0, 31);
	leak_process_judge(&rss, &live, &none, 100000000, &p);
	assert_true(p.limit_reached && p.limit_min == 0);
	leak_process_judge(&rss, &live, &none, 100000001, &p);
	assert_true(!p.limit_reached && p.limit_min < 0);
}

static void else_at_the_rate_of_all_that_is_traced(void **state)
{
	/* what is left of the leaks by a filter */
	const struct leak_sum shown = {
		.lines = 1, .per_min = 100000, .per_min_low = 100000, .per_min_high = 100000};
	struct leak_line rss, live;
	struct leak_process p;

	for (size_t i = 0; i < 31; i++)
		low[i] = i * 1000000;
	live = line_of(31);
	rss = rss_of(100000000, 0, 31);
	leak_process_judge(&rss, &live, &shown, 110000000, &p);
	assert_int_equal(p.limit_rate, LEAK_RATE_LIVE);
	assert_true(p.limit_min > 9.9 && p.limit_min < 10.1);
}

static void else_at_that_of_the_leaks(void **state)
{
	const struct leak_sum sum = {
		.lines = 2, .per_min = 1000000, .per_min_low = 500000, .per_min_high = 2000000};
	struct leak_sum doubt = sum;
	struct leak_line rss, live;
	struct leak_process p;

	memset(low, 0, sizeof(low));
	live = line_of(31);
	rss = rss_of(100000000, 0, 31);
	leak_process_judge(&rss, &live, &sum, 110000000, &p);
	assert_int_equal(p.limit_rate, LEAK_RATE_LEAKS);
	assert_true(p.limit_min > 9.9 && p.limit_min < 10.1);
	assert_true(p.limit_min_low > 4.9 && p.limit_min_low < 5.1);
	assert_true(p.limit_min_high > 19.9 && p.limit_min_high < 20.1);
	doubt.per_min_low = -1;
	leak_process_judge(&rss, &live, &doubt, 110000000, &p);
	assert_true(p.limit_min_high < 0);
	leak_process_judge(NULL, &live, &sum, 110000000, &p);
	assert_true(p.limit_min < 0);
	assert_false(p.rss_known);
}

/* ---- uneven times ---- */

/* The line holds 1000 bytes more each minute. */
static struct leak_line steady_at(const int64_t *minutes, size_t n)
{
	struct leak_line l;

	for (size_t i = 0; i < n; i++)
		low[i] = 100000 + 1000 * (uint64_t)minutes[i];
	l = line_of(n);
	for (size_t i = 0; i < n; i++)
		times[i] = minutes[i] * MINUTE;
	return l;
}

static void steady_growth_through_a_gap_is_a_leak(void **state)
{
	int64_t minutes[40];
	struct leak_line l;

	for (int i = 0; i < 40; i++)
		minutes[i] = i < 20 ? i : i + 180;
	l = steady_at(minutes, 40);
	assert_int_equal(judge(&l).verdict, LEAK_YES);
}

/* As thinning leaves them: the older, the wider apart. */
static void steady_growth_seen_closer_and_closer_is_a_leak(void **state)
{
	static const int64_t minutes[] = {0,	544,  896,  1088, 1280, 1344,
					  1376, 1408, 1424, 1436, 1438, 1439};
	struct leak_line l = steady_at(minutes, ARRAY_LEN(minutes));

	assert_int_equal(judge(&l).verdict, LEAK_YES);
}

/* The end is near the peak only because it was looked at so often there. */
static void a_moment_near_the_end_proves_no_plateau(void **state)
{
	static const int64_t minutes[] = {0, 300, 310, 600, 1430, 1437, 1438, 1439};
	struct leak_line l = steady_at(minutes, ARRAY_LEN(minutes));

	low[1] = low[2] = low[0] + 1000;
	l.last = low[ARRAY_LEN(minutes) - 1];
	assert_true(judge(&l).verdict == LEAK_UNKNOWN || judge(&l).verdict == LEAK_YES);
}

/* Held at the last look only, and allocated all the time. */
static void what_turns_over_and_is_there_at_the_end_is_churn(void **state)
{
	struct leak_line l;

	memset(low, 0, sizeof(low));
	low[29] = 6808;
	l = line_of(30);
	assert_int_equal(judge(&l).verdict, LEAK_UNKNOWN);
	l.alloc_bytes = 6808 * 500;
	assert_int_equal(judge(&l).verdict, LEAK_CHURN);
}

static void a_fill_that_ended_just_now_is_no_leak(void **state)
{
	for (size_t end = 30; end < 58; end++) {
		enum leak_verdict v;
		struct leak_line l;

		for (size_t i = 0; i < 60; i++)
			low[i] = 10000 * (i < end ? i : end);
		l = line_of(60);
		v = judge(&l).verdict;
		/* the last two windows of a leak may be level by chance */
		assert_true(end > 56 || v == LEAK_PLATEAU || v == LEAK_UNKNOWN);
		assert_true(end > 51 || v == LEAK_PLATEAU);
	}
}

/* ---- the table ---- */

static void rows_stand_in_the_order_in_which_they_matter(void **state)
{
	struct leak_series *s = NULL;
	struct leak_table t;

	(void)line_of(40);
	assert_int_equal(leak_series_new(times, 40, &s), 0);
	for (size_t i = 0; i < 40; i++) {
		const struct leak_value slow = {.bytes = 1000 * i}, fast = {.bytes = 5000 * i},
					flat = {.bytes = 1000000}, none = {0};

		assert_int_equal(leak_series_set(s, i, 0, &slow), 0);
		assert_int_equal(leak_series_set(s, i, 1, &flat), 0);
		assert_int_equal(leak_series_set(s, i, 2, &fast), 0);
		assert_int_equal(leak_series_set(s, i, 3, &none), 0);
	}
	leak_series_finish(s);
	assert_int_equal(leak_table_make(s, 0, 4096, &t), 0);
	assert_int_equal(t.count, 3);
	assert_int_equal(t.rows[0].line, 2);
	assert_int_equal(t.rows[1].line, 0);
	assert_int_equal(t.rows[2].line, 1);
	assert_int_equal(t.counts[LEAK_YES], 2);
	assert_int_equal(t.counts[LEAK_WARM_UP], 1);
	assert_int_equal(t.bytes[LEAK_YES], 39 * 6000);
	assert_int_equal(t.leaks.lines, 2);
	assert_true(t.leaks.per_min > 5999 && t.leaks.per_min < 6001);
	leak_table_release(&t);
	leak_series_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steady_growth_is_a_leak),
		cmocka_unit_test(growth_that_begins_later_is_a_leak_from_there),
		cmocka_unit_test(growth_that_began_just_now_is_too_short),
		cmocka_unit_test(growth_behind_a_fill_is_a_leak),
		cmocka_unit_test(what_stopped_is_a_plateau_or_was_warming_up),
		cmocka_unit_test(what_was_released_is_no_churn),
		cmocka_unit_test(what_slows_down_is_not_known),
		cmocka_unit_test(what_pauses_for_longer_than_before_is_not_known),
		cmocka_unit_test(a_few_events_are_no_leak),
		cmocka_unit_test(less_than_the_grain_is_no_growth),
		cmocka_unit_test(a_level_line_that_allocates_is_churn),
		cmocka_unit_test(losses_can_explain_small_growth),
		cmocka_unit_test(a_leak_on_lossy_data_says_so),
		cmocka_unit_test(fewer_than_three_are_no_verdict),
		cmocka_unit_test(three_must_double_evenly),
		cmocka_unit_test(a_gap_is_no_pause),
		cmocka_unit_test(equal_times_do_no_harm),
		cmocka_unit_test(extreme_values_do_no_harm),
		cmocka_unit_test(rss_that_outgrows_the_lines_is_not_explained),
		cmocka_unit_test(the_limit_is_reached_at_the_rate_of_rss),
		cmocka_unit_test(a_limit_that_is_reached_needs_no_growth),
		cmocka_unit_test(else_at_the_rate_of_all_that_is_traced),
		cmocka_unit_test(else_at_that_of_the_leaks),
		cmocka_unit_test(steady_growth_through_a_gap_is_a_leak),
		cmocka_unit_test(steady_growth_seen_closer_and_closer_is_a_leak),
		cmocka_unit_test(a_moment_near_the_end_proves_no_plateau),
		cmocka_unit_test(what_turns_over_and_is_there_at_the_end_is_churn),
		cmocka_unit_test(a_fill_that_ended_just_now_is_no_leak),
		cmocka_unit_test(rows_stand_in_the_order_in_which_they_matter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
