/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "snapshot/snapshot.h"

static void a_new_snapshot_is_empty_and_claims_nothing(void **state)
{
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in);

	assert_non_null(s);
	assert_ptr_equal(s->strings, in);
	assert_int_equal(s->stack_count, 0);
	assert_int_equal(s->live_bytes, 0);
	assert_true(s->cost_cpu_ratio < 0);
	assert_false(s->coverage[SNAP_PYTHON].known);
	snapshot_free(s);
	snapshot_free(NULL);
	intern_free(in);
}

static void a_stack_keeps_a_copy_of_its_frames(void **state)
{
	struct snap_frame frames[2] = {{{1}, {2}, 10}, {{3}, {4}, 0}};
	struct snapshot *s = snapshot_new(NULL);

	assert_int_equal(snapshot_add(s, SNAP_PYTHON, frames, 1, false, 100, 2), 0);
	assert_int_equal(snapshot_add(s, SNAP_NATIVE, frames, 2, true, 50, 1), 0);
	frames[0].line = 99;
	assert_int_equal(s->stack_count, 2);
	assert_int_equal(s->frame_count, 3);
	assert_int_equal(s->stacks[0].first_frame, 0);
	assert_int_equal(s->stacks[0].frame_count, 1);
	assert_int_equal(s->stacks[0].domain, SNAP_PYTHON);
	assert_false(s->stacks[0].truncated);
	assert_int_equal(s->stacks[1].first_frame, 1);
	assert_int_equal(s->stacks[1].frame_count, 2);
	assert_int_equal(s->stacks[1].domain, SNAP_NATIVE);
	assert_true(s->stacks[1].truncated);
	assert_int_equal(s->stacks[1].bytes, 50);
	assert_int_equal(s->stacks[1].blocks, 1);
	assert_int_equal(s->frames[1].line, 10);
	assert_int_equal(s->frames[2].function.v, 4);
	assert_int_equal(s->live_bytes, 150);
	assert_int_equal(s->live_blocks, 3);
	snapshot_free(s);
}

static void an_unknown_stack_has_no_frames(void **state)
{
	struct snapshot *s = snapshot_new(NULL);

	assert_int_equal(snapshot_add(s, SNAP_PYTHON, NULL, 0, false, 16, 1), 0);
	assert_int_equal(s->stacks[0].frame_count, 0);
	assert_int_equal(s->live_bytes, 16);
	snapshot_free(s);
}

static void many_stacks_are_kept_in_order(void **state)
{
	struct snapshot *s = snapshot_new(NULL);

	for (uint32_t i = 0; i < 10000; i++) {
		struct snap_frame f = {{i}, {0}, (int32_t)i};

		assert_int_equal(snapshot_add(s, SNAP_PYTHON, &f, 1, false, i, 1), 0);
	}
	for (uint32_t i = 0; i < 10000; i++)
		assert_int_equal(s->frames[s->stacks[i].first_frame].line, i);
	assert_int_equal(s->live_blocks, 10000);
	assert_int_equal(s->live_bytes, 49995000);
	snapshot_free(s);
}

static void a_stack_past_the_frame_limit_is_cut_and_says_so(void **state)
{
	struct snap_frame *frames = calloc(UINT16_MAX + 1u, sizeof(*frames));
	struct snapshot *s = snapshot_new(NULL);

	assert_int_equal(snapshot_add(s, SNAP_PYTHON, frames, UINT16_MAX + 1u, false, 1, 1), 0);
	assert_int_equal(s->stacks[0].frame_count, UINT16_MAX);
	assert_true(s->stacks[0].truncated);
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, frames, UINT16_MAX, false, 1, 1), 0);
	assert_false(s->stacks[1].truncated);
	free(frames);
	snapshot_free(s);
}

static void a_stack_that_does_not_fit_changes_nothing(void **state)
{
	struct snap_frame f = {{1}, {0}, 1};
	struct snapshot *s = snapshot_new(NULL);

	s->frame_count = UINT32_MAX;
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, &f, 1, false, 1, 1), -ENOMEM);
	assert_int_equal(s->stack_count, 0);
	assert_int_equal(s->live_bytes, 0);
	assert_int_equal(s->live_blocks, 0);
	snapshot_free(s);
}

static void domains_have_the_numbers_of_tracemalloc(void **state)
{
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in);
	uint8_t domain;

	assert_int_equal(snapshot_domain_of(s, 0, &domain), 0);
	assert_int_equal(domain, SNAP_PYTHON);
	assert_int_equal(snapshot_domain_of(s, 0x746d6201, &domain), 0);
	assert_int_equal(domain, SNAP_NATIVE);
	assert_int_equal(s->foreign_count, 0);
	assert_int_equal(snapshot_domain_of(s, 389047, &domain), 0);
	assert_int_equal(domain, SNAP_DOMAINS);
	assert_int_equal(snapshot_domain_of(s, UINT32_MAX, &domain), 0);
	assert_int_equal(domain, SNAP_DOMAINS + 1);
	assert_int_equal(snapshot_domain_of(s, 389047, &domain), 0);
	assert_int_equal(domain, SNAP_DOMAINS);
	assert_int_equal(snapshot_domain_number(s, SNAP_PYTHON), 0);
	assert_int_equal(snapshot_domain_number(s, SNAP_NATIVE), 0x746d6201);
	assert_int_equal(snapshot_domain_number(s, SNAP_DOMAINS + 1), UINT32_MAX);
	assert_int_equal(snapshot_domain_number(s, 77), 77);
	snapshot_free(s);
	intern_free(in);
}

static void there_is_an_end_to_foreign_domains(void **state)
{
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in);
	uint8_t domain = 0;

	for (uint32_t i = 1; i <= SNAP_FOREIGN_MAX; i++)
		assert_int_equal(snapshot_domain_of(s, i, &domain), 0);
	assert_int_equal(domain, UINT8_MAX);
	assert_int_equal(snapshot_domain_of(s, 1000, &domain), -ERANGE);
	assert_int_equal(snapshot_domain_of(s, SNAP_FOREIGN_MAX, &domain), 0);
	assert_int_equal(snapshot_domain_number(s, UINT8_MAX), SNAP_FOREIGN_MAX);
	snapshot_free(s);
	intern_free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_snapshot_is_empty_and_claims_nothing),
		cmocka_unit_test(a_stack_keeps_a_copy_of_its_frames),
		cmocka_unit_test(an_unknown_stack_has_no_frames),
		cmocka_unit_test(many_stacks_are_kept_in_order),
		cmocka_unit_test(a_stack_past_the_frame_limit_is_cut_and_says_so),
		cmocka_unit_test(a_stack_that_does_not_fit_changes_nothing),
		cmocka_unit_test(domains_have_the_numbers_of_tracemalloc),
		cmocka_unit_test(there_is_an_end_to_foreign_domains),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
