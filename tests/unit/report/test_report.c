/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

#include <signal.h>
#include <unistd.h>

static const struct report_opts all_lines = {.by = STAT_LINENO};

static struct report *new_text(FILE *to)
{
	struct report *r = NULL;

	assert_int_equal(report_text_new(to, &all_lines, &r), 0);
	assert_non_null(r);
	return r;
}

static void a_report_can_be_made_and_freed_unused(void **state)
{
	struct report *r = NULL;

	report_free(new_text(out));
	assert_int_equal(report_ndjson_new(out, &all_lines, &r), 0);
	report_free(r);
	report_free(NULL);
	assert_written("");
}

static void every_block_is_flushed_at_once(void **state)
{
	struct report_hello h = story_hello();
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report_end end = {.end.reason = TRACE_END_COUNT};
	char got[8192];
	int fds[2];
	FILE *to;
	struct report *r;

	assert_int_equal(pipe(fds), 0);
	to = fdopen(fds[1], "w");
	r = new_text(to);
	/* Nobody calls fflush() here: what read() sees is what the report flushed. */
	assert_int_equal(report_hello(r, &h), 0);
	assert_true(read(fds[0], got, sizeof(got)) > 0);
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_true(read(fds[0], got, sizeof(got)) > 0);
	assert_int_equal(report_warning(r, "W101", "m", NULL), 0);
	assert_true(read(fds[0], got, sizeof(got)) > 0);
	assert_int_equal(report_end(r, &end, s), 0);
	assert_true(read(fds[0], got, sizeof(got)) > 0);
	report_free(r);
	fclose(to);
	close(fds[0]);
}

/* Each call must give back the error of the write below it. */
static void assert_all_calls_fail(FILE *to, int expected)
{
	struct report_hello h = story_hello();
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report_end end = {.end.reason = TRACE_END_SIGINT};
	struct report *r = new_text(to);

	assert_int_equal(report_hello(r, &h), expected);
	assert_int_equal(report_interval(r, s, NULL), expected);
	assert_int_equal(report_warning(r, "W101", "m", NULL), expected);
	assert_int_equal(report_end(r, &end, s), expected);
	report_free(r);
}

static void a_closed_pipe_is_epipe(void **state)
{
	int fds[2];
	FILE *to;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	to = fdopen(fds[1], "w");
	assert_all_calls_fail(to, -EPIPE);
	fclose(to);
}

static void a_full_disk_is_enospc(void **state)
{
	FILE *to = fopen("/dev/full", "w");

	assert_non_null(to);
	assert_all_calls_fail(to, -ENOSPC);
	fclose(to);
}

static void the_report_lives_longer_than_its_options(void **state)
{
	struct report_opts opts = {.by = STAT_LINENO, .top = 1};
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report *r;

	assert_int_equal(report_text_new(out, &opts, &r), 0);
	opts.top = 0;
	assert_int_equal(report_interval(r, s, NULL), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "2 other sites"));
	report_free(r);
}

static void rounding_is_to_the_nearest_and_clamped(void **state)
{
	assert_int_equal(round_i64(0), 0);
	assert_int_equal(round_i64(2.5), 3);
	assert_int_equal(round_i64(2.4), 2);
	assert_int_equal(round_i64(-2.5), -3);
	assert_true(round_i64(1e300) == 1ll << 62);
	assert_true(round_i64(-1e300) == -(1ll << 62));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_report_can_be_made_and_freed_unused),
		CASE(every_block_is_flushed_at_once),
		CASE(a_closed_pipe_is_epipe),
		CASE(a_full_disk_is_enospc),
		CASE(the_report_lives_longer_than_its_options),
		CASE(rounding_is_to_the_nearest_and_clamped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
