/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Windows fed with changes only, against a table that keeps every value of every line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "analyze/leaks_clock.h"
#include "leak_models.h"

#define LINES	  7
#define SNAPSHOTS 400

static int64_t times[SNAPSHOTS];
static uint64_t naive[SNAPSHOTS][LINES];

/* The window of each snapshot, by the rule of the header: a gap is four usual steps or a window long. */
static size_t window_of(size_t snapshots, size_t i)
{
	int64_t cap, window = (times[snapshots - 1] - times[0]) / LEAKS_WINDOWS_MAX, at = 0,
		     span = 0;

	if (snapshots <= LEAKS_WINDOWS_MAX)
		return i;
	cap = 4 * leak_usual_step(times, snapshots);
	cap = cap > window ? cap : window;
	for (size_t k = 1; k < snapshots; k++) {
		int64_t step = times[k] - times[k - 1];

		span += step < cap ? step : cap;
		at = k == i ? span : at;
	}
	return (size_t)((double)at * LEAKS_WINDOWS_MAX / ((double)span + 1));
}

static void make_times(struct rng *r, size_t snapshots)
{
	times[0] = 1000;
	for (size_t i = 1; i < snapshots; i++)
		times[i] = times[i - 1] + 1 +
			   (int64_t)(rng_next(r) % 1000000000) * (rng_next(r) % 50 ? 1 : 40);
}

static struct leak_series *make_series(struct rng *r, size_t snapshots)
{
	struct leak_series *s = NULL;

	assert_int_equal(leak_series_new(times, snapshots, &s), 0);
	for (size_t i = 0; i < snapshots; i++) {
		for (uint32_t line = 0; line < LINES; line++) {
			/* line 0 never changes, the others more and more often */
			bool changes = line && rng_next(r) % 30 < line * line;
			struct leak_value v;

			naive[i][line] = i ? naive[i - 1][line] : line == 0 ? 77 : 0;
			if (changes)
				naive[i][line] = rng_next(r) % 1000;
			v = (struct leak_value){.bytes = naive[i][line], .blocks = 1};
			if (changes || (!i && !line))
				assert_int_equal(leak_series_set(s, i, line, &v), 0);
		}
	}
	leak_series_finish(s);
	return s;
}

static void assert_line(struct leak_series *s, uint32_t n, size_t snapshots)
{
	struct leak_line line;
	size_t window = 0, i = 0;
	double fell = 0;

	leak_series_line(s, n, &line);
	assert_int_equal(line.count, leak_series_windows(s));
	while (i < snapshots) {
		size_t slot = window_of(snapshots, i), first = i;
		uint64_t low = UINT64_MAX, high = 0;
		double mean = 0;

		for (; i < snapshots && window_of(snapshots, i) == slot; i++) {
			low = naive[i][n] < low ? naive[i][n] : low;
			high = naive[i][n] > high ? naive[i][n] : high;
			mean += (double)(times[i] - times[first]);
			if (i && naive[i][n] < naive[i - 1][n])
				fell += (double)(naive[i - 1][n] - naive[i][n]);
		}
		assert_int_equal(line.low[window], low);
		assert_int_equal(line.high[window], high);
		mean = mean / (double)(i - first) + (double)times[first];
		assert_true(line.time_ns[window] >= (int64_t)mean - 2 &&
			    line.time_ns[window] <= (int64_t)mean + 2);
		window++;
	}
	assert_int_equal(window, line.count);
	assert_int_equal(line.first, naive[0][n]);
	assert_int_equal(line.last, naive[snapshots - 1][n]);
	assert_true(line.fell_bytes == fell);
}

static void windows_hold_least_and_most_of_their_snapshots(void **state)
{
	struct rng r = {3};

	for (int round = 0; round < 60; round++) {
		size_t snapshots = 1 + rng_next(&r) % SNAPSHOTS;
		struct leak_series *s;

		make_times(&r, snapshots);
		s = make_series(&r, snapshots);
		for (uint32_t n = 0; n < leak_series_lines(s); n++)
			assert_line(s, n, snapshots);
		leak_series_free(s);
	}
}

static void times_that_go_back_are_refused(void **state)
{
	const int64_t back[] = {10, 9};
	struct leak_series *s = NULL;

	assert_int_equal(leak_series_new(back, 2, &s), -EINVAL);
	assert_int_equal(leak_series_new(back, 0, &s), -EINVAL);
	assert_null(s);
}

static void a_line_that_comes_late_held_nothing_before(void **state)
{
	const int64_t t[] = {0, 10, 20, 30};
	const struct leak_value v = {.bytes = 5, .blocks = 1};
	struct leak_series *s = NULL;
	struct leak_line line;

	assert_int_equal(leak_series_new(t, 4, &s), 0);
	assert_int_equal(leak_series_set(s, 2, 1, &v), 0);
	leak_series_finish(s);
	assert_int_equal(leak_series_lines(s), 2);
	leak_series_line(s, 1, &line);
	assert_int_equal(line.low[1], 0);
	assert_int_equal(line.low[2], 5);
	assert_int_equal(line.high[3], 5);
	assert_int_equal(line.first, 0);
	assert_true(line.alloc_bytes < 0);
	leak_series_line(s, 0, &line);
	assert_int_equal(line.high[3], 0);
	leak_series_free(s);
}

static void ages_are_told_from_what_was_allocated_lately(void **state)
{
	const int64_t t[] = {0, 10, 20, 30};
	const struct leak_value v[] = {{1000, 10, 1000, 10},
				       {2000, 20, 4000, 40},
				       {3000, 30, 6000, 60},
				       {4000, 40, 6500, 65}};
	struct leak_series *s = NULL;
	struct leak_line line;
	struct leak_ages a;

	assert_int_equal(leak_series_new(t, 4, &s), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(leak_series_set(s, i, 0, &v[i]), 0);
	leak_series_finish(s);
	leak_series_line(s, 0, &line);
	assert_true(line.alloc_bytes == 5500);
	leak_series_ages(s, 0, &a);
	/* since the third snapshot 5 blocks came: at least 35 of the 40 are older */
	assert_true(a.old_ratio > 0.874 && a.old_ratio < 0.876);
	assert_true(a.old_s > 9.9e-9 && a.old_s < 10.1e-9);
	assert_true(a.freed_ratio > 0.384 && a.freed_ratio < 0.385);
	assert_int_equal(a.blocks, 40);
	leak_series_free(s);
}

static void without_allocations_ages_are_not_known(void **state)
{
	const int64_t t[] = {0, 10, 20};
	const struct leak_value v = {.bytes = 100, .blocks = 10};
	struct leak_series *s = NULL;
	struct leak_ages a;

	assert_int_equal(leak_series_new(t, 3, &s), 0);
	assert_int_equal(leak_series_set(s, 0, 0, &v), 0);
	leak_series_finish(s);
	leak_series_ages(s, 0, &a);
	assert_true(a.freed_ratio < 0 && a.old_ratio < 0);
	assert_int_equal(a.blocks, 10);
	leak_series_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_hold_least_and_most_of_their_snapshots),
		cmocka_unit_test(times_that_go_back_are_refused),
		cmocka_unit_test(a_line_that_comes_late_held_nothing_before),
		cmocka_unit_test(ages_are_told_from_what_was_allocated_lately),
		cmocka_unit_test(without_allocations_ages_are_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
