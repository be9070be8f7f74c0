/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock that intervals are measured with. */
#ifndef TM_BASE_CLOCK_H
#define TM_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/** from + seconds (>= 0), saturating at INT64_MAX. */
static inline int64_t clock_after(int64_t from_ns, double seconds)
{
	double ns = seconds * 1e9;
	int64_t at;

	if (ns >= (double)INT64_MAX || __builtin_add_overflow(from_ns, (int64_t)ns, &at))
		return INT64_MAX;
	return at;
}

#endif
