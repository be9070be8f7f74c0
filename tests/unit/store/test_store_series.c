/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Random series against a naive model: what comes back is what was appended, also after thinning. */
#include "store_fixture.h"

#include <sqlite3.h>

#include "store/store_priv.h"

#define SNAPSHOTS_MAX 400

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

static char *texts[SNAPSHOTS_MAX];

static void forget_texts(void)
{
	for (size_t i = 0; i < SNAPSHOTS_MAX; i++) {
		free(texts[i]);
		texts[i] = NULL;
	}
}

/* The text of the snapshot with this number. */
static const char *text_of(uint32_t seq)
{
	char prefix[16];

	snprintf(prefix, sizeof(prefix), "%u ", seq);
	for (size_t i = 0; i < SNAPSHOTS_MAX && texts[i]; i++) {
		if (!strncmp(texts[i], prefix, strlen(prefix)))
			return texts[i];
	}
	fail_msg("snapshot %u was never appended", seq);
	return "";
}

static void check_loads(struct store *s)
{
	const struct store_entry *e;
	size_t count;

	e = store_entries(s, &count);
	for (size_t i = 0; i < count; i++) {
		struct snapshot *snap = NULL;
		uint64_t alloc = 0;
		char *text;

		assert_int_equal(store_load(s, i, &snap), 0);
		text = snapshot_text(snap);
		assert_string_equal(text, text_of(e[i].seq));
		assert_int_equal(snap->stack_count, e[i].stacks);
		assert_int_equal(snap->live_bytes, e[i].live_bytes);
		for (size_t k = 0; k < snap->stack_count; k++)
			alloc += snap->stacks[k].alloc_bytes;
		assert_int_equal(alloc, e[i].alloc_bytes);
		free(text);
		snapshot_free(snap);
	}
}

static void check_walk(struct store *s)
{
	struct store_walk *w = NULL;
	struct store_step step;
	const struct store_entry *e;
	uint64_t(*before)[4] = NULL;
	size_t count, n = 0;

	e = store_entries(s, &count);
	assert_int_equal(store_walk_new(s, &w), 0);
	while (store_walk_next(w, &step) == 1) {
		const struct snap_stack *stacks = step.snapshot->stacks;
		size_t at = 0;
		char *text = snapshot_text(step.snapshot);

		assert_int_equal(step.index, n);
		assert_string_equal(text, text_of(e[n].seq));
		free(text);
		if (!before)
			before = calloc(step.snapshot->stack_count, sizeof(*before));
		/* What is not listed as changed has not changed. */
		for (size_t i = 0; i < step.snapshot->stack_count; i++) {
			const uint64_t now[4] = {stacks[i].bytes, stacks[i].blocks,
						 stacks[i].alloc_bytes, stacks[i].alloc_blocks};

			if (at < step.changed_count && step.changed[at] == i)
				at++;
			else
				assert_memory_equal(now, before[i], sizeof(now));
			memcpy(before[i], now, sizeof(now));
		}
		assert_int_equal(at, step.changed_count);
		n++;
	}
	assert_int_equal(n, count);
	store_walk_free(w);
	free(before);
}

static void check_series(const char *file, size_t want)
{
	struct store *s = NULL;
	size_t count;

	assert_int_equal(store_open(file, NULL, &s), 0);
	store_entries(s, &count);
	assert_int_equal(count, want);
	check_loads(s);
	check_walk(s);
	store_close(s);
}

static void everything_comes_back(void **state)
{
	struct place *p = *state;

	for (uint64_t seed = 1; seed <= 25; seed++) {
		unsigned n = 1 + (unsigned)(seed * 7 % 40);

		series_write(p->file, seed, n, 0, texts);
		check_series(p->file, n);
		forget_texts();
		assert_int_equal(unlink(p->file), 0);
	}
	assert_int_equal(said.errors, 0);
}

static void what_thinning_leaves_is_as_it_was(void **state)
{
	static const unsigned keeps[] = {3, 4, 5, 8, 13, 30};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(keeps); i++) {
		unsigned n = keeps[i] * 3 + (unsigned)i;

		series_write(p->file, 100 + i, n, keeps[i], texts);
		check_series(p->file, keeps[i]);
		forget_texts();
		assert_int_equal(unlink(p->file), 0);
	}
}

static int64_t sql_number(const char *file, const char *sql)
{
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	int64_t n;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* So many changes that bases are written, and thinned out again. */
static void bases_change_nothing(void **state)
{
	static const unsigned keeps[] = {0, 50, 4};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(keeps); i++) {
		series_write(p->file, 7, SNAPSHOTS_MAX, keeps[i], texts);
		if (!keeps[i])
			assert_true(sql_number(p->file,
					       "SELECT count(DISTINCT snapshot) FROM base") >= 1);
		/* Nothing is left of what was thinned out. */
		assert_int_equal(
			sql_number(
				p->file,
				"SELECT count(*) FROM (SELECT snapshot FROM base UNION ALL"
				" SELECT snapshot FROM change UNION ALL SELECT snapshot FROM loss"
				" UNION ALL SELECT snapshot FROM coverage)"
				" WHERE snapshot NOT IN (SELECT id FROM snapshot)"),
			0);
		check_series(p->file, keeps[i] ? keeps[i] : SNAPSHOTS_MAX);
		forget_texts();
		assert_int_equal(unlink(p->file), 0);
	}
}

static void first_and_last_stay_and_gaps_grow_with_age(void **state)
{
	struct store_times t[301];
	size_t n = 0;

	for (uint32_t seq = 1; seq <= 5000; seq++) {
		t[n++] = (struct store_times){seq, seq * 60000000000ll};
		if (n > 300) {
			size_t i = store_thin_choose(t, n);

			assert_true(i >= 1 && i + 2 < n);
			memmove(&t[i], &t[i + 1], (n - i - 1) * sizeof(*t));
			n--;
		}
	}
	assert_int_equal(n, 300);
	assert_int_equal(t[0].seq, 1);
	assert_int_equal(t[299].seq, 5000);
	/* The newest third or so as taken; no gap is wider than a few percent of its age. */
	for (size_t i = 240; i < 299; i++)
		assert_int_equal(t[i + 1].seq - t[i].seq, 1);
	for (size_t i = 1; i < 299; i++) {
		double age = (double)(5000 - t[i].seq) + 1;

		assert_true((double)(t[i + 1].seq - t[i].seq) <= 1 + age * 0.04);
	}
}

static void equal_stacks_are_summed_and_zeros_are_not_there(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in), *back = NULL;
	struct snap_frame f = {.line = 1};
	struct store *store = NULL;

	intern_str(in, "a.py", &f.file);
	s->seq = 1;
	snapshot_add(s, SNAP_PYTHON, &f, 1, false, 10, 1);
	snapshot_add(s, SNAP_PYTHON, &f, 1, false, 5, 2);
	snapshot_add(s, SNAP_NATIVE, &f, 1, false, 7, 1);
	snapshot_add(s, SNAP_PYTHON, NULL, 0, false, 0, 0);
	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	assert_int_equal(store_append(w, s), 0);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(store_open(p->file, NULL, &store), 0);
	assert_int_equal(store_load(store, 0, &back), 0);
	assert_int_equal(back->stack_count, 2);
	assert_int_equal(back->stacks[0].bytes, 15);
	assert_int_equal(back->stacks[0].blocks, 3);
	assert_int_equal(back->stacks[1].domain, SNAP_NATIVE);
	/* Both have the one frame: it stands once. */
	assert_int_equal(back->frame_count, 1);
	snapshot_free(back);
	store_close(store);
	snapshot_free(s);
	intern_free(in);
}

static void other_domains_keep_their_numbers(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {0};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in), *back = NULL;
	struct store *store = NULL;
	uint8_t domain;

	s->seq = 1;
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(snapshot_domain_of(s, i * 1000000007u, &domain), 0);
		snapshot_add(s, (enum snap_domain)domain, NULL, 0, false, i + 1, 1);
	}
	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	assert_int_equal(store_append(w, s), 0);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(store_open(p->file, NULL, &store), 0);
	assert_int_equal(store_load(store, 0, &back), 0);
	assert_int_equal(back->stack_count, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(snapshot_domain_number(back, back->stacks[i].domain),
				 (uint32_t)(back->stacks[i].bytes - 1) * 1000000007u);
	snapshot_free(back);
	store_close(store);
	snapshot_free(s);
	intern_free(in);
}

static unsigned ticks;

static void count_tick(void *ctx)
{
	(void)ctx;
	ticks++;
}

static void long_work_lets_others_in(void **state)
{
	struct place *p = *state;
	struct store_meta meta = meta_example();
	struct store_opts opts = {.tick = count_tick};
	struct store_writer *w = NULL;
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in);

	s->seq = 1;
	for (int i = 0; i < 50000; i++) {
		struct snap_frame f = {.line = i};

		snapshot_add(s, SNAP_PYTHON, &f, 1, false, 1, 1);
	}
	assert_int_equal(store_create(p->file, &meta, &opts, &w), 0);
	ticks = 0;
	assert_int_equal(store_append(w, s), 0);
	assert_true(ticks > 0);
	assert_int_equal(store_writer_close(w, NULL), 0);
	snapshot_free(s);
	intern_free(in);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(everything_comes_back),
		TEST(what_thinning_leaves_is_as_it_was),
		TEST(bases_change_nothing),
		TEST(first_and_last_stay_and_gaps_grow_with_age),
		TEST(equal_stacks_are_summed_and_zeros_are_not_there),
		TEST(other_domains_keep_their_numbers),
		TEST(long_work_lets_others_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
