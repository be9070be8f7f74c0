/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are cut, flipped, foreign, or made to harm: either what was recorded comes back, or a coded
 * error. A crash, a leak or an endless loop fails by itself (ASan, UBSan, the time limit of the run).
 */
#include "store_fixture.h"

#include <sqlite3.h>

#define SNAPSHOTS 6
#define FLIPS	  2500

static char *texts[SNAPSHOTS];

struct sample { /* a small series, in memory and as a file to be damaged */
	struct place place;
	unsigned char *bytes;
	size_t len;
	FILE *stderr_before;
};

static int setup(void **state)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct stat st;
	int fd;

	place_make(&s->place);
	listen_to_log();
	series_write(s->place.file, 42, SNAPSHOTS, 0, texts);
	fd = open(s->place.file, O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	s->len = (size_t)st.st_size;
	s->bytes = malloc(s->len);
	assert_int_equal(read(fd, s->bytes, s->len), (ssize_t)s->len);
	close(fd);
	/* Thousands of messages: each is looked at through the sink instead. The descriptor stays. */
	s->stderr_before = stderr;
	stderr = fopen("/dev/null", "w");
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct sample *s = *state;

	fclose(stderr);
	stderr = s->stderr_before;
	place_remove(&s->place);
	free(s->bytes);
	free(s);
	for (int i = 0; i < SNAPSHOTS; i++)
		free(texts[i]);
	log_set_sink(NULL, NULL);
	return 0;
}

static void write_bytes(const char *file, const void *bytes, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static bool coded(void)
{
	return said.code[0] == 'E' && said.code[1] == '3' && said.code[2] == '1';
}

/* Of one snapshot: the right text, or an error. */
static bool load_is_honest(struct store *s, size_t i)
{
	struct snapshot *snap = NULL;
	bool honest;
	char *text;

	said.code[0] = '\0';
	if (store_load(s, i, &snap))
		return coded();
	text = snapshot_text(snap);
	honest = i < SNAPSHOTS && !strcmp(text, texts[i]);
	free(text);
	snapshot_free(snap);
	return honest;
}

static bool walk_is_honest(struct store *s)
{
	struct store_walk *w = NULL;
	struct store_step step;
	bool honest = true;
	int got;

	said.code[0] = '\0';
	if (store_walk_new(s, &w))
		return coded();
	while (honest && (got = store_walk_next(w, &step)) == 1) {
		char *text = snapshot_text(step.snapshot);

		honest = step.index < SNAPSHOTS && !strcmp(text, texts[step.index]);
		free(text);
	}
	store_walk_free(w);
	return honest && (!got || coded());
}

/* Returns: 0 as recorded, 1 refused, -1 wrong. */
static int judge(const char *file)
{
	struct store *s = NULL;
	size_t count;
	bool honest;

	said.code[0] = '\0';
	if (store_open(file, NULL, &s))
		return coded() ? 1 : -1;
	store_entries(s, &count);
	honest = count == SNAPSHOTS && store_meta(s)->pid == 4711 &&
		 !strcmp(store_meta(s)->comm, "gunicorn");
	said.errors = 0;
	for (size_t i = 0; honest && i < count; i++)
		honest = load_is_honest(s, i);
	honest = honest && walk_is_honest(s);
	store_close(s);
	return !honest ? -1 : said.errors ? 1 : 0;
}

static int judge_flip(struct sample *s, int fd, size_t at, int bit)
{
	unsigned char bad = s->bytes[at] ^ (unsigned char)(1 << bit);
	int verdict;

	assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
	verdict = judge(s->place.file);
	if (verdict < 0)
		fail_msg("byte %zu: 0x%02x instead of 0x%02x gives wrong data (%s)", at, bad,
			 s->bytes[at], said.message);
	assert_int_equal(pwrite(fd, &s->bytes[at], 1, (off_t)at), 1);
	return verdict;
}

static void flipped_bits_are_seen_or_do_no_harm(void **state)
{
	struct sample *s = *state;
	unsigned verdicts[2] = {0};
	uint64_t rng = 5;
	int fd = open(s->place.file, O_WRONLY);

	assert_int_equal(judge(s->place.file), 0);
	for (int i = 0; i < FLIPS; i++)
		verdicts[judge_flip(s, fd, (size_t)below(&rng, s->len), (int)below(&rng, 8))]++;
	close(fd);
	/* Both happen: pages are not full, and what they hold is checked. */
	assert_true(verdicts[0] > FLIPS / 20);
	assert_true(verdicts[1] > FLIPS / 20);
}

/* The file's header, and of each page how many cells it has and where they are. */
static void every_flipped_bit_of_a_header_is_seen_or_does_no_harm(void **state)
{
	struct sample *s = *state;
	int fd = open(s->place.file, O_WRONLY);

	for (size_t page = 0; page < s->len; page += 4096) {
		for (size_t at = page; at < page + (page ? 16 : 116); at++) {
			for (int bit = 0; bit < 8; bit++)
				(void)judge_flip(s, fd, at, bit);
		}
	}
	close(fd);
}

static void overwritten_stretches_are_seen_or_do_no_harm(void **state)
{
	struct sample *s = *state;
	uint64_t rng = 9;

	for (int i = 0; i < 700; i++) {
		unsigned char *bad = malloc(s->len);
		size_t at = below(&rng, s->len), n = 1 + below(&rng, 64),
		       from = below(&rng, s->len);

		memcpy(bad, s->bytes, s->len);
		for (size_t k = 0; k < n && at + k < s->len; k++) {
			if (i % 3 == 0)
				bad[at + k] = (unsigned char)rnd(&rng);
			else
				bad[at + k] = i % 3 == 1 ? 0xff : s->bytes[(from + k) % s->len];
		}
		write_bytes(s->place.file, bad, s->len);
		free(bad);
		if (judge(s->place.file) < 0)
			fail_msg("%zu bytes at %zu give wrong data (%s)", n, at, said.message);
	}
}

static void a_cut_file_is_refused(void **state)
{
	struct sample *s = *state;

	for (size_t len = 0; len < s->len; len += len < 200 ? 1 : 311) {
		write_bytes(s->place.file, s->bytes, len);
		assert_int_equal(judge(s->place.file), 1);
	}
}

static void whole_pages_in_another_order_are_seen(void **state)
{
	struct sample *s = *state;
	size_t pages = s->len / 4096;

	for (size_t a = 0; a < pages; a++) {
		size_t b = (a * 7 + 3) % pages;
		unsigned char *bad = malloc(s->len);

		memcpy(bad, s->bytes, s->len);
		memcpy(bad + a * 4096, s->bytes + b * 4096, 4096);
		memcpy(bad + b * 4096, s->bytes + a * 4096, 4096);
		write_bytes(s->place.file, bad, s->len);
		free(bad);
		if (judge(s->place.file) < 0)
			fail_msg("pages %zu and %zu exchanged give wrong data", a, b);
	}
}

/* ---- files that others made ---- */

static void execute(const char *file, const char *sql)
{
	sqlite3 *db = NULL;
	char *message = NULL;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, NULL);
	if (sqlite3_exec(db, sql, NULL, NULL, &message))
		fail_msg("%s: %s", sql, message);
	sqlite3_close(db);
}

static int open_and_close(const char *file)
{
	struct store *s = NULL;
	int err;

	said.code[0] = said.message[0] = '\0';
	err = store_open(file, NULL, &s);
	store_close(s);
	return err;
}

static void foreign_files_are_named(void **state)
{
	struct sample *s = *state;
	const char *file = s->place.file;
	char text[200];

	write_bytes(file, "", 0);
	assert_int_equal(open_and_close(file), -EMEDIUMTYPE);
	assert_said("E312");
	assert_non_null(strstr(said.message, "empty"));
	memset(text, 'x', sizeof(text));
	write_bytes(file, text, sizeof(text));
	assert_int_equal(open_and_close(file), -EMEDIUMTYPE);
	assert_said("E312");
	unlink(file);
	execute(file, "CREATE TABLE t(x)");
	assert_int_equal(open_and_close(file), -EMEDIUMTYPE);
	assert_said("E312");
	assert_non_null(strstr(said.message, "SQLite"));
	assert_int_equal(open_and_close(s->place.dir), -EISDIR);
	assert_said("E312");
	assert_int_equal(open_and_close("/dev/null"), -EMEDIUMTYPE);
	assert_int_equal(open_and_close("/nowhere/at.all"), -ENOENT);
	assert_said("E311");
}

static void a_newer_schema_is_named(void **state)
{
	struct sample *s = *state;

	execute(s->place.file, "PRAGMA user_version=3");
	assert_int_equal(open_and_close(s->place.file), -EPROTO);
	assert_said("E313");
	assert_non_null(strstr(said.message, "version 3"));
}

static void write_ahead_logging_is_refused_with_the_way_back(void **state)
{
	struct sample *s = *state;

	execute(s->place.file, "PRAGMA journal_mode=WAL");
	assert_int_equal(open_and_close(s->place.file), -EMEDIUMTYPE);
	assert_said("E312");
	assert_non_null(strstr(said.fix, "journal_mode=delete"));
	execute(s->place.file, "PRAGMA journal_mode=DELETE");
	assert_int_equal(judge(s->place.file), 0);
}

static void nothing_of_a_strangers_schema_is_evaluated(void **state)
{
	static const char *const attacks[] = {
		/* a table that is a query without end */
		"DROP TABLE stack; CREATE VIEW stack AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL"
		" SELECT x + 1 FROM c) SELECT x AS id, x - 1 AS parent, 1 AS frame FROM c",
		"DROP TABLE change; CREATE VIEW change AS SELECT 1 AS snapshot, 1 AS trace, 1 AS"
		" live_bytes, 1 AS live_blocks, 1 AS alloc_bytes, 1 AS alloc_blocks",
		/* columns that are expressions */
		"DROP TABLE string; CREATE TABLE string(id INTEGER PRIMARY KEY, text AS"
		" (printf('%1000000d', id)))",
		/* an index that is asked instead of the table */
		"CREATE INDEX evil ON snapshot(id, abs(time_ns))",
		"CREATE UNIQUE INDEX evil ON loss(snapshot, reason) WHERE count > 0",
		"CREATE TRIGGER evil AFTER INSERT ON meta BEGIN DELETE FROM meta; END",
		/* other columns, other keys */
		"ALTER TABLE frame ADD COLUMN extra",
		"ALTER TABLE trace RENAME COLUMN stack TO stack2",
		"DROP TABLE base",
		"DROP TABLE meta; CREATE TABLE meta(key TEXT PRIMARY KEY, value)",
		"UPDATE sqlite_schema SET sql = replace(sql, 'INTEGER PRIMARY KEY', 'INT PRIMARY KEY')"
		" WHERE name = 'frame'",
		"DROP TABLE coverage; CREATE VIRTUAL TABLE coverage USING fts3(snapshot)",
	};
	struct sample *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		write_bytes(s->place.file, s->bytes, s->len);
		execute(s->place.file, attacks[i]);
		if (open_and_close(s->place.file) != -EBADMSG || strcmp(said.code, "E314") != 0)
			fail_msg("not refused: %s (%s %s)", attacks[i], said.code, said.message);
	}
}

static void own_views_and_tables_of_a_user_do_no_harm(void **state)
{
	struct sample *s = *state;

	execute(s->place.file,
		"CREATE VIEW mine AS SELECT * FROM top_lines; CREATE TABLE notes(x)");
	assert_int_equal(judge(s->place.file), 0);
}

static void rows_that_make_no_sense_are_refused(void **state)
{
	static const char *const attacks[] = {
		"UPDATE stack SET parent = id",
		"UPDATE stack SET parent = id + 1 WHERE id = 1",
		"UPDATE stack SET parent = -1 WHERE id = 2",
		"UPDATE stack SET parent = 9223372036854775807 WHERE id = 2",
		"UPDATE stack SET frame = 100000 WHERE id = 2",
		"UPDATE stack SET frame = 0 WHERE id = 2",
		"UPDATE frame SET file = 100000 WHERE id = 1",
		"UPDATE frame SET line = 4294967296 WHERE id = 1",
		"UPDATE trace SET stack = 100000 WHERE id = 1",
		"UPDATE trace SET domain = 4294967296 WHERE id = 1",
		"UPDATE trace SET domain = domain + 1",
		"UPDATE trace SET truncated = 2",
		"UPDATE trace SET thread = -1",
		"DELETE FROM string WHERE id = 1",
		"DELETE FROM trace WHERE id = 2",
		"UPDATE string SET id = 4294967296 WHERE id = (SELECT max(id) FROM string)",
		"UPDATE string SET text = text || 'x'",
		"UPDATE string SET text = zeroblob(1500000) WHERE id = 1",
		"UPDATE change SET live_bytes = -1 WHERE snapshot = (SELECT min(id) FROM snapshot)",
		"UPDATE change SET live_bytes = live_bytes + 1",
		"UPDATE change SET alloc_blocks = 9223372036854775807",
		"UPDATE change SET live_bytes = 'text'",
		"UPDATE change SET trace = 4294967297 WHERE trace = 1",
		"DELETE FROM change WHERE snapshot = (SELECT max(id) FROM snapshot)",
		"INSERT INTO base SELECT id, 1, 1, 1, 1, 1 FROM snapshot",
		"INSERT INTO base VALUES(-5, 1, 1, 1, 1, 1), (0, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 1)",
		"UPDATE snapshot SET rss_bytes = rss_bytes + 1",
		"UPDATE snapshot SET time_ns = time_ns + 1 WHERE id = 1",
		"UPDATE snapshot SET id = -id",
		"UPDATE snapshot SET id = id + 4294967296",
		"UPDATE snapshot SET mode = 'exactly as it was written, and more'",
		"UPDATE snapshot SET checksum = NULL",
		"DELETE FROM snapshot WHERE id = (SELECT min(id) FROM snapshot)",
		"INSERT INTO loss SELECT id, 'no such reason', 5 FROM snapshot",
		"INSERT OR REPLACE INTO loss SELECT id, 'ring_full', 12345 FROM snapshot",
		"INSERT OR REPLACE INTO coverage SELECT id, 7, 1, 1, 1 FROM snapshot",
		"INSERT OR REPLACE INTO coverage SELECT id, 0, 12345, 1, 1 FROM snapshot",
		"UPDATE meta SET value = 4712 WHERE key = 'pid'",
		"INSERT INTO meta VALUES('zzz', 1)",
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000)"
		" INSERT INTO stack SELECT (SELECT max(id) FROM stack) + x,"
		" (SELECT max(id) FROM stack) + x - 1, 1 FROM c",
	};
	struct sample *s = *state;

	for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
		write_bytes(s->place.file, s->bytes, s->len);
		execute(s->place.file, attacks[i]);
		if (judge(s->place.file) != 1) {
			printf("# not refused: %s\n", attacks[i]);
			fail();
		}
	}
}

/* 30 bytes a row that name a deep stack each: memory must stay in proportion. */
static void a_small_file_cannot_ask_for_much_memory(void **state)
{
	struct sample *s = *state;

	execute(s->place.file,
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 990)"
		" INSERT INTO stack SELECT (SELECT max(id) FROM stack) + x,"
		" iif(x = 1, 0, (SELECT max(id) FROM stack) + x - 1), 1 FROM c;"
		"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 90000)"
		" INSERT INTO stack SELECT (SELECT max(id) FROM stack) + x, (SELECT max(id) FROM stack),"
		" 1 FROM c;"
		"INSERT INTO trace SELECT (SELECT max(id) FROM trace) + row_number() OVER (ORDER BY id),"
		" id, 0, 0, 0 FROM stack WHERE id > (SELECT max(id) FROM stack) - 90000");
	assert_int_equal(judge(s->place.file), 1);
	assert_said("E314");
}

static void put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
}

/* An index page full of the same key; inside, every child is the same page. */
static void same_page(uint8_t *page, uint32_t child)
{
	static const uint8_t record[] = {7, 1, 1, 8, 8, 8, 8, 1, 1};
	size_t head = child ? 12 : 8, cell = (child ? 4 : 0) + 1 + sizeof(record);
	size_t count = (4096 - head) / (cell + 2);

	memset(page, 0, 4096);
	page[0] = child ? 2 : 10;
	put(page + 3, count, 2);
	put(page + 5, 4096 - count * cell, 2);
	put(page + 8, child, child ? 4 : 0);
	for (size_t i = 0; i < count; i++) {
		uint8_t *at = page + 4096 - (i + 1) * cell;

		put(page + head + 2 * i, (size_t)(at - page), 2);
		put(at, child, child ? 4 : 0);
		at += child ? 4 : 0;
		*at = sizeof(record);
		memcpy(at + 1, record, sizeof(record));
	}
}

#define LEVELS 15

/* 200 ^ 15 rows in 15 pages, and a hole that makes the file large. */
static void a_large_hole_buys_no_time(void **state)
{
	struct sample *s = *state;
	const uint64_t size = 1ull << 40;
	struct snapshot *snap = NULL;
	struct store *store = NULL;
	sqlite3_stmt *st = NULL;
	sqlite3 *db = NULL;
	uint32_t root, pages;
	uint8_t page[4096];
	struct stat info;
	int fd;

	assert_int_equal(sqlite3_open(s->place.file, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db,
					    "SELECT rootpage FROM sqlite_master"
					    " WHERE name = 'change'",
					    -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	root = (uint32_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	fd = open(s->place.file, O_RDWR);
	assert_int_equal(fstat(fd, &info), 0);
	pages = (uint32_t)(info.st_size / 4096);
	for (uint32_t i = 0; i <= LEVELS; i++) {
		same_page(page, i < LEVELS ? pages + 1 + i : 0);
		assert_int_equal(pwrite(fd, page, 4096, 4096ll * (i ? pages + i - 1 : root - 1)),
				 4096);
	}
	assert_int_equal(pread(fd, page, 100, 0), 100);
	put(page + 28, size / 4096, 4);
	memcpy(page + 92, page + 24, 4);
	assert_int_equal(pwrite(fd, page, 100, 0), 100);
	if (ftruncate(fd, (off_t)size)) {
		print_message("skipped: no sparse file of 1 TiB here\n");
		close(fd);
		skip();
	}
	close(fd);
	alarm(100);
	assert_int_equal(store_open(s->place.file, NULL, &store), 0);
	assert_int_equal(store_load(store, 0, &snap), -EBADMSG);
	store_close(store);
	alarm(0);
	assert_said("E314");
	assert_non_null(strstr(said.message, "takes too many steps"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(flipped_bits_are_seen_or_do_no_harm),
		TEST(every_flipped_bit_of_a_header_is_seen_or_does_no_harm),
		TEST(overwritten_stretches_are_seen_or_do_no_harm),
		TEST(a_cut_file_is_refused),
		TEST(whole_pages_in_another_order_are_seen),
		TEST(foreign_files_are_named),
		TEST(a_newer_schema_is_named),
		TEST(write_ahead_logging_is_refused_with_the_way_back),
		TEST(nothing_of_a_strangers_schema_is_evaluated),
		TEST(own_views_and_tables_of_a_user_do_no_harm),
		TEST(rows_that_make_no_sense_are_refused),
		TEST(a_small_file_cannot_ask_for_much_memory),
		TEST(a_large_hole_buys_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
