/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The straight line through few noisy points, robustly: Theil-Sen slope (the median of the slopes of
 * all pairs) with Sen's interval, which is widened when neighbouring points resemble each other.
 */
#ifndef TM_ANALYZE_LEAKS_TREND_H
#define TM_ANALYZE_LEAKS_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TREND_POINTS_MAX 64

struct trend {
	double per_min; /* bytes a minute */
	double per_min_low,
		per_min_high; /* 95 % interval; the extremes of all pairs when n is small */
	double certain_low; /* lower end of the interval at TREND_CERTAIN_Z; -HUGE_VAL: n too small */
	double r2; /* 0..1; share of the variance that the straight line explains; 1 when constant */
	unsigned grew, gaps; /* steps from point to point that went up, of how many */
};

#define TREND_CERTAIN_Z 4.0 /* standard errors; one false alarm in 30,000 trendless lines */

/**
 * with_memory: what is not on the line is noise whose neighbours may resemble each other, which widens the
 * interval. Growth that is uneven but never falls is not noise.
 * Needs: n within [2, TREND_POINTS_MAX], times ascending; equal times are skipped as pairs.
 * All results are finite except certain_low; values up to 2^60 keep their slope to 15 digits.
 * Source: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63 (1968);
 * the variance inflation (1 + r) / (1 - r), r the lag-1 autocorrelation of the residuals, as for the
 * variance of a mean of an AR(1) series.
 */
void trend_fit(const int64_t *time_ns, const uint64_t *value, size_t n, bool with_memory,
	       struct trend *out);

#endif
