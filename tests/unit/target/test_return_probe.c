/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "target/return_probe.h"

#define STATUS(seccomp) "Name:\tx\nNoNewPrivs:\t1\nSeccomp:\t" seccomp "\nSeccomp_filters:\t1\n"

static void only_three_kernels_kill_and_only_with_a_filter(void **state)
{
	const struct {
		const char *release, *status;
		bool kills;
	} cases[] = {
		{"6.10.9", STATUS("2"), false},
		{"6.11.0", STATUS("2"), true},
		{"6.12.9-amd64", STATUS("2"), true},
		{"6.13.0-rc1", STATUS("1"), true},
		{"6.14.0", STATUS("2"), false},
		{"6.12.9-amd64", STATUS("0"), false},
		{"5.12.1", STATUS("2"), false},
		{"7.12.0", STATUS("2"), false},
		{"6.1.0-13-amd64", STATUS("2"), false},
		{"odd", STATUS("2"), false},
		{"6.12.0", "", true}, /* not readable: not risked */
		{"6.12.0", "Name:\tx\nSeccomp:\t\n", true},
		{"6.12.0", "Name:\tSeccomp:\t2\nSeccomp:\t0\n", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (return_probe_kills(cases[i].release, cases[i].status) != cases[i].kills)
			fail_msg("case %zu", i);
}

static void a_process_without_filter_is_asked(void **state)
{
	assert_false(return_probe_kills_process(getpid()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_three_kernels_kill_and_only_with_a_filter),
		cmocka_unit_test(a_process_without_filter_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
