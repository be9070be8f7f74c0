/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All pairs: at most 2,016 slopes. Selects five ranks instead of sorting, which is faster. */
#include "analyze/leaks_trend.h"

#include <math.h>

#define PAIRS_MAX  (TREND_POINTS_MAX * (TREND_POINTS_MAX - 1) / 2)
#define NS_PER_MIN 6e10
#define Z_95	   1.959963984540054

/*
 * Newton from above instead of sqrt(): the program does not link libm. 0 for values that are not
 * positive.
 */
static double square_root(double x)
{
	double r = x > 1 ? x : 1;

	if (!(x > 0))
		return 0;
	for (int i = 0; i < 1100; i++) { /* a double has 1,075 halvings from largest to 1 */
		double next = 0.5 * (r + x / r);

		if (next >= r)
			break;
		r = next;
	}
	return r;
}

static double signed_difference(uint64_t to, uint64_t from)
{
	return to >= from ? (double)(to - from) : -(double)(from - to);
}

/* The k-th smallest (from 0) of a[0..n): Hoare's selection; partly sorts a. */
static double select_rank(double *a, size_t n, size_t k)
{
	size_t left = 0, right = n - 1;

	while (left < right) {
		double pivot = a[left + (right - left) / 2];
		size_t i = left, j = right;

		for (;;) {
			double held;

			while (a[i] < pivot)
				i++;
			while (a[j] > pivot)
				j--;
			if (i >= j)
				break;
			held = a[i];
			a[i++] = a[j];
			a[j--] = held;
		}
		/* a[..j] <= pivot <= a[j+1..], and j < right because the pivot is not the last */
		if (k <= j)
			right = j;
		else
			left = j + 1;
	}
	return a[k];
}

/* Take the share of tied values out of the variance of S, because ties have no direction. */
static double tie_term(const uint64_t *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++) {
		size_t equal = 0;
		bool seen = false;

		for (size_t j = 0; j < n; j++) {
			if (v[j] != v[i])
				continue;
			seen |= j < i;
			equal++;
		}
		if (!seen)
			sum += (double)equal * (double)(equal - 1) * (double)(2 * equal + 5);
	}
	return sum;
}

/* By how much the variance grows because the residuals of neighbours resemble each other; >= 1. */
static double variance_inflation(const int64_t *t, const uint64_t *v, size_t n, double per_min)
{
	double e[TREND_POINTS_MAX], mean = 0, same = 0, next = 0, r;

	for (size_t i = 0; i < n; i++) {
		e[i] = signed_difference(v[i], v[0]) -
		       per_min * ((double)(t[i] - t[0]) / NS_PER_MIN);
		mean += e[i] / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		same += (e[i] - mean) * (e[i] - mean);
		if (i)
			next += (e[i] - mean) * (e[i - 1] - mean);
	}
	if (!(same > 0))
		return 1;
	r = next / same;
	/* A short series shows less of it than there is (Marriott and Pope 1954). */
	r += (1 + 4 * r) / (double)n;
	if (r <= 0)
		return 1;
	if (r > 0.99)
		r = 0.99;
	return (1 + r) / (1 - r);
}

static double r_squared(const int64_t *t, const uint64_t *v, size_t n)
{
	double mx = 0, my = 0, sxx = 0, syy = 0, sxy = 0;

	for (size_t i = 0; i < n; i++) {
		mx += (double)(t[i] - t[0]) / NS_PER_MIN / (double)n;
		my += signed_difference(v[i], v[0]) / (double)n;
	}
	for (size_t i = 0; i < n; i++) {
		double dx = (double)(t[i] - t[0]) / NS_PER_MIN - mx;
		double dy = signed_difference(v[i], v[0]) - my;

		sxx += dx * dx;
		syy += dy * dy;
		sxy += dx * dy;
	}
	if (!(syy > 0) || !(sxx > 0))
		return 1;
	return sxy * sxy / sxx / syy;
}

/* The slopes that leave `half` ranks on each side of the middle; false: there are not so many. */
static bool slope_interval(double *slopes, size_t pairs, double half, double *low, double *high)
{
	double below = ((double)pairs - half) / 2;
	size_t rank;

	if (below < 1)
		return false;
	rank = (size_t)below - 1;
	*low = select_rank(slopes, pairs, rank);
	*high = select_rank(slopes, pairs, pairs - 1 - rank);
	return true;
}

static size_t fill_slopes(const int64_t *t, const uint64_t *v, size_t n, double *slopes)
{
	size_t pairs = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t j = i + 1; j < n; j++) {
			if (t[j] > t[i])
				slopes[pairs++] = signed_difference(v[j], v[i]) /
						  ((double)(t[j] - t[i]) / NS_PER_MIN);
		}
	}
	return pairs;
}

void trend_fit(const int64_t *time_ns, const uint64_t *value, size_t n, bool with_memory,
	       struct trend *out)
{
	double slopes[PAIRS_MAX], variance, sd, count = (double)n, unused;
	size_t pairs = fill_slopes(time_ns, value, n, slopes);

	*out = (struct trend){.certain_low = -HUGE_VAL, .r2 = 1};
	for (size_t i = 1; i < n; i++, out->gaps++)
		out->grew += value[i] > value[i - 1];
	if (!pairs)
		return;
	out->per_min = (select_rank(slopes, pairs, (pairs - 1) / 2) +
			select_rank(slopes, pairs, pairs / 2)) /
		       2;
	out->r2 = r_squared(time_ns, value, n);
	variance = (count * (count - 1) * (2 * count + 5) - tie_term(value, n)) / 18;
	if (with_memory)
		variance *= variance_inflation(time_ns, value, n, out->per_min);
	sd = square_root(variance);
	if (!slope_interval(slopes, pairs, Z_95 * sd, &out->per_min_low, &out->per_min_high)) {
		out->per_min_low = select_rank(slopes, pairs, 0);
		out->per_min_high = select_rank(slopes, pairs, pairs - 1);
	}
	if (!slope_interval(slopes, pairs, TREND_CERTAIN_Z * sd, &out->certain_low, &unused))
		out->certain_low = -HUGE_VAL;
}
