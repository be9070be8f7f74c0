/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/compare.h"

static struct intern *old_pool;
static struct snapshot *old_snap;
static struct statistics now, old;
static struct statistic_diffs diffs;

static int setup(void **state)
{
	old_pool = intern_new();
	old_snap = old_pool ? snapshot_new(old_pool) : NULL;
	return old_snap ? snap_setup(state) : -1;
}

static int teardown(void **state)
{
	statistic_diffs_release(&diffs);
	statistics_release(&now);
	statistics_release(&old);
	snapshot_free(old_snap);
	intern_free(old_pool);
	return snap_teardown(state);
}

static void compare(enum stat_key key, enum diff_sort sort)
{
	struct stat_opts opts = {.key = key};

	statistic_diffs_release(&diffs);
	statistics_release(&now);
	statistics_release(&old);
	assert_int_equal(statistics_make(snap, &opts, &now), 0);
	assert_int_equal(statistics_make(old_snap, &opts, &old), 0);
	assert_int_equal(statistics_compare(&now, &old, sort, 0, &diffs), 0);
}

static void assert_diff(size_t i, const char *file, uint64_t size, int64_t size_diff,
			uint64_t count, int64_t count_diff)
{
	const struct statistic_diff *d = &diffs.items[i];
	const struct snap_frame *frames;
	size_t n;

	assert_true(i < diffs.count);
	frames = statistic_frames(d->group, &n);
	assert_string_equal(intern_get(d->in->snap->strings, frames[0].file), file);
	assert_int_equal(d->size, size);
	assert_int_equal(d->size_diff, size_diff);
	assert_int_equal(d->count, count);
	assert_int_equal(d->count_diff, count_diff);
}

/* The numbers of create_snapshots() in Lib/test/test_tracemalloc.py. */
static void fill_both(void)
{
	ADD_TO(old_snap, SNAP_PYTHON, 30, 3, frame_in(old_pool, "a.py", 2, NULL),
	       frame_in(old_pool, "b.py", 4, NULL));
	ADD_TO(old_snap, SNAP_PYTHON, 2, 1, frame_in(old_pool, "a.py", 5, NULL),
	       frame_in(old_pool, "b.py", 4, NULL));
	ADD_TO(old_snap, SNAP_PYTHON, 66, 1, frame_in(old_pool, "b.py", 1, NULL));
	ADD_TO(old_snap, SNAP_PYTHON, 7, 1, frame_in(old_pool, "<unknown>", 0, NULL));
	/* interned in another order than the old side */
	ADD(SNAP_PYTHON, 400, 1, frame("c.py", 578, NULL));
	ADD(SNAP_PYTHON, 5002, 2, frame("a.py", 5, NULL), frame("b.py", 4, NULL));
	ADD(SNAP_PYTHON, 30, 3, frame("a.py", 2, NULL), frame("b.py", 4, NULL));
}

static void groups_of_both_sides_come_once_and_by_growth(void **state)
{
	fill_both();
	compare(STAT_LINENO, DIFF_BY_GROWTH);
	assert_int_equal(diffs.count, 5);
	assert_diff(0, "a.py", 5002, 5000, 2, 1);
	assert_diff(1, "c.py", 400, 400, 1, 1);
	assert_diff(2, "b.py", 0, -66, 0, -1);
	assert_diff(3, "<unknown>", 0, -7, 0, -1);
	assert_diff(4, "a.py", 30, 0, 3, 0);
	compare(STAT_TRACEBACK, DIFF_BY_GROWTH);
	assert_int_equal(diffs.count, 5);
	assert_diff(0, "a.py", 5002, 5000, 2, 1);
	assert_diff(4, "a.py", 30, 0, 3, 0);
}

static void other_orders_can_be_asked_for(void **state)
{
	fill_both();
	compare(STAT_FILENAME, DIFF_BY_SIZE);
	assert_diff(0, "a.py", 5032, 5000, 5, 1);
	assert_diff(1, "c.py", 400, 400, 1, 1);
	assert_diff(2, "b.py", 0, -66, 0, -1);
	ADD(SNAP_PYTHON, 1, 9, frame("d.py", 1, NULL));
	compare(STAT_FILENAME, DIFF_BY_COUNT);
	assert_diff(0, "d.py", 1, 1, 9, 9);
	assert_diff(1, "a.py", 5032, 5000, 5, 1);
}

static void one_pool_needs_no_translation(void **state)
{
	struct snapshot *other = snapshot_new(in);
	struct stat_opts opts = {.key = STAT_LINENO};

	assert_non_null(other);
	ADD_TO(other, SNAP_PYTHON, 10, 1, frame("a.py", 1, NULL));
	ADD(SNAP_PYTHON, 30, 2, frame("a.py", 1, NULL));
	assert_int_equal(statistics_make(snap, &opts, &now), 0);
	assert_int_equal(statistics_make(other, &opts, &old), 0);
	assert_int_equal(statistics_compare(&now, &old, DIFF_BY_GROWTH, 0, &diffs), 0);
	assert_int_equal(diffs.count, 1);
	assert_diff(0, "a.py", 30, 20, 2, 1);
	snapshot_free(other);
}

static void native_places_meet_by_their_symbol(void **state)
{
	ADD_TO(old_snap, SNAP_NATIVE, 10, 1, frame_in(old_pool, "libx.so", 0, "new"));
	ADD_TO(old_snap, SNAP_NATIVE, 10, 1, frame_in(old_pool, "libx.so", 0, "dup"));
	ADD(SNAP_NATIVE, 15, 1, frame("libx.so", 0, "dup"));
	compare(STAT_LINENO, DIFF_BY_GROWTH);
	assert_int_equal(diffs.count, 2);
	assert_diff(0, "libx.so", 0, -10, 0, -1);
	assert_diff(1, "libx.so", 15, 5, 1, 0);
}

static void different_keys_are_refused(void **state)
{
	struct stat_opts lines = {.key = STAT_LINENO}, files = {.key = STAT_FILENAME};

	assert_int_equal(statistics_make(snap, &lines, &now), 0);
	assert_int_equal(statistics_make(old_snap, &files, &old), 0);
	assert_int_equal(statistics_compare(&now, &old, DIFF_BY_GROWTH, 0, &diffs), -EINVAL);
}

static void two_empty_sides_have_no_difference(void **state)
{
	compare(STAT_LINENO, DIFF_BY_GROWTH);
	assert_int_equal(diffs.count, 0);
}

static void the_biggest_numbers_can_be_subtracted(void **state)
{
	ADD_TO(old_snap, SNAP_PYTHON, UINT64_MAX, UINT64_MAX, frame_in(old_pool, "a.py", 1, NULL));
	compare(STAT_LINENO, DIFF_BY_GROWTH);
	assert_diff(0, "a.py", 0, -INT64_MAX, 0, -INT64_MAX);
}

#undef CASE
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(groups_of_both_sides_come_once_and_by_growth),
		CASE(other_orders_can_be_asked_for),
		CASE(one_pool_needs_no_translation),
		CASE(native_places_meet_by_their_symbol),
		CASE(different_keys_are_refused),
		CASE(two_empty_sides_have_no_difference),
		CASE(the_biggest_numbers_can_be_subtracted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
