// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "snapshot/trace_end.h"

static void every_reason_has_a_key_of_its_own(void **state)
{
	(void)state;
	for (int a = TRACE_END_NONE + 1; a < TRACE_END_REASONS; a++) {
		assert_true(*trace_end_key((enum trace_end_reason)a));
		for (int b = a + 1; b < TRACE_END_REASONS; b++)
			assert_string_not_equal(trace_end_key((enum trace_end_reason)a),
						trace_end_key((enum trace_end_reason)b));
	}
	assert_string_equal(trace_end_key(TRACE_END_TARGET_OOM), "target-oom");
	assert_int_equal(trace_end_status(TRACE_END_ERROR), 1);
	assert_int_equal(trace_end_status(TRACE_END_TARGET_SIGNAL), 0);
}

static void only_what_ends_the_target_is_gone(void **state)
{
	(void)state;
	for (int i = 0; i < TRACE_END_REASONS; i++) {
		enum trace_end_reason r = (enum trace_end_reason)i;

		assert_int_equal(trace_end_target_gone(r),
				 !strncmp(trace_end_key(r), "target-", 7));
	}
}

static void assert_text(struct trace_end end, const char *expected)
{
	char text[96];

	assert_string_equal(trace_end_text(&end, text, sizeof(text)), expected);
}

static void the_text_has_the_number_when_it_is_known(void **state)
{
	(void)state;
	assert_text((struct trace_end){.reason = TRACE_END_TARGET_EXIT}, "has exited");
	assert_text((struct trace_end){.reason = TRACE_END_TARGET_EXIT, .code_known = true},
		    "has exited with status 0");
	assert_text((struct trace_end){.reason = TRACE_END_TARGET_SIGNAL,
				       .code_known = true,
				       .code = 11},
		    "was ended by signal 11 (Segmentation fault)");
	assert_text(
		(struct trace_end){.reason = TRACE_END_TARGET_OOM, .code_known = true, .code = 9},
		"was killed by the kernel because memory ran out (OOM)");
}

static void a_mode_is_found_by_its_key(void **state)
{
	(void)state;
	for (int i = 1; i < TRACE_MODES; i++)
		assert_int_equal(trace_mode_of(trace_mode_key((enum trace_mode)i)), i);
	assert_int_equal(trace_mode_of(NULL), TRACE_MODE_UNKNOWN);
	assert_int_equal(trace_mode_of(""), TRACE_MODE_UNKNOWN);
	assert_int_equal(trace_mode_of("of a later version"), TRACE_MODE_UNKNOWN);
	assert_null(trace_mode_rule(TRACE_MODE_EXACT));
	assert_non_null(trace_mode_rule(TRACE_MODE_POOLS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_a_key_of_its_own),
		cmocka_unit_test(only_what_ends_the_target_is_gone),
		cmocka_unit_test(the_text_has_the_number_when_it_is_known),
		cmocka_unit_test(a_mode_is_found_by_its_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
