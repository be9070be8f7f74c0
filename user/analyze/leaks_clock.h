/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time by which leaks are judged: the time in which the process could do something. A machine that
 * slept, a container that was paused, a process that was stopped shows nothing about growth in that time.
 */
#ifndef TM_ANALYZE_LEAKS_CLOCK_H
#define TM_ANALYZE_LEAKS_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define LEAK_GAP_STEPS \
	4 /* usual distances; a longer gap means missing snapshots or an idle process */

struct leak_pauses {
	size_t count;
	double seconds; /* cut out, all together */
};

/** The middle one of the distances between n times (ascending), ns; 0 for fewer than two, and out of memory. */
int64_t leak_usual_step(const int64_t *time_ns, size_t n);

/**
 * clock_ns[i]: the time of snapshot i without the pauses before the end; the last stays as it is. A pause
 * is a gap of more than LEAK_GAP_STEPS usual distances in which no more was allocated than usually in three.
 * allocs: blocks allocated since attach until each snapshot; without it nothing is cut.
 */
void leak_clock(const int64_t *time_ns, const uint64_t *allocs, size_t n, int64_t *clock_ns,
		struct leak_pauses *out);

/** The time of day of a moment of the clock; the first and last snapshot bound it. */
int64_t leak_clock_time(const int64_t *time_ns, const int64_t *clock_ns, size_t n, int64_t at_ns);

#endif
