/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "probe/shielded.h"

static unsigned slow_calls;

static void count_slow(void)
{
	slow_calls++;
}

static int sleep_ms(const void *arg)
{
	const unsigned *ms = arg;
	struct timespec ts = {.tv_sec = *ms / 1000, .tv_nsec = (long)(*ms % 1000) * 1000000};

	nanosleep(&ts, NULL);
	return (int)*ms;
}

static void what_takes_over_a_second_is_reported_once(void **state)
{
	unsigned fast = 10, slow = 1300;
	int ret;

	slow_calls = 0;
	assert_true(shielded_call(sleep_ms, &fast, count_slow, &ret));
	assert_int_equal(ret, 10);
	assert_int_equal(slow_calls, 0);
	assert_true(shielded_call(sleep_ms, &slow, count_slow, &ret));
	assert_int_equal(ret, 1300);
	assert_int_equal(slow_calls, 1);
	assert_true(shielded_call(sleep_ms, &slow, NULL, &ret));
	assert_int_equal(slow_calls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_takes_over_a_second_is_reported_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
