/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A series as it was written: snapshots, facts of the recording, and finding one by time. */
#include "store_fixture.h"

#include <time.h>

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	place_make(p);
	listen_to_log();
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	place_remove(*state);
	free(*state);
	log_set_sink(NULL, NULL);
	return 0;
}

static struct snapshot *one_stack(struct intern *in, uint32_t seq, uint64_t bytes)
{
	struct snap_frame f = {.line = 88};
	struct snapshot *s = snapshot_new(in);

	intern_str(in, "/srv/cache.py", &f.file);
	intern_str(in, "put", &f.function);
	s->seq = seq;
	s->time_ns = 1700000000000000000ll + seq * 60000000000ll;
	s->mode = "exact";
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, &f, 1, false, bytes, 1), 0);
	return s;
}

static void append_one(struct store_writer *w, struct intern *in, uint32_t seq, uint64_t bytes)
{
	struct snapshot *s = one_stack(in, seq, bytes);

	assert_int_equal(store_append(w, s), 0);
	snapshot_free(s);
}

/* n snapshots a minute apart, numbered from 1. */
static void write_minutes(const char *file, uint32_t n)
{
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct intern *in = intern_new();
	struct store_writer *w = NULL;

	assert_int_equal(store_create(file, &meta, &opts, &w), 0);
	for (uint32_t i = 1; i <= n; i++)
		append_one(w, in, i, i * 100);
	assert_int_equal(store_writer_close(w, NULL), 0);
	intern_free(in);
}

static void what_is_known_of_the_recording_comes_back(void **state)
{
	struct place *p = *state;
	const struct store_meta *m;
	struct store *s = NULL;

	series_write(p->file, 1, 2, 0, NULL);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	m = store_meta(s);
	assert_int_equal(m->pid, 4711);
	assert_int_equal(m->start_ns, 1699999000000000000ll);
	assert_string_equal(m->comm, "gunicorn");
	assert_string_equal(m->command, "python3 app.py");
	assert_string_equal(m->program, "/usr/bin/python3.11");
	assert_string_equal(m->python_version, "3.11.2");
	assert_string_equal(m->libc, "glibc 2.36");
	assert_string_equal(m->container, "3f9c1a0be2d4");
	assert_string_equal(m->host, "web-1");
	assert_string_equal(m->mode, "exact");
	assert_string_equal(m->tool_version, TMBPF_VERSION);
	assert_string_equal(m->end_reason, "sigint");
	assert_int_equal(m->cgroup_limit_bytes, 1ull << 29);
	assert_int_equal(m->frames, 25);
	assert_true(m->every_s == 60);
	assert_true(m->domains[SNAP_PYTHON]);
	assert_false(m->domains[SNAP_NATIVE]);
	assert_false(store_is_live(s));
	store_close(s);
}

static void facts_that_are_not_known_stay_unknown(void **state)
{
	struct place *p = *state;
	struct store_meta meta = {.pid = 1};
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();
	struct store *s = NULL;

	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	append_one(w, in, 1, 1);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	assert_null(store_meta(s)->python_version);
	assert_null(store_meta(s)->container);
	assert_null(store_meta(s)->end_reason);
	store_close(s);
	intern_free(in);
}

static void the_file_is_readable_while_it_is_written(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();

	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	for (uint32_t i = 0; i <= 5; i++) {
		struct store *s = NULL;
		size_t count;

		if (i)
			append_one(w, in, i, i);
		assert_int_equal(store_open(p->file, NULL, &s), 0);
		assert_true(store_is_live(s));
		store_entries(s, &count);
		assert_int_equal(count, i);
		store_close(s);
	}
	assert_int_equal(store_writer_count(w), 5);
	assert_true(store_writer_bytes(w) > 4096);
	assert_int_equal(store_writer_close(w, NULL), 0);
	intern_free(in);
}

static void a_series_without_a_snapshot_leaves_no_file(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;

	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	assert_int_equal(access(p->file, F_OK), 0);
	assert_int_equal(store_writer_close(w, "target-exit"), 0);
	assert_int_equal(access(p->file, F_OK), -1);
}

static void another_pool_or_an_old_number_is_refused(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new(), *other = intern_new();
	struct snapshot *s;

	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	append_one(w, in, 2, 1);
	s = one_stack(in, 2, 5);
	assert_int_equal(store_append(w, s), -EINVAL);
	snapshot_free(s);
	s = one_stack(other, 3, 5);
	assert_int_equal(store_append(w, s), -EINVAL);
	snapshot_free(s);
	assert_int_equal(store_writer_close(w, NULL), 0);
	intern_free(in);
	intern_free(other);
}

static void a_clock_that_is_set_back_does_not_stop_it(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();
	const struct store_entry *e;
	struct snapshot *snap;
	struct store *s = NULL;
	size_t count;

	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	append_one(w, in, 1, 1);
	snap = one_stack(in, 2, 1);
	snap->time_ns -= 3600000000000ll;
	snap->elapsed_s = 1000;
	assert_int_equal(store_append(w, snap), 0);
	snapshot_free(snap);
	snap = one_stack(in, 3, 1);
	snap->time_ns -= 3600000000000ll;
	snap->elapsed_s = 1010.5;
	assert_int_equal(store_append(w, snap), 0);
	snapshot_free(snap);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	e = store_entries(s, &count);
	assert_int_equal(count, 3);
	assert_true(e[1].time_ns > e[0].time_ns);
	assert_int_equal(e[2].time_ns - e[1].time_ns, 10500000000ll);
	store_close(s);
	intern_free(in);
}

static void two_files_can_share_their_strings(void **state)
{
	struct place *p = *state;
	struct intern *in = intern_new();
	struct store *a = NULL, *b = NULL;
	struct snapshot *x = NULL, *y = NULL;
	char other[160];

	snprintf(other, sizeof(other), "%s/other.tmb", p->dir);
	write_minutes(p->file, 1);
	write_minutes(other, 1);
	assert_int_equal(store_open(p->file, in, &a), 0);
	assert_int_equal(store_open(other, in, &b), 0);
	assert_int_equal(store_load(a, 0, &x), 0);
	assert_int_equal(store_load(b, 0, &y), 0);
	assert_ptr_equal(x->strings, in);
	assert_int_equal(x->frames[0].file.v, y->frames[0].file.v);
	snapshot_free(x);
	snapshot_free(y);
	store_close(a);
	store_close(b);
	intern_free(in);
}

static void a_time_names_the_last_snapshot_that_is_not_later(void **state)
{
	/* 1700000000 is 2023-11-14T22:13:20Z; snapshots 1..10 follow a minute apart. */
	static const struct {
		const char *when;
		int index; /* < 0: errno */
	} cases[] = {
		{"first", 0},
		{"last", 9},
		{"-1", 9},
		{"-10", 0},
		{"-11", -ENOENT},
		{"1", 0},
		{"10", 9},
		{"11", -ENOENT},
		{"0", -ENOENT},
		{"2023-11-14T22:14:20Z", 0},
		{"2023-11-14T22:14:19Z", -ENOENT},
		{"2023-11-14T22:15:19Z", 0},
		{"2023-11-14T22:15:20Z", 1},
		{"2023-11-14T22:15:20.000Z", 1},
		{"2023-11-14T22:15:19.999Z", 0},
		{"2023-11-14 22:15:20Z", 1},
		{"2023-11-14T23:15:20+01:00", 1},
		{"2023-11-14T20:45:20-01:30", 1},
		{"2023-11-14T22:15Z", 1},
		{"2023-11-15T00:00:00Z", 9},
		{"22:15:20Z", 1},
		{"22:14Z", 0},
		{"22:23:20Z", 9},
		{"22:23:21Z", -ENOENT},	    /* yesterday's */
		{"2023-11-14T22:15:20", 1}, /* TZ is UTC here */
		{"22:15:20", 1},
		{"", -EINVAL},
		{"-", -EINVAL},
		{"yesterday", -EINVAL},
		{"22:15:20ZZ", -EINVAL},
		{"25:00:00", -EINVAL},
		{"2023-13-14T22:15:20Z", -EINVAL},
		{"2023-11-14", -EINVAL},
		{"22:15:", -EINVAL},
		{"22:15:20.", -EINVAL},
		{"22:15:20+1", -EINVAL},
		{"22:15:20+99:99", -EINVAL},
		{"22:15:20+01:60", -EINVAL},
		{"2023-11-31T22:15:20Z", -EINVAL},
		{"2023-02-29T22:15:20Z", -EINVAL},
		{"2023-11-00T22:15:20Z", -EINVAL},
		{"2023-00-14T22:15:20Z", -EINVAL},
		{"2024-02-29T22:15:20Z", 9},
		{"22:15:60Z", 1}, /* a leap second */
		{"99999999999999999999", -EINVAL},
	};
	struct place *p = *state;
	struct store *s = NULL;

	setenv("TZ", "UTC", 1);
	tzset();
	write_minutes(p->file, 10);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t index = 999;
		int err = store_find(s, cases[i].when, &index);

		if (cases[i].index < 0 ? err != cases[i].index
				       : err || index != (size_t)cases[i].index)
			fail_msg("'%s': err %d, index %zu", cases[i].when, err, index);
	}
	store_close(s);
}

static void a_time_of_day_is_the_last_one_before_the_end(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;
	size_t index = 0;

	setenv("TZ", "UTC", 1);
	tzset();
	write_minutes(p->file, 1440 * 2); /* two days: ends 2023-11-16T22:13:20Z */
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	assert_int_equal(store_find(s, "22:13:20", &index), 0);
	assert_int_equal(index, 1439);
	assert_int_equal(store_find(s, "22:12:20", &index), 0);
	assert_int_equal(index, 1438);
	/* Later in the day than the end: of the day before. */
	assert_int_equal(store_find(s, "22:15:20", &index), 0);
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	assert_int_equal(store_find(s, "23:13:20", &index), 0);
	assert_int_equal(index, 1439);
	store_close(s);
	setenv("TZ", "UTC", 1);
	tzset();
}

static int64_t utc(const char *when)
{
	struct tm tm = {0};

	assert_non_null(strptime(when, "%Y-%m-%d %H:%M", &tm));
	return timegm(&tm);
}

/* Snapshots at these moments, up to the first NULL. */
static void write_at(const char *file, const char *const *when, size_t max)
{
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct intern *in = intern_new();
	struct store_writer *w = NULL;

	assert_int_equal(store_create(file, &meta, &opts, &w), 0);
	for (size_t i = 0; i < max && when[i]; i++) {
		struct snapshot *s = one_stack(in, (uint32_t)i + 1, 100);

		s->time_ns = utc(when[i]) * 1000000000ll;
		assert_int_equal(store_append(w, s), 0);
		snapshot_free(s);
	}
	assert_int_equal(store_writer_close(w, NULL), 0);
	intern_free(in);
}

/* In Berlin: 01:59 -> 03:00 on 29 March 2026, 02:59 -> 02:00 on 25 October. */
static void a_local_clock_that_is_set_is_followed(void **state)
{
	static const struct {
		const char *snapshots[4]; /* UTC */
		const char *when;
		int number; /* < 0: errno */
	} cases[] = {
		/* An hour that is there twice: the last one that had come. */
		{{"2026-10-24 22:00", "2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 03:00"},
		 "02:30",
		 3},
		{{"2026-10-24 22:00", "2026-10-25 00:30", "2026-10-25 01:10"}, "02:30", 2},
		{{"2026-10-25 00:30", "2026-10-25 01:30", "2026-10-25 03:00"},
		 "2026-10-25T02:30",
		 2},
		{{"2026-10-25 00:30", "2026-10-25 01:10"}, "2026-10-25T02:30", 1},
		/* A day of 25 hours. */
		{{"2026-10-24 21:40", "2026-10-24 22:10", "2026-10-25 22:30"}, "23:45", 1},
		{{"2026-10-24 22:10", "2026-10-25 22:30", "2026-10-25 23:05"}, "00:15", 1},
		/* An hour that is not there: the day before, or what lies before it. */
		{{"2026-03-28 01:20", "2026-03-28 12:00", "2026-03-29 08:00"}, "02:30", 1},
		{{"2026-03-28 01:20", "2026-03-28 12:00", "2026-03-29 22:10"}, "02:30", 1},
		{{"2026-03-28 12:00", "2026-03-29 00:50", "2026-03-29 08:00"},
		 "2026-03-29T02:30",
		 2},
		/* A day of 23 hours. */
		{{"2026-03-28 22:40", "2026-03-29 12:00", "2026-03-29 22:10"}, "00:15", 1},
		{{"2026-02-28 23:30", "2026-03-01 10:00"}, "23:45", -ENOENT},
		{{"2026-02-28 22:30", "2026-03-01 10:00"}, "23:45", 1},
	};
	struct place *p = *state;

	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct store *s = NULL;
		size_t index = 999;
		int err;

		write_at(p->file, cases[i].snapshots, ARRAY_LEN(cases[i].snapshots));
		assert_int_equal(store_open(p->file, NULL, &s), 0);
		err = store_find(s, cases[i].when, &index);
		if (cases[i].number < 0 ? err != cases[i].number
					: err || index + 1 != (size_t)cases[i].number)
			fail_msg("%zu: '%s': err %d, index %zu", i, cases[i].when, err, index);
		store_close(s);
		assert_int_equal(unlink(p->file), 0);
	}
	setenv("TZ", "UTC", 1);
	tzset();
}

static void an_error_of_time_says_what_there_is(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;
	size_t index;

	write_minutes(p->file, 3);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	assert_int_equal(store_find(s, "17", &index), -ENOENT);
	assert_said("E315");
	assert_non_null(strstr(said.message, "2023-11-14T22:14:20Z (1)"));
	assert_non_null(strstr(said.message, "2023-11-14T22:16:20Z (3)"));
	assert_int_equal(store_find(s, "noon", &index), -EINVAL);
	assert_said("E201");
	store_close(s);
}

static void local_time_that_is_not_there_is_said_in_utc(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;
	size_t index;

	write_minutes(p->file, 3); /* 22:14:20Z to 22:16:20Z */
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	setenv("TZ", "CET-1", 1);
	tzset();
	assert_int_equal(store_find(s, "22:15", &index), -ENOENT);
	assert_said("E315");
	assert_non_null(strstr(said.message, " at '22:15' (local time, 2023-11-14T21:15:00Z): it "
					     "holds 3 from 2023-11-14T22:14:20Z (1)"));
	assert_non_null(strstr(said.fix, "@22:15Z"));
	assert_int_equal(store_find(s, "22:15Z", &index), 0);
	assert_int_equal(index, 1);
	/* whoever names the zone knows it */
	assert_int_equal(store_find(s, "2023-11-14T22:15:00+01:00", &index), -ENOENT);
	assert_null(strstr(said.message, "local time"));
	setenv("TZ", "UTC", 1);
	tzset();
	assert_int_equal(store_find(s, "21:15", &index), -ENOENT);
	assert_null(strstr(said.message, "local time"));
	store_close(s);
}

static void a_name_in_a_directory_has_pid_and_time(void **state)
{
	char *path = NULL;

	assert_int_equal(store_path_in("/var/tmp", 4711, 1700000000000000000ll, &path), 0);
	assert_string_equal(path, "/var/tmp/tmbpf-4711-20231114T221320Z.tmb");
	free(path);
	assert_int_equal(store_path_in("/", 1, 0, &path), 0);
	assert_string_equal(path, "/tmbpf-1-19700101T000000Z.tmb");
	free(path);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_known_of_the_recording_comes_back),
		TEST(facts_that_are_not_known_stay_unknown),
		TEST(the_file_is_readable_while_it_is_written),
		TEST(a_series_without_a_snapshot_leaves_no_file),
		TEST(another_pool_or_an_old_number_is_refused),
		TEST(a_clock_that_is_set_back_does_not_stop_it),
		TEST(two_files_can_share_their_strings),
		TEST(a_time_names_the_last_snapshot_that_is_not_later),
		TEST(a_time_of_day_is_the_last_one_before_the_end),
		TEST(a_local_clock_that_is_set_is_followed),
		TEST(an_error_of_time_says_what_there_is),
		TEST(local_time_that_is_not_there_is_said_in_utc),
		TEST(a_name_in_a_directory_has_pid_and_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
