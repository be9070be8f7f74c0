/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/leaks_clock.h"
#include "base/cleanup.h"

#define SECOND 1000000000ll
#define N      40

static int64_t times[N], clock_ns[N];
static uint64_t allocs[N];

/* A snapshot a minute, 600 blocks between two. */
static void make_steady(void)
{
	for (int i = 0; i < N; i++) {
		times[i] = 1000 * SECOND + i * 60 * SECOND;
		allocs[i] = 600 * (uint64_t)i;
	}
}

static void move_from(int first, int64_t ns, uint64_t blocks)
{
	for (int i = first; i < N; i++) {
		times[i] += ns;
		allocs[i] += blocks;
	}
}

static void even_times_stay_as_they_are(void **state)
{
	struct leak_pauses p;

	make_steady();
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_memory_equal(clock_ns, times, sizeof(times));
	assert_int_equal(p.count, 0);
}

static void a_pause_is_cut_out_before_the_end(void **state)
{
	struct leak_pauses p;

	make_steady();
	move_from(15, 3600 * SECOND, 0);
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_int_equal(p.count, 1);
	assert_true(p.seconds == 3600);
	for (int i = 0; i < N; i++) {
		assert_int_equal(clock_ns[i], times[i] + (i < 15 ? 3600 * SECOND : 0));
		assert_int_equal(leak_clock_time(times, clock_ns, N, clock_ns[i]), times[i]);
	}
}

/* Snapshots that are missing, of a process that went on. */
static void a_gap_with_activity_is_no_pause(void **state)
{
	struct leak_pauses p;

	make_steady();
	move_from(15, 3600 * SECOND, 36000);
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_memory_equal(clock_ns, times, sizeof(times));
	assert_int_equal(p.count, 0);
}

static void without_counts_nothing_is_cut(void **state)
{
	struct leak_pauses p;

	make_steady();
	move_from(15, 3600 * SECOND, 0);
	for (int i = 0; i < N; i++)
		allocs[i] = 0;
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_memory_equal(clock_ns, times, sizeof(times));
	/* nor where they go back */
	make_steady();
	move_from(15, 3600 * SECOND, 0);
	for (int i = 15; i < N; i++)
		allocs[i] -= 5000;
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_memory_equal(clock_ns, times, sizeof(times));
}

static void few_and_equal_times_do_no_harm(void **state)
{
	struct leak_pauses p;

	make_steady();
	leak_clock(times, allocs, 1, clock_ns, &p);
	assert_int_equal(clock_ns[0], times[0]);
	leak_clock(times, allocs, 2, clock_ns, &p);
	assert_int_equal(clock_ns[1], times[1]);
	for (int i = 0; i < N; i++)
		times[i] = i < N - 1 ? 5 : INT64_MAX;
	leak_clock(times, allocs, N, clock_ns, &p);
	assert_int_equal(clock_ns[0], 5);
	assert_int_equal(leak_usual_step(times, N), 0);
	assert_int_equal(leak_usual_step(times, 1), 0);
	assert_int_equal(leak_usual_step(times, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(even_times_stay_as_they_are),
		cmocka_unit_test(a_pause_is_cut_out_before_the_end),
		cmocka_unit_test(a_gap_with_activity_is_no_pause),
		cmocka_unit_test(without_counts_nothing_is_cut),
		cmocka_unit_test(few_and_equal_times_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
