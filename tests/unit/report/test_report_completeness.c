/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

#include <math.h>

static void assert_ledger(const struct snapshot *s, const char *expected)
{
	_cleanup_(buf_release) struct buf b = {0};

	completeness_write(&b, s, 25);
	assert_string_equal(b.data, expected);
}

static void an_unmeasured_snapshot_says_so(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	assert_ledger(s, "coverage python n/a, native n/a; lost: nothing\n");
	assert_true(completeness_is_full(s));
	assert_true(isnan(coverage_ratio(&s->coverage[0])));
	s->coverage[SNAP_PYTHON].known = true;
	assert_ledger(s, "coverage python n/a (recorded 0, missed 0), native n/a; lost: nothing\n");
	assert_true(isnan(coverage_ratio(&s->coverage[0])));
}

static void pools_mode_names_what_it_leaves_out(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	assert_false(completeness_leaves_out(s));
	s->mode = "pools";
	assert_ledger(s, "coverage python n/a, native n/a (blocks of malloc below 1033 B left "
			 "out); lost: nothing\n");
	assert_true(completeness_leaves_out(s) && completeness_is_full(s));
	s->mode = "exact";
	s->gap.from_ns = ATTACH_NS;
	assert_true(completeness_leaves_out(s));
}

static void coverage_is_shown_with_its_counts(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);

	assert_ledger(s, "coverage python 99.99% (recorded 141233, missed 3), native n/a; "
			 "lost: nothing\n");
	assert_false(completeness_is_full(s));
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 5, 0, 2};
	s->coverage[SNAP_NATIVE] = (struct snap_coverage){true, 7, 0, 0};
	assert_ledger(s, "coverage python 100% (recorded 5, missed 0, moving 2), "
			 "native 100% (recorded 7, missed 0); lost: nothing\n");
	assert_true(completeness_is_full(s));
	assert_true(coverage_ratio(&s->coverage[0]) == 1);
}

static void one_missed_block_of_a_million_is_not_100_percent(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 99999999, 1, 0};
	assert_ledger(s, "coverage python 99.99% (recorded 99999999, missed 1), native n/a; "
			 "lost: nothing\n");
}

static void low_coverage_is_said_plainly(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 990, 10, 0};
	s->coverage[SNAP_NATIVE] = (struct snap_coverage){true, 7, 1, 0};
	assert_ledger(s, "coverage python 99.00% (recorded 990, missed 10), "
			 "native 87.50% (recorded 7, missed 1); lost: nothing\n"
			 "  the native numbers are too low: 1 of 8 live blocks have no record\n");
	s->coverage[SNAP_PYTHON].recorded = 989;
	assert_ledger(s, "coverage python 98.99% (recorded 989, missed 10), "
			 "native 87.50% (recorded 7, missed 1); lost: nothing\n"
			 "  the python numbers are too low: 10 of 999 live blocks have no record\n"
			 "  the native numbers are too low: 1 of 8 live blocks have no record\n");
}

static void losses_are_counted_and_explained(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	s->drops[TM_DROP_RING_FULL] = 12;
	s->drops[TM_DROP_LIVE_TABLE] = 3;
	assert_false(completeness_is_full(s));
	assert_ledger(s,
		      "coverage python n/a, native n/a; lost: ring_full 12, live_table_full 3\n"
		      "  lost ring_full: a new stack did not fit the ring buffer; its blocks are "
		      "attributed to <lost>\n"
		      "  lost live_table_full: the table of malloc blocks is full; block not "
		      "recorded\n");
}

static void every_reason_is_shown(void **state)
{
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
		_cleanup_(buf_release) struct buf b = {0};

		s->drops[i] = 77;
		completeness_write(&b, s, 25);
		assert_non_null(strstr(b.data, losses_get((enum tm_drop)i)->key));
		assert_non_null(strstr(b.data, " 77\n"));
		assert_false(completeness_is_full(s));
	}
	assert_string_equal(losses_get(TM_DROP_RING_FULL)->key, "ring_full");
	assert_string_equal(losses_get(TM_DROP_MOVING)->key, "pools_moving");
	assert_string_equal(snapshot_domain_name(SNAP_PYTHON), "python");
	assert_string_equal(snapshot_domain_name(SNAP_NATIVE), "native");
}

static void cut_stacks_are_counted(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);

	s->coverage[SNAP_PYTHON].known = false;
	s->stacks[1].truncated = true;
	assert_ledger(s, "coverage python n/a, native n/a; lost: nothing; 1 of 3 stacks cut at 25 "
			 "frames\n");
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_unmeasured_snapshot_says_so),
		CASE(pools_mode_names_what_it_leaves_out),
		CASE(coverage_is_shown_with_its_counts),
		CASE(one_missed_block_of_a_million_is_not_100_percent),
		CASE(low_coverage_is_said_plainly),
		CASE(losses_are_counted_and_explained),
		CASE(every_reason_is_shown),
		CASE(cut_stacks_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
