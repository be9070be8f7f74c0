/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

#include <math.h>

static struct history hist;

static void update(struct snapshot *s, enum stat_key by)
{
	const struct stat_opts opts = {.key = by, .split_domains = true};
	_cleanup_(statistics_release) struct statistics groups = {0};

	assert_int_equal(statistics_make(s, &opts, &groups), 0);
	assert_int_equal(history_update(&hist, s, &groups), 0);
}

static const struct history_entry *entry_of(const struct snapshot *s, size_t i, enum stat_key by)
{
	const struct stat_opts opts = {.key = by, .split_domains = true};
	_cleanup_(statistics_release) struct statistics groups = {0};

	assert_int_equal(statistics_make(s, &opts, &groups), 0);
	assert_true(i < groups.count);
	return history_get(&hist, &groups, &groups.items[i]);
}

static int setup(void **state)
{
	hist = (struct history){0};
	return story_setup(state);
}

static int teardown(void **state)
{
	history_release(&hist);
	return story_teardown(state);
}

static void an_empty_history_knows_nothing(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct statistics none = {.snap = s};

	assert_null(entry_of(s, 0, STAT_LINENO));
	assert_int_equal(history_update(&hist, s, &none), 0);
	assert_null(entry_of(s, 0, STAT_LINENO));
	assert_int_equal(hist.intervals, 1);
	history_release(&hist);
	assert_int_equal(hist.intervals, 0);
}

static void growth_is_counted_and_rated_against_the_interval_before(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_snapshot(1);
	_cleanup_(snapshot_freep) struct snapshot *b = story_snapshot(2);
	_cleanup_(snapshot_freep) struct snapshot *c = story_snapshot(4);
	const struct history_entry *e;

	ADD(a, SNAP_PYTHON, 1000, 1, frame("a.py", 1, "f"));
	ADD(b, SNAP_PYTHON, 3000, 1, frame("a.py", 1, "f"));
	ADD(c, SNAP_PYTHON, 1000, 1, frame("a.py", 1, "f"));
	update(a, STAT_LINENO);
	e = entry_of(a, 0, STAT_LINENO);
	assert_true(e->bytes_per_s == 100);
	assert_int_equal(e->grew, 1);
	update(b, STAT_LINENO);
	e = entry_of(b, 0, STAT_LINENO);
	assert_true(e->bytes_per_s == 200);
	assert_int_equal(e->grew, 2);
	update(c, STAT_LINENO); /* twenty seconds later, and smaller */
	e = entry_of(c, 0, STAT_LINENO);
	assert_true(e->bytes_per_s == -100);
	assert_int_equal(e->grew, 2);
	c->elapsed_s = 50;
	update(c, STAT_LINENO); /* as it was: that is not growth */
	e = entry_of(c, 0, STAT_LINENO);
	assert_true(e->bytes_per_s == 0);
	assert_int_equal(e->grew, 2);
	assert_int_equal(hist.intervals, 4);
}

static void sites_are_told_apart_by_domain_line_symbol_and_callers(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	ADD(s, SNAP_PYTHON, 500, 1, frame("a.py", 1, "f"), frame("m.py", 1, "m"));
	ADD(s, SNAP_NATIVE, 400, 1, frame("a.py", 1, "f"), frame("m.py", 1, "m"));
	ADD(s, SNAP_PYTHON, 300, 1, frame("a.py", 2, "f"), frame("m.py", 1, "m"));
	ADD(s, SNAP_NATIVE, 200, 1, frame("lib.so", 0, "x"), frame("m.py", 1, "m"));
	ADD(s, SNAP_NATIVE, 100, 1, frame("lib.so", 0, "y"), frame("m.py", 1, "m"));
	update(s, STAT_LINENO);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(entry_of(s, i, STAT_LINENO)->bytes, 500 - 100 * i);
	ADD(s, SNAP_PYTHON, 50, 1, frame("a.py", 1, "f"), frame("m.py", 2, "m"));
	update(s, STAT_TRACEBACK);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(entry_of(s, i, STAT_TRACEBACK)->bytes, 500 - 100 * i);
	assert_int_equal(entry_of(s, 5, STAT_TRACEBACK)->bytes, 50);
}

static void without_time_between_there_is_no_rate(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);

	s->elapsed_s = 0;
	update(s, STAT_LINENO);
	assert_true(isnan(entry_of(s, 0, STAT_LINENO)->bytes_per_s));
	assert_int_equal(entry_of(s, 0, STAT_LINENO)->grew, 1);
}

static void a_site_that_was_gone_starts_anew(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_interval(1);
	_cleanup_(snapshot_freep) struct snapshot *none = story_snapshot(2);
	_cleanup_(snapshot_freep) struct snapshot *c = story_interval(3);

	update(a, STAT_LINENO);
	update(none, STAT_LINENO);
	assert_null(entry_of(a, 0, STAT_LINENO));
	update(c, STAT_LINENO);
	assert_int_equal(entry_of(c, 0, STAT_LINENO)->grew, 1);
}

static void beyond_the_limit_the_smallest_are_forgotten_and_not_rated(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_snapshot(1);
	_cleanup_(snapshot_freep) struct snapshot *b = story_snapshot(2);

	for (int i = 0; i < HISTORY_MAX + 10; i++)
		ADD(a, SNAP_PYTHON, 1000000 - (uint64_t)i, 1, frame("a.py", i + 1, "f"));
	update(a, STAT_LINENO);
	assert_int_equal(idmap_count(hist.index), HISTORY_MAX);
	assert_non_null(entry_of(a, HISTORY_MAX - 1, STAT_LINENO));
	assert_null(entry_of(a, HISTORY_MAX, STAT_LINENO));
	/* The last one was not remembered: its rate is not "from zero". */
	ADD(b, SNAP_PYTHON, 2000000, 1, frame("a.py", HISTORY_MAX + 10, "f"));
	ADD(b, SNAP_PYTHON, 1000010, 1, frame("a.py", 1, "f"));
	update(b, STAT_LINENO);
	assert_true(isnan(entry_of(b, 0, STAT_LINENO)->bytes_per_s));
	assert_true(entry_of(b, 1, STAT_LINENO)->bytes_per_s == 1);
}

/* The bytes of a line at the end of each interval, and the growth that is then held for steady. */
static void growth_is_steady_when_it_goes_on(void **state)
{
	static const struct {
		uint64_t bytes[6]; /* 0: the end */
		uint64_t growth;
	} rows[] = {
		{{1000}, 0},		       /* everything starts at zero */
		{{1000, 1000, 1000}, 0},       /* a plateau */
		{{1000, 900, 1000, 900}, 0},   /* it goes up and down */
		{{1000, 2000, 1500, 1800}, 0}, /* below its peak */
		{{1000, 1200, 1000, 1300}, 0}, /* as often down as up, nearly */
		{{1000, 2000}, 1000},
		{{1000, 1001, 1000, 1001}, 0},		/* a block more or less */
		{{1000, 1000, 1000, 1010}, 10},		/* a slow leak */
		{{1000, 2000, 3000, 2900, 4000}, 3000}, /* three times up, once down */
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct history_entry *e = NULL;

		for (uint32_t n = 0; n < 6 && rows[i].bytes[n]; n++) {
			_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(n + 1);

			ADD(s, SNAP_PYTHON, rows[i].bytes[n], 1, frame("a.py", 1, "f"));
			update(s, STAT_LINENO);
			e = entry_of(s, 0, STAT_LINENO);
		}
		assert_non_null(e);
		assert_int_equal(history_steady_growth(e), rows[i].growth);
		history_release(&hist);
	}
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_empty_history_knows_nothing),
		CASE(growth_is_counted_and_rated_against_the_interval_before),
		CASE(sites_are_told_apart_by_domain_line_symbol_and_callers),
		CASE(without_time_between_there_is_no_rate),
		CASE(a_site_that_was_gone_starts_anew),
		CASE(growth_is_steady_when_it_goes_on),
		CASE(beyond_the_limit_the_smallest_are_forgotten_and_not_rated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
