/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file as such: what is never touched, who owns it, locks, a full disk, an interrupted commit. */
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/clock.h"

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

static void write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void assert_text(const char *file, const char *text)
{
	char got[64] = "";
	int fd = open(file, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got) - 1), (ssize_t)strlen(text));
	assert_string_equal(got, text);
	close(fd);
}

static int create(const char *file, bool force, struct store_writer **w)
{
	struct store_meta meta = meta_example();
	struct store_opts opts = {.force = force};

	said.code[0] = '\0';
	return store_create(file, &meta, &opts, w);
}

static int check(const char *file, bool force)
{
	struct store_opts opts = {.force = force};

	said.code[0] = '\0';
	return store_check(file, &opts);
}

static void append_next(struct store_writer *w, struct gen *g)
{
	struct snapshot *s = gen_next(g);

	assert_int_equal(store_append(w, s), 0);
	snapshot_free(s);
}

static size_t count_of(const char *file)
{
	struct store *s = NULL;
	size_t count;

	assert_int_equal(store_open(file, NULL, &s), 0);
	store_entries(s, &count);
	for (size_t i = 0; i < count; i++) {
		struct snapshot *snap = NULL;

		assert_int_equal(store_load(s, i, &snap), 0);
		snapshot_free(snap);
	}
	store_close(s);
	return count;
}

static void only_its_owner_may_read_it(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	mode_t before = umask(0);
	struct stat st;

	assert_int_equal(create(p->file, false, &w), 0);
	umask(before);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(store_writer_close(w, NULL), 0);
}

static void written_through_sudo_it_belongs_to_the_caller(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char journal[160];
	struct stat st;
	struct gen g;

	if (geteuid() != 0) {
		print_message("skipped: only root can give files away\n");
		skip();
	}
	setenv("SUDO_UID", "12345", 1);
	setenv("SUDO_GID", "23456", 1);
	assert_int_equal(create(p->file, false, &w), 0);
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 23456);
	gen_start(&g, 1);
	append_next(w, &g);
	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	assert_int_equal(lstat(journal, &st), 0);
	assert_int_equal(st.st_uid, 12345);
	assert_int_equal(st.st_gid, 23456);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(access(journal, F_OK), -1);
	assert_int_equal(count_of(p->file), 1);
	gen_end(&g);
}

/* In a sticky directory any local user could make a file of that name, and the next snapshot would fail. */
static void the_name_of_the_journal_stays_taken(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char journal[160];
	struct stat st;
	struct gen g;

	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	gen_start(&g, 1);
	assert_int_equal(create(p->file, false, &w), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(open(journal, O_CREAT | O_EXCL | O_WRONLY, 0666), -1);
		assert_int_equal(errno, EEXIST);
		assert_int_equal(lstat(journal, &st), 0);
		assert_int_equal(st.st_size, 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		append_next(w, &g);
	}
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(access(journal, F_OK), -1);
	assert_int_equal(count_of(p->file), 3);
	gen_end(&g);
}

static void what_is_there_stays_without_force(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;

	write_text(p->file, "precious");
	assert_int_equal(check(p->file, false), -EEXIST);
	assert_said("E702");
	assert_non_null(strstr(said.fix, "--force"));
	assert_int_equal(create(p->file, false, &w), -EEXIST);
	assert_said("E702");
	assert_text(p->file, "precious");
	assert_int_equal(check(p->file, true), 0);
	assert_text(p->file, "precious");
	assert_int_equal(create(p->file, true, &w), 0);
	assert_int_equal(store_writer_close(w, NULL), 0);
}

/* A journal beside a file that is replaced would be played back into the new one. */
static void force_takes_the_old_journal_away_too(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char journal[160];
	struct gen g;

	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	write_text(p->file, "old");
	write_text(journal, "\xd9\xd5\x05\xf9 an old journal");
	assert_int_equal(create(p->file, true, &w), 0);
	gen_start(&g, 1);
	append_next(w, &g);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(count_of(p->file), 1);
	gen_end(&g);
}

static void a_symlink_is_never_followed(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char victim[160], journal[160];

	snprintf(victim, sizeof(victim), "%s/victim", p->dir);
	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	write_text(victim, "precious");
	assert_int_equal(symlink(victim, p->file), 0);
	assert_int_equal(check(p->file, true), -ELOOP);
	assert_said("E703");
	assert_int_equal(create(p->file, true, &w), -ELOOP);
	assert_text(victim, "precious");
	/* One that leads nowhere would make a file where it points to. */
	assert_int_equal(unlink(victim), 0);
	assert_int_equal(create(p->file, true, &w), -ELOOP);
	assert_int_equal(access(victim, F_OK), -1);
	assert_int_equal(unlink(p->file), 0);
	/* The journal's name as well. */
	write_text(victim, "precious");
	assert_int_equal(create(p->file, false, &w), 0);
	assert_int_equal(unlink(journal), 0);
	assert_int_equal(symlink(victim, journal), 0);
	{
		struct gen g;
		struct snapshot *s;

		gen_start(&g, 1);
		s = gen_next(&g);
		assert_int_not_equal(store_append(w, s), 0);
		assert_said("E703");
		snapshot_free(s);
		gen_end(&g);
	}
	(void)store_writer_close(w, NULL);
	assert_text(victim, "precious");
}

/* SQLite deletes the file that a journal names as its super-journal, if it is not one. */
static void a_planted_journal_deletes_nothing(void **state)
{
	static const unsigned char magic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
	struct place *p = *state;
	char victim[160], journal[160];
	unsigned char page[512] = {0};
	size_t len;
	struct store *s = NULL;
	unsigned sum = 0;
	FILE *f;

	series_write(p->file, 3, 2, 0, NULL);
	snprintf(victim, sizeof(victim), "%s/victim", p->dir);
	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	write_text(victim, "precious");
	/* https://www.sqlite.org/fileformat.html, "The Rollback Journal": header, no page, super-journal. */
	len = strlen(victim);
	memcpy(page, magic, sizeof(magic));
	page[18] = 0;	 /* initial size of the database in pages stays 0 */
	page[22] = 2;	 /* sector size 512 */
	page[26] = 0x10; /* page size 4096 */
	f = fopen(journal, "w");
	assert_non_null(f);
	fwrite(page, 1, sizeof(page), f);
	{
		unsigned char pgno[4] = {0, 0x04, 0x00, 0x01}, n[4] = {0, 0, 0, (unsigned char)len},
			      c[4];

		for (size_t i = 0; i < len; i++)
			sum += (unsigned char)victim[i];
		for (int i = 0; i < 4; i++)
			c[i] = (unsigned char)(sum >> (24 - 8 * i));
		fwrite(pgno, 1, 4, f);
		fwrite(victim, 1, len, f);
		fwrite(n, 1, 4, f);
		fwrite(c, 1, 4, f);
		fwrite(magic, 1, 8, f);
	}
	fclose(f);
	if (!store_open(p->file, NULL, &s))
		store_close(s);
	assert_text(victim, "precious");
	assert_int_equal(access(journal, F_OK), 0);
}

/* In a directory that others may write to they can put a file in the journal's place. */
static void a_journal_of_somebody_else_is_not_used(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	struct snapshot *s;
	char journal[160];
	struct gen g;

	if (geteuid() != 0) {
		print_message("skipped: only root can make files of somebody else\n");
		skip();
	}
	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	gen_start(&g, 1);
	assert_int_equal(create(p->file, false, &w), 0);
	append_next(w, &g);
	assert_int_equal(unlink(journal), 0);
	write_text(journal, "");
	assert_int_equal(chown(journal, 65534, 65534), 0);
	s = gen_next(&g);
	assert_int_not_equal(store_append(w, s), 0);
	assert_said("E703");
	assert_text(journal, "");
	snapshot_free(s);
	(void)store_writer_close(w, NULL);
	assert_int_equal(unlink(journal), 0);
	assert_int_equal(count_of(p->file), 1);
	gen_end(&g);
}

/* A pipe that nobody writes to would be waited for; the time limit of the run is the test. */
static void pipes_under_the_names_that_sqlite_knows_stop_nobody(void **state)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	struct place *p = *state;

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		struct store_writer *w = NULL;
		struct store *s = NULL;
		struct snapshot *snap;
		char name[160];
		struct gen g;
		int err;

		snprintf(name, sizeof(name), "%s%s", p->file, suffixes[i]);
		gen_start(&g, 1);
		assert_int_equal(create(p->file, false, &w), 0);
		append_next(w, &g);
		if (i == 2)
			assert_int_equal(unlink(name), 0);
		assert_int_equal(mkfifo(name, 0666), 0);
		err = store_open(p->file, NULL, &s);
		assert_int_equal(err != 0, i == 2);
		store_close(s);
		snap = gen_next(&g);
		err = store_append(w, snap);
		assert_int_equal(err != 0, i == 2);
		snapshot_free(snap);
		(void)store_writer_close(w, NULL);
		assert_int_equal(unlink(name), 0);
		assert_int_equal(count_of(p->file), i == 2 ? 1 : 2);
		assert_int_equal(unlink(p->file), 0);
		gen_end(&g);
	}
}

/* SQLite reads a write-ahead log that lies beside a file, whatever the file says of itself. */
static void a_planted_write_ahead_log_changes_nothing(void **state)
{
	struct place *p = *state;
	char wal[160], other[160], other_wal[170];
	sqlite3 *db = NULL;

	snprintf(wal, sizeof(wal), "%s-wal", p->file);
	snprintf(other, sizeof(other), "%s/other", p->dir);
	snprintf(other_wal, sizeof(other_wal), "%s-wal", other);
	series_write(p->file, 6, 3, 0, NULL);
	{
		char cmd[400];

		snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", p->file, other);
		assert_int_equal(system(cmd), 0);
		assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db,
					      "PRAGMA journal_mode=WAL; DELETE FROM change;"
					      "DELETE FROM snapshot",
					      NULL, NULL, NULL),
				 SQLITE_OK);
		snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", other_wal, wal);
		assert_int_equal(system(cmd), 0);
		sqlite3_close(db);
	}
	assert_int_equal(count_of(p->file), 3);
	snprintf(wal, sizeof(wal), "%s-shm", p->file);
	assert_int_equal(access(wal, F_OK), -1);
}

static void a_directory_and_a_missing_one_are_refused(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char path[160];

	assert_int_equal(create(p->dir, true, &w), -EISDIR);
	assert_said("E703");
	assert_int_equal(check(p->dir, true), -EISDIR);
	snprintf(path, sizeof(path), "%s/", p->dir);
	assert_int_equal(check(path, true), -EISDIR);
	snprintf(path, sizeof(path), "%s/no/run.tmb", p->dir);
	assert_int_equal(check(path, false), -ENOENT);
	assert_said("E703");
	assert_int_equal(create(path, false, &w), -ENOENT);
	assert_int_equal(check("/dev/null", true), -EEXIST);
	assert_said("E703");
}

static void a_second_recorder_is_sent_away(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL, *other = NULL;
	struct gen g;

	gen_start(&g, 1);
	assert_int_equal(create(p->file, false, &w), 0);
	append_next(w, &g);
	for (int force = 0; force < 2; force++) {
		assert_int_equal(check(p->file, force), -EBUSY);
		assert_said("E705");
		assert_int_equal(create(p->file, force, &other), -EBUSY);
		assert_said("E705");
	}
	append_next(w, &g);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(count_of(p->file), 2);
	assert_int_equal(check(p->file, true), 0);
	gen_end(&g);
}

/* In a child, because the limit and the ignored signal are the process's. */
static int record_with_limit(const char *file, rlim_t limit)
{
	struct rlimit rl = {limit, limit};
	struct store_writer *w = NULL;
	unsigned appended = 0;
	struct gen g;

	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &rl);
	gen_start(&g, 11);
	if (create(file, false, &w))
		return 100 + !strcmp(said.code, "E704");
	for (;;) {
		struct snapshot *s = gen_next(&g);
		int err = store_append(w, s);

		snapshot_free(s);
		if (err) {
			bool right = err == -ENOSPC && !strcmp(said.code, "E704") &&
				     (!appended || strstr(said.message, "are complete"));

			if (store_append(w, s) != -EIO)
				right = false;
			(void)store_writer_close(w, NULL);
			gen_end(&g);
			return right ? (int)appended : 99;
		}
		if (++appended == 90)
			return 98;
	}
}

static void a_full_disk_loses_nothing_that_was_complete(void **state)
{
	struct place *p = *state;

	for (rlim_t limit = 4096; limit < 95000; limit += 4501) {
		int status;
		pid_t child = fork();

		if (!child)
			_exit(record_with_limit(p->file, limit));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFEXITED(status));
		status = WEXITSTATUS(status);
		if (status == 101 || !status) /* not even one fits: no file is left behind */
			assert_int_equal(access(p->file, F_OK), -1);
		else if (status < 90)
			assert_int_equal(count_of(p->file), status);
		else
			fail_msg("limit %lu: %d", (unsigned long)limit, status);
		(void)unlink(p->file);
	}
}

/* ---- an interrupted commit ---- */

static void copy(const char *from, const char *to)
{
	char cmd[400];

	snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", from, to);
	assert_int_equal(system(cmd), 0);
}

/* What a SIGKILL in the middle of a commit leaves: half of the new pages, and the journal. */
static void interrupt_a_commit(const char *file, const char *dir)
{ /* the file stays the same one, for those that have it open */
	char a[160], b[160], journal[160];
	sqlite3 *db = NULL;

	snprintf(journal, sizeof(journal), "%s-journal", file);
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	/* A cache of some pages: the others are written before the commit. */
	assert_int_equal(sqlite3_exec(db,
				      "PRAGMA cache_size=5; BEGIN IMMEDIATE;"
				      "UPDATE string SET text = text || text;"
				      "UPDATE change SET live_bytes = live_bytes + 1;"
				      "UPDATE frame SET line = line + 1;",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	copy(file, a);
	copy(journal, b);
	sqlite3_close(db);
	copy(a, file);
	copy(b, journal);
	assert_int_equal(unlink(a) | unlink(b), 0);
}

static size_t entries_in(const char *dir)
{
	char cmd[200], line[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "ls -A '%s' | wc -l", dir);
	f = popen(cmd, "r");
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	return strtoul(line, NULL, 10);
}

static void an_interrupted_commit_is_read_without_it(void **state)
{
	struct place *p = *state;
	struct stat before, after;
	char journal[160], tmp[160];

	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	snprintf(tmp, sizeof(tmp), "%s/tmp", p->dir);
	assert_int_equal(mkdir(tmp, 0700), 0);
	setenv("TMPDIR", tmp, 1);
	series_write(p->file, 8, 60, 0, NULL);
	interrupt_a_commit(p->file, p->dir);
	assert_int_equal(stat(p->file, &before), 0);
	assert_int_equal(count_of(p->file), 60);
	/* Read, not repaired: the file and its journal are as they were, and no copy is left. */
	assert_int_equal(stat(p->file, &after), 0);
	assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	assert_int_equal(access(journal, F_OK), 0);
	assert_int_equal(entries_in(tmp), 0);
	/* It was really interrupted: without the journal it is damaged. */
	assert_int_equal(unlink(journal), 0);
	{
		struct store *s = NULL;
		struct snapshot *snap = NULL;

		if (!store_open(p->file, NULL, &s)) {
			assert_int_equal(store_load(s, 59, &snap), -EBADMSG);
			store_close(s);
		}
		assert_said("E314");
	}
	unsetenv("TMPDIR");
}

static void load_all(struct store *s, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct snapshot *snap = NULL;

		assert_int_equal(store_load(s, i, &snap), 0);
		snapshot_free(snap);
	}
}

static void a_commit_that_is_interrupted_while_we_read_does_no_harm(void **state)
{
	struct place *p = *state;
	struct store_walk *w = NULL;
	struct store_step step;
	struct store *s = NULL;
	char journal[160];
	size_t steps = 0;

	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	series_write(p->file, 8, 60, 0, NULL);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	interrupt_a_commit(p->file, p->dir);
	load_all(s, 60);
	store_close(s);
	assert_int_equal(unlink(journal) | unlink(p->file), 0);

	series_write(p->file, 8, 60, 0, NULL);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	assert_int_equal(store_walk_new(s, &w), 0);
	for (int got; (got = store_walk_next(w, &step)) != 0; steps++) {
		assert_int_equal(got, 1);
		if (step.index == 20)
			interrupt_a_commit(p->file, p->dir);
	}
	assert_int_equal(steps, 60);
	store_walk_free(w);
	store_close(s);
	assert_int_equal(unlink(journal) | unlink(p->file), 0);

	series_write(p->file, 8, 60, 0, NULL);
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	interrupt_a_commit(p->file, p->dir);
	assert_int_equal(store_walk_new(s, &w), 0);
	assert_int_equal(store_walk_next(w, &step), 1);
	store_walk_free(w);
	store_close(s);
}

#define SIGNALS 30

static void a_signal_leaves_no_copy_behind(void **state)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	struct place *p = *state;
	struct store *s = NULL;
	uint64_t rng = 4;
	char tmp[160];

	snprintf(tmp, sizeof(tmp), "%s/tmp", p->dir);
	assert_int_equal(mkdir(tmp, 0700), 0);
	setenv("TMPDIR", tmp, 1);
	series_write(p->file, 8, 60, 0, NULL);
	interrupt_a_commit(p->file, p->dir);
	for (int i = 0; i < SIGNALS; i++) {
		pid_t child = fork();

		if (!child) {
			/* The runner's handlers are of no use here. */
			for (size_t k = 0; k < ARRAY_LEN(ending); k++)
				signal(ending[k], SIG_DFL);
			for (;;) {
				if (store_open(p->file, NULL, &s))
					_exit(1);
				store_close(s);
			}
		}
		usleep((useconds_t)(5000 + below(&rng, 20000)));
		kill(child, ending[i % 3]);
		assert_int_equal(waitpid(child, NULL, 0), child);
		assert_int_equal(entries_in(tmp), 0);
	}
	/* Nor is it there longer than needed. */
	assert_int_equal(store_open(p->file, NULL, &s), 0);
	assert_int_equal(entries_in(tmp), 0);
	load_all(s, 60);
	store_close(s);
	unsetenv("TMPDIR");
}

static void a_journal_that_may_not_be_read_is_named(void **state)
{
	struct place *p = *state;
	char journal[160];
	int status;
	pid_t child;

	if (geteuid() != 0) {
		print_message("skipped: only root can become somebody else\n");
		skip();
	}
	snprintf(journal, sizeof(journal), "%s-journal", p->file);
	series_write(p->file, 8, 60, 0, NULL);
	interrupt_a_commit(p->file, p->dir);
	assert_int_equal(chmod(p->dir, 0755) | chmod(p->file, 0444) | chmod(journal, 0600), 0);
	child = fork();
	if (!child) {
		struct store *s = NULL;

		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(store_open(p->file, NULL, &s) == -EACCES && !strcmp(said.code, "E411") &&
				      strstr(said.message, journal)
			      ? 0
			      : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void no_room_for_the_repair_is_said(void **state)
{
	struct place *p = *state;
	struct store *s = NULL;

	series_write(p->file, 8, 60, 0, NULL);
	interrupt_a_commit(p->file, p->dir);
	setenv("TMPDIR", "/nowhere/at/all", 1);
	assert_int_equal(store_open(p->file, NULL, &s), -ENOENT);
	assert_said("E317");
	assert_non_null(strstr(said.fix, "TMPDIR"));
	unsetenv("TMPDIR");
}

/* ---- killed ---- */

#define KILLS	     60
#define KILLS_FULL   500
#define KILLED_SNAPS 300

struct progress { /* shared with the child */
	volatile uint32_t begun, done;
};

static void write_until_killed(const char *file, uint64_t seed, struct progress *p)
{
	struct store_writer *w = NULL;
	struct gen g;

	gen_start(&g, seed);
	if (create(file, false, &w))
		_exit(1);
	for (unsigned i = 0; i < KILLED_SNAPS; i++) {
		struct snapshot *s = gen_next(&g);

		p->begun++;
		if (store_append(w, s))
			_exit(2);
		p->done++;
		snapshot_free(s);
	}
	_exit(0);
}

/* Every snapshot that was complete, and perhaps the one in progress, is there as it was appended. */
static void check_survivors(const char *file, uint64_t seed, const struct progress *p)
{
	struct store *s = NULL;
	size_t count;
	struct gen g;

	if (!p->done && store_open(file, NULL, &s)) {
		/* Not there yet, empty, or the tables were cut off. */
		assert_true(!strcmp(said.code, "E311") || !strcmp(said.code, "E312") ||
			    !strcmp(said.code, "E315"));
		return;
	}
	if (!s)
		assert_int_equal(store_open(file, NULL, &s), 0);
	store_entries(s, &count);
	assert_true(count >= p->done && count <= p->begun);
	gen_start(&g, seed);
	for (size_t i = 0; i < count; i++) {
		struct snapshot *want = gen_next(&g), *have = NULL;
		char *a = snapshot_text(want), *b;

		assert_int_equal(store_load(s, i, &have), 0);
		b = snapshot_text(have);
		assert_string_equal(a, b);
		free(a);
		free(b);
		snapshot_free(want);
		snapshot_free(have);
	}
	gen_end(&g);
	store_close(s);
}

static void a_kill_at_any_moment_loses_nothing_that_was_complete(void **state)
{
	struct place *place = *state;
	const char *full = getenv("TMBPF_FULL");
	unsigned kills = full && !strcmp(full, "1") ? KILLS_FULL : KILLS, cut_off = 0;
	struct progress *p =
		mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char journal[160];
	uint64_t rng = 77;

	assert_ptr_not_equal(p, MAP_FAILED);
	snprintf(journal, sizeof(journal), "%s-journal", place->file);
	for (unsigned i = 0; i < kills; i++) {
		useconds_t wait_us = (useconds_t)below(&rng, i % 4 ? 60000 : 8000);
		pid_t child;

		p->begun = p->done = 0;
		child = fork();
		if (!child)
			write_until_killed(place->file, i, p);
		usleep(wait_us);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		cut_off += !access(journal, F_OK);
		check_survivors(place->file, i, p);
		(void)unlink(place->file);
		(void)unlink(journal);
	}
	munmap(p, sizeof(*p));
	print_message("%u kills, %u of them in the middle of a commit\n", kills, cut_off);
	assert_true(cut_off > kills / 50);
}

/* ---- a reader that stays ---- */

struct reader { /* a process: locks are a process's */
	pid_t pid;
	int ready[2], go[2];
};

static void reader_start(struct reader *r, const char *file)
{
	char byte = 0;

	assert_int_equal(pipe(r->ready) | pipe(r->go), 0);
	r->pid = fork();
	if (!r->pid) {
		sqlite3 *db = NULL;

		close(r->go[1]); /* the end of the parent is the end of the wait */
		sqlite3_open_v2(file, &db, SQLITE_OPEN_READONLY, NULL);
		sqlite3_exec(db, "BEGIN; SELECT count(*) FROM change", NULL, NULL, NULL);
		(void)!write(r->ready[1], &byte, 1);
		(void)!read(r->go[0], &byte, 1);
		sqlite3_close(db);
		_exit(0);
	}
	assert_int_equal(read(r->ready[0], &byte, 1), 1);
}

static void reader_end(struct reader *r)
{
	assert_int_equal(write(r->go[1], "", 1), 1);
	assert_int_equal(waitpid(r->pid, NULL, 0), r->pid);
	for (int i = 0; i < 2; i++) {
		close(r->ready[i]);
		close(r->go[i]);
	}
}

static void a_reader_that_stays_makes_snapshots_wait(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	struct reader reader;
	int64_t start;
	struct gen g;

	gen_start(&g, 1);
	assert_int_equal(create(p->file, false, &w), 0);
	append_next(w, &g);
	reader_start(&reader, p->file);
	said.warnings = 0;
	append_next(w, &g); /* waits two seconds, then goes on */
	assert_int_equal(said.warnings, 1);
	assert_said("W701");
	start = monotonic_ns();
	append_next(w, &g); /* does not wait again */
	assert_true(monotonic_ns() - start < 1000000000);
	assert_int_equal(said.warnings, 1);
	/* Others still come in meanwhile. */
	assert_int_equal(count_of(p->file), 1);
	reader_end(&reader);
	append_next(w, &g);
	assert_int_equal(count_of(p->file), 4);
	assert_int_equal(store_writer_close(w, NULL), 0);
	gen_end(&g);
}

#define MANY_STACKS 400000 /* some 25 MiB of pages: more than the cache of a writer */

static void append_many_stacks(struct store_writer *w, struct gen *g)
{
	struct snapshot *s = snapshot_new(g->strings);
	struct snap_frame f = {0};

	gen_head(g, s);
	for (int i = 0; i < MANY_STACKS; i++) {
		f.line = i + 1;
		assert_int_equal(
			snapshot_add(s, SNAP_PYTHON, &f, 1, false, (uint64_t)i << 20, 1u << 20), 0);
		s->stacks[i].alloc_bytes = s->stacks[i].alloc_blocks = 1ull << 44;
	}
	assert_int_equal(store_append(w, s), 0);
	snapshot_free(s);
}

/* Pages that the cache has no room for would be written at once, for which SQLite locks everybody out. */
static void a_large_snapshot_locks_no_reader_out(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	struct reader reader;
	int64_t start;
	struct gen g;

	gen_start(&g, 1);
	assert_int_equal(create(p->file, false, &w), 0);
	append_next(w, &g);
	reader_start(&reader, p->file);
	alarm(100); /* it would wait for ever */
	append_many_stacks(w, &g);
	alarm(0);
	assert_said("W701");
	start = monotonic_ns();
	assert_int_equal(count_of(p->file), 1);
	assert_true(monotonic_ns() - start < 2000000000);
	reader_end(&reader);
	assert_int_equal(store_writer_close(w, NULL), 0);
	assert_int_equal(count_of(p->file), 2);
	gen_end(&g);
}

/* ---- a file that goes away ---- */

static void another_file_under_its_name_is_left_alone(void **state)
{
	struct place *p = *state;
	struct store_writer *w = NULL;
	char moved[160];
	struct gen g;

	snprintf(moved, sizeof(moved), "%s/moved.tmb", p->dir);
	gen_start(&g, 1);
	for (int complete = 0; complete < 2; complete++) {
		struct snapshot *s;

		assert_int_equal(create(p->file, false, &w), 0);
		assert_true(store_writer_in_place(w));
		if (complete)
			append_next(w, &g);
		assert_int_equal(rename(p->file, moved), 0);
		write_text(p->file, "precious");
		assert_false(store_writer_in_place(w));
		s = gen_next(&g);
		assert_int_equal(store_append(w, s), -ESTALE);
		assert_said("E708");
		assert_null(strstr(said.message, "complete"));
		snapshot_free(s);
		assert_int_equal(store_writer_close(w, "sigint"), 0);
		assert_text(p->file, "precious");
		assert_int_equal(count_of(moved), complete);
		assert_int_equal(unlink(p->file) | unlink(moved), 0);
	}
	gen_end(&g);
}

static void a_read_only_file_in_a_read_only_directory_is_enough(void **state)
{
	struct place *p = *state;
	int status;
	pid_t child;

	if (geteuid() != 0) {
		print_message("skipped: only root can become somebody else\n");
		skip();
	}
	series_write(p->file, 5, 3, 0, NULL);
	assert_int_equal(chmod(p->file, 0444), 0);
	assert_int_equal(chmod(p->dir, 0555), 0);
	child = fork();
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(count_of(p->file) == 3 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(chmod(p->file, 0600), 0);
	child = fork();
	if (!child) {
		struct store *s = NULL;

		if (setgid(65534) || setuid(65534))
			_exit(1);
		_exit(store_open(p->file, NULL, &s) == -EACCES && !strcmp(said.code, "E411") ? 0
											     : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(only_its_owner_may_read_it),
		TEST(written_through_sudo_it_belongs_to_the_caller),
		TEST(the_name_of_the_journal_stays_taken),
		TEST(what_is_there_stays_without_force),
		TEST(force_takes_the_old_journal_away_too),
		TEST(a_symlink_is_never_followed),
		TEST(a_planted_journal_deletes_nothing),
		TEST(a_journal_of_somebody_else_is_not_used),
		TEST(pipes_under_the_names_that_sqlite_knows_stop_nobody),
		TEST(a_planted_write_ahead_log_changes_nothing),
		TEST(a_directory_and_a_missing_one_are_refused),
		TEST(a_second_recorder_is_sent_away),
		TEST(a_full_disk_loses_nothing_that_was_complete),
		TEST(an_interrupted_commit_is_read_without_it),
		TEST(a_commit_that_is_interrupted_while_we_read_does_no_harm),
		TEST(a_signal_leaves_no_copy_behind),
		TEST(a_journal_that_may_not_be_read_is_named),
		TEST(no_room_for_the_repair_is_said),
		TEST(a_kill_at_any_moment_loses_nothing_that_was_complete),
		TEST(a_reader_that_stays_makes_snapshots_wait),
		TEST(a_large_snapshot_locks_no_reader_out),
		TEST(another_file_under_its_name_is_left_alone),
		TEST(a_read_only_file_in_a_read_only_directory_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
