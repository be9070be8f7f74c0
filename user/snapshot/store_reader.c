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
#include "snapshot/store_priv.h"

/* Steps of SQLite's virtual machine: some ten a row; far above what a whole file can need. */
#define BUDGET_MIN	50000000
#define BUDGET_PER_BYTE 16

static int cannot_read(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM)
		return log_coded_err(err, "E411",
				     "read it as its owner, or give it to you with chown",
				     "not permitted to read %s", path);
	return log_coded_err(err, "E311", NULL, "cannot read %s: %s", path, strerror(-err));
}

static int refuse(const char *path, enum store_format format, const unsigned char *head)
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
	s->file_bytes = (uint64_t)st.st_size;
	s->live = store_is_locked(fd);
	return refuse(s->path, store_format_of(head, (size_t)n), head);
}

void store_budget_reset(struct store *s)
{
	s->db.budget = BUDGET_MIN + s->file_bytes * BUDGET_PER_BYTE;
}

static int read_series(struct store *s)
{
	int err = store_db_exec(&s->db, "BEGIN");

	if (!err)
		err = store_schema_check(&s->db);
	if (!err)
		err = store_meta_read(&s->db, &s->meta, &s->meta_text);
	if (!err)
		err = store_heads_read(&s->db, &s->heads, &s->count);
	if (!err)
		err = store_meta_check_series(&s->db, s->count,
					      s->count ? s->heads[s->count - 1].entry.seq : 0);
	return err ? err : store_db_exec(&s->db, "COMMIT");
}

static int open_file(struct store *s, const char *file, enum store_access access)
{
	int err;

	store_budget_reset(s);
	err = store_db_open(&s->db, file, access);
	return err ? err : read_series(s);
}

static int open_repaired(struct store *s)
{
	int err;

	store_db_close(&s->db);
	err = store_copy_make(s->path, s->file, &s->copy_dir, &s->copy);
	if (err)
		return err;
	log_info("%s was cut off while it was written: reading a repaired copy", s->path);
	err = open_file(s, s->copy, STORE_REPAIR);
	return err == -EUCLEAN ? store_damaged(&s->db, "it cannot be repaired") : err;
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
	err = open_file(s, s->file, STORE_READ);
	if (err == -EUCLEAN)
		err = open_repaired(s);
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
	store_copy_remove(s->copy_dir, s->copy);
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
