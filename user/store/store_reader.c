/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens a series for reading. Nothing is held between two calls, so that a report in a pager does not
 * keep the recorder waiting; what may change meanwhile is only that snapshots are added or thinned out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "store/store_priv.h"

/*
 * Steps of SQLite's virtual machine: some ten a row, half a step a byte of a whole file; far above that. Holes do
 * not count, because the size of a file costs nothing.
 */
#define BUDGET_MIN	50000000
#define BUDGET_MAX	(1ull << 34)
#define BUDGET_PER_BYTE 16

static int cannot_read(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM)
		return log_coded_err(err, "E411",
				     "read it as its owner, or give it to you with chown",
				     "not permitted to read %s", path);
	return log_coded_err(err, "E311", NULL, "cannot read %s: %s", path, strerror(-err));
}

static int refuse_format(const char *path, enum store_format format, const unsigned char *head)
{
	switch (format) {
	case STORE_FORMAT_OURS:
		return 0;
	case STORE_FORMAT_EMPTY:
		return log_coded_err(-EMEDIUMTYPE, "E312", NULL,
				     "%s is empty: not a snapshot of tmbpf", path);
	case STORE_FORMAT_NEWER:
		return log_coded_err(
			-EPROTO, "E313", "read it with the tmbpf that wrote it, or a newer one",
			"%s has version %u of the snapshot format; this tmbpf reads %d", path,
			store_schema_of(head), STORE_SCHEMA_VERSION);
	case STORE_FORMAT_WAL:
		return log_coded_err(
			-EMEDIUMTYPE, "E312", "sqlite3 FILE 'pragma journal_mode=delete'",
			"%s was converted to write-ahead logging: it is not complete in itself",
			path);
	case STORE_FORMAT_SQLITE:
		return log_coded_err(-EMEDIUMTYPE, "E312", NULL,
				     "%s is an SQLite database of another program", path);
	case STORE_FORMAT_FOREIGN:
		break;
	}
	return log_coded_err(-EMEDIUMTYPE, "E312", NULL, "%s is not a snapshot of tmbpf", path);
}

/* By its first bytes, before SQLite sees it. The descriptor is closed again before SQLite opens its own. */
static int look_at_file(struct store *s)
{
	_cleanup_close_ int fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	unsigned char head[STORE_HEAD_BYTES];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return cannot_read(s->path, -errno);
	if (S_ISDIR(st.st_mode))
		return log_coded_err(-EISDIR, "E312", "name a file in it", "%s is a directory",
				     s->path);
	if (!S_ISREG(st.st_mode))
		return log_coded_err(-EMEDIUMTYPE, "E312", NULL, "%s is no regular file", s->path);
	n = pread(fd, head, sizeof(head), 0);
	if (n < 0)
		return cannot_read(s->path, -errno);
	s->data_bytes = store_data_bytes(fd);
	s->live = store_is_locked(fd);
	return refuse_format(s->path, store_format_of(head, (size_t)n), head);
}

static void budget_reset(struct store *s)
{
	uint64_t steps;

	if (__builtin_mul_overflow(s->data_bytes, BUDGET_PER_BYTE, &steps) || steps > BUDGET_MAX)
		steps = BUDGET_MAX;
	s->db.budget = BUDGET_MIN + steps;
}

/*
 * Unlink the copy as soon as SQLite has played the journal back, so that nothing can be left on disk.
 */
static int open_repaired(struct store *s)
{
	struct store_copy copy;
	int err;

	store_db_close(&s->db);
	err = store_copy_make(s->path, s->file, &copy);
	if (err)
		return err;
	log_info("%s was cut off while it was written: reading a repaired copy", s->path);
	s->repaired = true;
	err = store_db_open(&s->db, copy.file, STORE_REPAIR);
	if (!err)
		err = store_schema_check(&s->db);
	store_copy_remove(&copy);
	return err == -EUCLEAN ? store_damaged(&s->db, "it cannot be repaired") : err;
}

static int in_transaction(struct store *s, int (*fn)(struct store *s, void *ctx), void *ctx)
{
	int err = store_db_exec(&s->db, "BEGIN");

	if (err)
		return err;
	err = fn(s, ctx);
	/* Reading again is all that a failed read transaction needs. */
	(void)sqlite3_exec(s->db.sql, "COMMIT", NULL, NULL, NULL);
	return err;
}

int store_read(struct store *s, int (*fn)(struct store *s, void *ctx), void *ctx)
{
	int err;

	budget_reset(s);
	err = in_transaction(s, fn, ctx);
	if (err == -EUCLEAN && !s->repaired) {
		err = open_repaired(s);
		if (!err)
			err = in_transaction(s, fn, ctx);
	}
	return err == -EUCLEAN ? store_damaged(&s->db, "it cannot be repaired") : err;
}

static int read_series(struct store *s, void *ctx)
{
	int err = store_schema_check(&s->db);

	(void)ctx;
	if (err)
		return err;
	err = store_meta_read(&s->db, &s->meta, &s->meta_text);
	if (err)
		return err;
	err = store_heads_read(&s->db, &s->heads, &s->count);
	if (err)
		return err;
	err = store_meta_check_series(&s->db, s->count,
				      s->count ? s->heads[s->count - 1].entry.seq : 0);
	return err;
}

static int list_entries(struct store *s)
{
	s->entries = calloc(s->count + 1, sizeof(*s->entries));
	if (!s->entries)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		s->entries[i] = s->heads[i].entry;
	return 0;
}

int store_open(const char *path, struct intern *strings, struct store **out)
{
	_cleanup_(store_closep) struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->strings = strings ? strings : intern_new();
	s->own_strings = !strings;
	s->path = strdup(path);
	if (!s->strings || !s->path)
		return -ENOMEM;
	s->db.path = s->path;
	err = look_at_file(s);
	if (err)
		return err;
	/* Links are followed for reading, and the journal lies beside the file that they lead to. */
	s->file = realpath(path, NULL);
	if (!s->file)
		return cannot_read(path, -errno);
	budget_reset(s);
	err = store_db_open(&s->db, s->file, STORE_READ);
	if (err == -EUCLEAN)
		err = open_repaired(s);
	if (!err)
		err = store_read(s, read_series, NULL);
	if (!err)
		err = list_entries(s);
	if (err)
		return err;
	*out = take_ptr(s);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_db_close(&s->db);
	store_names_release(&s->names);
	if (s->own_strings)
		intern_free(s->strings);
	free(s->heads);
	free(s->entries);
	free(s->meta_text);
	free(s->file);
	free(s->path);
	free(s);
}

const struct store_meta *store_meta(const struct store *s)
{
	return &s->meta;
}

const struct store_entry *store_entries(const struct store *s, size_t *count)
{
	*count = s->count;
	return s->entries;
}

struct intern *store_strings(const struct store *s)
{
	return s->strings;
}

bool store_is_live(const struct store *s)
{
	return s->live;
}
