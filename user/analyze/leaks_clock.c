/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "analyze/leaks_clock.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define PAUSE_STEPS 3 /* of activity: those at both ends of a pause, and some doubt */

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int64_t leak_usual_step(const int64_t *time_ns, size_t n)
{
	_cleanup_free_ int64_t *steps = n > 1 ? calloc(n - 1, sizeof(*steps)) : NULL;

	if (!steps)
		return 0;
	for (size_t i = 1; i < n; i++)
		steps[i - 1] = time_ns[i] - time_ns[i - 1];
	qsort(steps, n - 1, sizeof(*steps), by_value);
	return steps[(n - 1) / 2];
}

/* Blocks a nanosecond where there is no gap. */
static double usual_rate(const int64_t *time_ns, const uint64_t *allocs, size_t n, int64_t gap)
{
	double blocks = 0, ns = 0;

	for (size_t i = 1; i < n; i++) {
		if (time_ns[i] - time_ns[i - 1] > gap || allocs[i] < allocs[i - 1])
			continue;
		blocks += (double)(allocs[i] - allocs[i - 1]);
		ns += (double)(time_ns[i] - time_ns[i - 1]);
	}
	return ns > 0 ? blocks / ns : 0;
}

void leak_clock(const int64_t *time_ns, const uint64_t *allocs, size_t n, int64_t *clock_ns,
		struct leak_pauses *out)
{
	int64_t usual = leak_usual_step(time_ns, n), gap = LEAK_GAP_STEPS * usual;
	double most = PAUSE_STEPS * usual_rate(time_ns, allocs, n, gap) * (double)usual;

	*out = (struct leak_pauses){0};
	for (size_t i = n; i-- > 0;) {
		int64_t step = i + 1 < n ? time_ns[i + 1] - time_ns[i] : 0;

		clock_ns[i] = i + 1 < n ? clock_ns[i + 1] - step : time_ns[i];
		if (step <= gap || !usual || allocs[i + 1] < allocs[i] ||
		    (double)(allocs[i + 1] - allocs[i]) >= most)
			continue;
		clock_ns[i] += step - usual;
		out->count++;
		out->seconds += (double)(step - usual) / 1e9;
	}
}

int64_t leak_clock_time(const int64_t *time_ns, const int64_t *clock_ns, size_t n, int64_t at_ns)
{
	size_t i = 0;

	while (i + 1 < n && clock_ns[i + 1] <= at_ns)
		i++;
	return time_ns[i] + (at_ns > clock_ns[i] ? at_ns - clock_ns[i] : 0);
}
