/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about the recording as a whole: table `meta`, one row a fact, with a checksum. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "store/store_priv.h"

#define META_ROWS_MAX 256 /* newer versions may write more rows, but not this many */
#define CHECKSUM_KEY  "checksum"
#define COUNT_KEY     "snapshots"
#define LAST_KEY      "last_snapshot"

enum kind { KIND_INT, KIND_UNSIGNED, KIND_I64, KIND_U64, KIND_DOUBLE, KIND_BOOL, KIND_TEXT };

#define FIELD(name, kind)                                      \
	{                                                      \
#name, kind, offsetof(struct store_meta, name) \
	}

static const struct field {
	const char *key;
	enum kind kind;
	size_t off;
} fields[] = {
	FIELD(pid, KIND_INT),
	FIELD(start_ns, KIND_I64),
	FIELD(attach_ns, KIND_I64),
	FIELD(comm, KIND_TEXT),
	FIELD(command, KIND_TEXT),
	FIELD(program, KIND_TEXT),
	FIELD(python_version, KIND_TEXT),
	FIELD(libc, KIND_TEXT),
	FIELD(container, KIND_TEXT),
	FIELD(host, KIND_TEXT),
	FIELD(tool_version, KIND_TEXT),
	FIELD(mode, KIND_TEXT),
	FIELD(sampling, KIND_TEXT),
	FIELD(end_reason, KIND_TEXT),
	FIELD(cgroup_limit_bytes, KIND_U64),
	FIELD(frames, KIND_UNSIGNED),
	FIELD(every_s, KIND_DOUBLE),
	FIELD(threads, KIND_BOOL),
	{"python", KIND_BOOL, offsetof(struct store_meta, domains[SNAP_PYTHON])},
	{"native", KIND_BOOL, offsetof(struct store_meta, domains[SNAP_NATIVE])},
};

static const struct field *field_named(const char *key)
{
	for (size_t i = 0; key && i < ARRAY_LEN(fields); i++) {
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	}
	return NULL;
}

/* Bind a fact. Returns: false when it is not known and gets no row. */
static bool bind_value(sqlite3_stmt *st, int at, const struct store_meta *m, const struct field *f)
{
	const char *base = (const char *)m + f->off;
	const char *text;

	switch (f->kind) {
	case KIND_INT:
		return !sqlite3_bind_int(st, at, *(const int *)(const void *)base);
	case KIND_UNSIGNED:
		return !sqlite3_bind_int64(st, at, *(const unsigned *)(const void *)base);
	case KIND_I64:
	case KIND_U64:
		return !sqlite3_bind_int64(st, at, *(const int64_t *)(const void *)base);
	case KIND_DOUBLE:
		return !sqlite3_bind_double(st, at, *(const double *)(const void *)base);
	case KIND_BOOL:
		return !sqlite3_bind_int(st, at, *(const bool *)(const void *)base);
	case KIND_TEXT:
		break;
	}
	text = *(const char *const *)(const void *)base;
	return text && !sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC);
}

/* Over all rows but its own, in order of their keys. */
static int rows_checksum(struct store_db *db, uint64_t *sum)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	uint64_t h = 0;
	int err = store_db_prepare(db, "SELECT key, value FROM meta ORDER BY key", &st), row;

	if (err)
		return err;
	while ((row = store_db_step(db, st)) == 1) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		const char *value;

		if (key && !strcmp(key, CHECKSUM_KEY))
			continue;
		for (int i = 0; i < 2; i++) {
			value = (const char *)sqlite3_column_text(st, i);
			h = store_mix_bytes(h, value, (size_t)sqlite3_column_bytes(st, i));
		}
		h = store_mix(h, (uint64_t)sqlite3_column_type(st, 1));
	}
	*sum = h;
	return row;
}

static int write_checksum(struct store_db *db)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	uint64_t sum;
	int err = rows_checksum(db, &sum);

	if (!err)
		err = store_db_prepare(
			db, "INSERT OR REPLACE INTO meta VALUES('" CHECKSUM_KEY "', ?)", &st);
	if (err)
		return err;
	sqlite3_bind_int64(st, 1, (int64_t)sum);
	return store_db_run(db, st);
}

int store_meta_write(struct store_db *db, const struct store_meta *meta)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	struct store_meta m = *meta;
	int err = store_db_prepare(db, "INSERT INTO meta VALUES(?, ?)", &st);

	if (!m.tool_version)
		m.tool_version = TMBPF_VERSION;
	for (size_t i = 0; !err && i < ARRAY_LEN(fields); i++) {
		if (!bind_value(st, 2, &m, &fields[i]))
			continue;
		sqlite3_bind_text(st, 1, fields[i].key, -1, SQLITE_STATIC);
		err = store_db_run(db, st);
	}
	return err ? err : store_meta_set_series(db, 0, 0);
}

static int put_row(struct store_db *db, sqlite3_stmt *st, const char *key, int64_t value)
{
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, value);
	return store_db_run(db, st);
}

int store_meta_set_series(struct store_db *db, size_t count, uint32_t last_seq)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(db, "INSERT OR REPLACE INTO meta VALUES(?, ?)", &st);

	if (!err)
		err = put_row(db, st, COUNT_KEY, (int64_t)count);
	if (!err)
		err = put_row(db, st, LAST_KEY, last_seq);
	return err ? err : write_checksum(db);
}

static int get_row(struct store_db *db, const char *key, int64_t *value)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(db, "SELECT value FROM meta WHERE key = ?", &st);

	if (err)
		return err;
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	err = store_db_step(db, st);
	*value = err == 1 ? sqlite3_column_int64(st, 0) : -1;
	return err == 1 ? 0 : err;
}

int store_meta_check_series(struct store_db *db, size_t count, uint32_t last_seq)
{
	int64_t want_count, want_last;
	int err = get_row(db, COUNT_KEY, &want_count);

	if (!err)
		err = get_row(db, LAST_KEY, &want_last);
	if (!err && ((int64_t)count != want_count || (int64_t)last_seq != want_last))
		err = store_damaged(db, "it should hold %lld snapshots up to %lld",
				    (long long)want_count, (long long)want_last);
	return err;
}

int store_meta_set_end(struct store_db *db, const char *reason)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_exec(db, "BEGIN IMMEDIATE");

	if (err)
		return err;
	err = store_db_prepare(db, "INSERT OR REPLACE INTO meta VALUES('end_reason', ?)", &st);
	if (err)
		return err;
	sqlite3_bind_text(st, 1, reason, -1, SQLITE_STATIC);
	err = store_db_run(db, st);
	if (err)
		return err;
	err = write_checksum(db);
	return err ? err : store_db_exec(db, "COMMIT");
}

struct reading {
	struct buf text;	      /* strings, each with its NUL */
	size_t at[ARRAY_LEN(fields)]; /* where in it, + 1; 0 = none */
};

static int read_value(struct reading *r, struct store_meta *m, sqlite3_stmt *st,
		      const struct field *f)
{
	char *base = (char *)m + f->off;
	int64_t v = sqlite3_column_int64(st, 1);
	const char *text;

	switch (f->kind) {
	case KIND_INT:
		*(int *)(void *)base = (int)v;
		return 0;
	case KIND_UNSIGNED:
		*(unsigned *)(void *)base = (unsigned)v;
		return 0;
	case KIND_I64:
	case KIND_U64:
		*(int64_t *)(void *)base = v;
		return 0;
	case KIND_DOUBLE:
		*(double *)(void *)base = sqlite3_column_double(st, 1);
		return 0;
	case KIND_BOOL:
		*(bool *)(void *)base = v;
		return 0;
	case KIND_TEXT:
		break;
	}
	text = (const char *)sqlite3_column_text(st, 1);
	r->at[f - fields] = r->text.len + 1;
	/*
	 * Append a NUL of its own to each, because the builder's NUL is overwritten by the next
	 * string.
	 */
	return buf_append(&r->text, text ? text : "", text ? strlen(text) + 1 : 1);
}

static int read_rows(struct store_db *db, struct reading *r, struct store_meta *m,
		     int64_t *checksum)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	unsigned rows = 0;
	int err = store_db_prepare(db, "SELECT key, value FROM meta ORDER BY key", &st), row;

	if (err)
		return err;
	while ((row = store_db_step(db, st)) == 1) {
		const char *key = (const char *)sqlite3_column_text(st, 0);
		const struct field *f = field_named(key);

		if (++rows > META_ROWS_MAX)
			return store_damaged(db, "too many rows in 'meta'");
		if (key && !strcmp(key, CHECKSUM_KEY))
			*checksum = sqlite3_column_int64(st, 1);
		err = f ? read_value(r, m, st, f) : 0;
		if (err)
			return err;
	}
	return row;
}

int store_meta_read(struct store_db *db, struct store_meta *meta, char **text)
{
	struct reading r = {0};
	struct store_meta m = {0};
	int64_t checksum = 0;
	uint64_t sum = 0;
	int err = read_rows(db, &r, &m, &checksum);

	if (!err)
		err = rows_checksum(db, &sum);
	if (!err && sum != (uint64_t)checksum)
		err = store_damaged(db, "the checksum of 'meta' is wrong");
	if (err) {
		buf_release(&r.text);
		return err;
	}
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		if (r.at[i])
			*(const char **)(void *)((char *)&m + fields[i].off) =
				r.text.data + r.at[i] - 1;
	}
	*meta = m;
	*text = r.text.data;
	return 0;
}
