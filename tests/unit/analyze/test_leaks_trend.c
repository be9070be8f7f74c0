/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The slope, its interval and R2 against a plain computation in long double, and at the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/leaks_trend.h"
#include "leak_models.h"

#define MINUTE 60000000000ll
#define ROUNDS 3000

/* ---- the plain computation ---- */

static int cmp_slope(const void *pa, const void *pb)
{
	const long double *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static size_t sorted_slopes(const int64_t *t, const uint64_t *v, size_t n, long double *slopes)
{
	size_t pairs = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++) {
			if (t[j] != t[i])
				slopes[pairs++] = ((long double)v[j] - (long double)v[i]) /
						  ((long double)(t[j] - t[i]) / MINUTE);
		}
	}
	qsort(slopes, pairs, sizeof(*slopes), cmp_slope);
	return pairs;
}

static long double naive_r2(const int64_t *t, const uint64_t *v, size_t n)
{
	long double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

	for (size_t i = 0; i < n; i++) {
		mx += (long double)(t[i] - t[0]) / n;
		my += (long double)v[i] / n;
	}
	for (size_t i = 0; i < n; i++) {
		long double dx = (long double)(t[i] - t[0]) - mx, dy = (long double)v[i] - my;

		xx += dx * dx;
		yy += dy * dy;
		xy += dx * dy;
	}
	return yy > 0 ? xy * xy / xx / yy : 1;
}

static int cmp_value(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

/* Variance of Kendall's S with ties: Kendall, Rank Correlation Methods, 4.3. */
static long double naive_variance(const uint64_t *v, size_t n)
{
	uint64_t sorted[TREND_POINTS_MAX];
	long double sum = (long double)n * (n - 1) * (2 * n + 5);
	size_t run = 1;

	memcpy(sorted, v, n * sizeof(*v));
	qsort(sorted, n, sizeof(*sorted), cmp_value);
	for (size_t i = 1; i <= n; i++) {
		if (i < n && sorted[i] == sorted[i - 1]) {
			run++;
			continue;
		}
		sum -= (long double)run * (run - 1) * (2 * run + 5);
		run = 1;
	}
	return sum / 18;
}

static long double naive_root(long double x)
{
	long double low = 0, high = x + 1;

	for (int i = 0; i < 200; i++) {
		if ((low + high) / 2 * ((low + high) / 2) < x)
			low = (low + high) / 2;
		else
			high = (low + high) / 2;
	}
	return low;
}

/* The ranks of the sorted slopes that are 1.96 standard errors from the middle, or the ends. */
static void naive_interval(const long double *slopes, size_t pairs, long double variance,
			   long double *from, long double *to)
{
	long double below = ((long double)pairs - 1.959963984540054L * naive_root(variance)) / 2;
	size_t rank = below >= 1 ? (size_t)below - 1 : 0;

	*from = slopes[rank];
	*to = slopes[pairs - 1 - rank];
}

static void assert_near(double have, long double want, double scale)
{
	double limit = 1e-9 * (scale + 1);

	assert_true(have - (double)want <= limit && (double)want - have <= limit);
}

static void assert_finite(const struct trend *t)
{
	assert_true(isfinite(t->per_min) && isfinite(t->per_min_low) && isfinite(t->per_min_high));
	assert_true(isfinite(t->r2) && t->r2 >= 0 && t->r2 <= 1 + 1e-9);
	assert_false(isnan(t->certain_low));
	assert_true(t->per_min_low <= t->per_min && t->per_min <= t->per_min_high);
	assert_true(t->certain_low <= t->per_min);
}

/* ---- the tests ---- */

static void slope_and_r2_are_those_of_all_pairs(void **state)
{
	struct rng r = {42};

	for (int round = 0; round < ROUNDS; round++) {
		static long double slopes[TREND_POINTS_MAX * TREND_POINTS_MAX];
		int64_t t[TREND_POINTS_MAX];
		uint64_t v[TREND_POINTS_MAX], range = 1ull << (rng_next(&r) % 41);
		size_t n = 2 + rng_next(&r) % (TREND_POINTS_MAX - 1), pairs;
		long double from, to;
		double scale;
		struct trend got, alone;

		for (size_t i = 0; i < n; i++) {
			t[i] = (i ? t[i - 1] : 1700000000000000000ll) + 1 +
			       (int64_t)(rng_next(&r) % (2 * MINUTE));
			/* small ranges make many ties */
			v[i] = rng_next(&r) % range + (round % 2 ? range * i / n : 0);
		}
		trend_fit(t, v, n, true, &got);
		pairs = sorted_slopes(t, v, n, slopes);
		scale = (double)(fabsl(slopes[0]) > fabsl(slopes[pairs - 1])
					 ? fabsl(slopes[0])
					 : fabsl(slopes[pairs - 1]));
		assert_near(got.per_min, (slopes[(pairs - 1) / 2] + slopes[pairs / 2]) / 2, scale);
		assert_near(got.r2, naive_r2(t, v, n), 1);
		assert_finite(&got);
		assert_int_equal(got.gaps, n - 1);
		trend_fit(t, v, n, false, &alone);
		naive_interval(slopes, pairs, naive_variance(v, n), &from, &to);
		assert_near(alone.per_min_low, from, scale);
		assert_near(alone.per_min_high, to, scale);
		assert_true(got.per_min_low <= alone.per_min_low);
		assert_true(got.per_min_high >= alone.per_min_high);
	}
}

/* Without ties and without memory the interval is Sen's: ranks (N -+ z sd) / 2 of the sorted slopes. */
static void the_interval_has_sens_ranks(void **state)
{
	const size_t n = 12;
	long double slopes[66];
	/* residuals that alternate have no positive autocorrelation */
	const int noise[] = {0, 9, 2, 11, 1, 8, 3, 10, 0, 7, 4, 12};
	int64_t t[12];
	uint64_t v[12];
	struct trend got;

	for (size_t i = 0; i < n; i++) {
		t[i] = (int64_t)i * MINUTE;
		v[i] = 1000 + 5 * i + (uint64_t)noise[i];
	}
	trend_fit(t, v, n, true, &got);
	assert_int_equal(sorted_slopes(t, v, n, slopes), 66);
	/* n (n - 1) (2 n + 5) / 18 = 212.67; one pair of values is tied: minus 18 / 18; sd = 14.55 */
	/* 1.96 sd = 28.5: ranks (66 - 28.5) / 2 = 18.7 and 66 - 18.7 */
	assert_near(got.per_min_low, slopes[17], 100);
	assert_near(got.per_min_high, slopes[66 - 18], 100);
	/* 4 sd = 58.2: rank (66 - 58.2) / 2 = 3.9 */
	assert_near(got.certain_low, slopes[2], 100);
}

static void neighbours_that_resemble_each_other_widen_the_interval(void **state)
{
	int64_t t[60];
	uint64_t rough[60], smooth[60];
	struct trend a, b;
	struct rng r = {7};

	for (size_t i = 0; i < 60; i++) {
		t[i] = (int64_t)i * MINUTE;
		rough[i] = 1000000 + rng_next(&r) % 1000;
		/* the same amplitude, a wave of twenty points */
		smooth[i] = 1000000 + (i % 20 < 10 ? i % 10 : 10 - i % 10) * 100;
	}
	trend_fit(t, rough, 60, true, &a);
	trend_fit(t, smooth, 60, true, &b);
	assert_true(b.per_min_high - b.per_min_low > 2 * (a.per_min_high - a.per_min_low));
	trend_fit(t, smooth, 60, false, &a);
	assert_true(b.per_min_high - b.per_min_low > 2 * (a.per_min_high - a.per_min_low));
	assert_true(a.per_min == b.per_min);
}

static void a_constant_has_slope_zero_and_an_interval_of_zero(void **state)
{
	int64_t t[20];
	uint64_t v[20];
	struct trend got;

	for (size_t i = 0; i < 20; i++) {
		t[i] = (int64_t)i * MINUTE;
		v[i] = 1ull << 40;
	}
	trend_fit(t, v, 20, true, &got);
	assert_finite(&got);
	assert_true(got.per_min == 0 && got.per_min_low == 0 && got.per_min_high == 0);
	assert_true(got.r2 == 1);
	assert_int_equal(got.grew, 0);
}

static void a_straight_line_is_itself(void **state)
{
	int64_t t[3] = {0, MINUTE, 3 * MINUTE};
	uint64_t up[3] = {100, 200, 400}, down[3] = {400, 300, 100};
	struct trend got;

	trend_fit(t, up, 3, true, &got);
	assert_near(got.per_min, 100, 1);
	assert_near(got.r2, 1, 1);
	assert_int_equal(got.grew, 2);
	/* three points have too few pairs for an interval: the extremes, and nothing is certain */
	assert_near(got.per_min_low, 100, 1);
	assert_true(got.certain_low < -1e300);
	trend_fit(t, down, 3, true, &got);
	assert_near(got.per_min, -100, 1);
	assert_int_equal(got.grew, 0);
}

static void a_single_outlier_does_not_move_the_slope(void **state)
{
	int64_t t[30];
	uint64_t v[30];
	struct trend got;

	for (size_t i = 0; i < 30; i++) {
		t[i] = (int64_t)i * MINUTE;
		v[i] = 1000 * i;
	}
	v[29] = 1ull << 50;
	trend_fit(t, v, 30, true, &got);
	assert_near(got.per_min, 1000, 1);
}

static void values_up_to_two_to_the_sixty_keep_their_slope(void **state)
{
	int64_t t[10];
	uint64_t v[10];
	struct trend got;

	for (size_t i = 0; i < 10; i++) {
		t[i] = (int64_t)i * MINUTE;
		v[i] = (1ull << 60) - 10000 + 1000 * i;
	}
	trend_fit(t, v, 10, true, &got);
	assert_near(got.per_min, 1000, 1);
	assert_near(got.r2, 1, 1);
	for (size_t i = 0; i < 10; i++)
		v[i] = i % 2 ? 0 : 1ull << 60;
	trend_fit(t, v, 10, true, &got);
	assert_finite(&got);
	v[0] = UINT64_MAX;
	v[1] = 0;
	trend_fit(t, v, 10, true, &got);
	assert_finite(&got);
}

static void equal_times_are_no_pairs(void **state)
{
	int64_t t[4] = {5, 5, 5, 5}, some[4] = {0, 0, MINUTE, MINUTE};
	uint64_t v[4] = {1, 2, 3, 4};
	struct trend got;

	trend_fit(t, v, 4, true, &got);
	assert_finite(&got);
	assert_true(got.per_min == 0);
	trend_fit(some, v, 4, true, &got);
	assert_finite(&got);
	assert_near(got.per_min, 2, 1);
}

static void two_points_are_enough_for_a_slope(void **state)
{
	int64_t t[2] = {0, MINUTE / 2};
	uint64_t v[2] = {10, 15};
	struct trend got;

	trend_fit(t, v, 2, true, &got);
	assert_near(got.per_min, 10, 1);
	assert_finite(&got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slope_and_r2_are_those_of_all_pairs),
		cmocka_unit_test(the_interval_has_sens_ranks),
		cmocka_unit_test(neighbours_that_resemble_each_other_widen_the_interval),
		cmocka_unit_test(a_constant_has_slope_zero_and_an_interval_of_zero),
		cmocka_unit_test(a_straight_line_is_itself),
		cmocka_unit_test(a_single_outlier_does_not_move_the_slope),
		cmocka_unit_test(values_up_to_two_to_the_sixty_keep_their_slope),
		cmocka_unit_test(equal_times_are_no_pairs),
		cmocka_unit_test(two_points_are_enough_for_a_slope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
