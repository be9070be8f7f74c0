/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables and views of a series; docs/snapshot-format.md explains them. A reader of ours touches only
 * tables, and only after their text was found to be the one below: anything else could make it evaluate
 * untrusted expressions. Any change of a table raises STORE_SCHEMA_VERSION.
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "store/store_priv.h"

/* clang-format off */
static const struct table {
	const char *name, *sql;
} tables[] = {
	{"meta", "CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID"},
	{"string", "CREATE TABLE string(id INTEGER PRIMARY KEY, text TEXT)"},
	{"frame", "CREATE TABLE frame(id INTEGER PRIMARY KEY, file INTEGER, function INTEGER, line INTEGER)"},
	{"stack", "CREATE TABLE stack(id INTEGER PRIMARY KEY, parent INTEGER, frame INTEGER)"},
	{"trace", "CREATE TABLE trace(id INTEGER PRIMARY KEY, stack INTEGER, domain INTEGER, thread INTEGER,"
		" truncated INTEGER)"},
	{"snapshot", "CREATE TABLE snapshot(id INTEGER PRIMARY KEY, time_ns INTEGER, elapsed_s REAL,"
		" mode TEXT, rss_bytes INTEGER, stacks INTEGER, live_bytes INTEGER, live_blocks INTEGER,"
		" alloc_bytes INTEGER, alloc_blocks INTEGER, events INTEGER, cost_ratio REAL,"
		" cost_uncertainty REAL, drain_s REAL, slowdown_ratio REAL, gap_from_ns INTEGER,"
		" gap_to_ns INTEGER, gap_malloc INTEGER, gap_bytes INTEGER, gap_blocks INTEGER,"
		" content INTEGER, checksum INTEGER)"},
	{"change", "CREATE TABLE change(snapshot INTEGER, trace INTEGER, live_bytes INTEGER,"
		" live_blocks INTEGER, alloc_bytes INTEGER, alloc_blocks INTEGER,"
		" PRIMARY KEY(snapshot, trace)) WITHOUT ROWID"},
	{"base", "CREATE TABLE base(snapshot INTEGER, trace INTEGER, live_bytes INTEGER,"
		" live_blocks INTEGER, alloc_bytes INTEGER, alloc_blocks INTEGER,"
		" PRIMARY KEY(snapshot, trace)) WITHOUT ROWID"},
	{"loss", "CREATE TABLE loss(snapshot INTEGER, reason TEXT, count INTEGER,"
		" PRIMARY KEY(snapshot, reason)) WITHOUT ROWID"},
	{"coverage", "CREATE TABLE coverage(snapshot INTEGER, domain INTEGER, recorded INTEGER,"
		" missed INTEGER, moving INTEGER, PRIMARY KEY(snapshot, domain)) WITHOUT ROWID"},
};

/* For people: read by no part of the program. Only what SQLite 3.8.3 (2014) understands. */
#define VALUES "live_bytes, live_blocks, alloc_bytes, alloc_blocks"
#define DOMAIN_NAME(d) "CASE " d " WHEN 0 THEN 'python' WHEN 1953325569 THEN 'native' ELSE " d " END"
#define TIME_TEXT(t) "strftime('%Y-%m-%dT%H:%M:%fZ', " t " / 1e9, 'unixepoch')"
#define NAMES_OF(traces) \
	" FROM " traces " JOIN trace t ON t.id = c.trace LEFT JOIN stack s ON s.id = t.stack" \
	" LEFT JOIN frame f ON f.id = s.frame LEFT JOIN string file ON file.id = f.file" \
	" LEFT JOIN string function ON function.id = f.function"

static const char *const views[] = {
	"CREATE VIEW series AS SELECT id AS snapshot, " TIME_TEXT("time_ns") " AS time, elapsed_s,"
	" live_bytes, live_blocks, alloc_bytes, alloc_blocks, rss_bytes, stacks, mode, cost_ratio, slowdown_ratio,"
	" (SELECT coalesce(sum(count), 0) FROM loss WHERE loss.snapshot = s.id) AS lost,"
	" (SELECT round(100.0 * sum(recorded) / sum(recorded + missed), 3) FROM coverage c"
	" WHERE c.snapshot = s.id) AS coverage_percent FROM snapshot s ORDER BY id",

	/* Bare columns beside max() come from the row that has it: https://www.sqlite.org/lang_select.html */
	"CREATE VIEW sizes AS SELECT snapshot, trace, " VALUES " FROM (SELECT s.id AS snapshot, c.trace,"
	" max(c.snapshot), c.live_bytes, c.live_blocks, c.alloc_bytes, c.alloc_blocks FROM snapshot s"
	" JOIN change c ON c.snapshot <= s.id GROUP BY s.id, c.trace)"
	" WHERE live_bytes OR live_blocks OR alloc_bytes OR alloc_blocks",

	"CREATE VIEW current AS SELECT trace, " VALUES " FROM (SELECT trace, max(snapshot), " VALUES
	" FROM (SELECT snapshot, trace, " VALUES " FROM base WHERE snapshot = (SELECT max(snapshot) FROM base)"
	" UNION ALL SELECT snapshot, trace, " VALUES " FROM change WHERE snapshot >"
	" (SELECT coalesce(max(snapshot), 0) FROM base)) GROUP BY trace)"
	" WHERE live_bytes OR live_blocks OR alloc_bytes OR alloc_blocks",

	"CREATE VIEW traces AS SELECT t.id AS trace, " DOMAIN_NAME("t.domain") " AS domain,"
	" coalesce(file.text, '<unknown>') AS file, coalesce(f.line, 0) AS line,"
	" coalesce(function.text, '') AS function, thread.text AS thread, t.truncated, t.stack"
	NAMES_OF("(SELECT id AS trace FROM trace) c") " LEFT JOIN string thread ON thread.id = t.thread",

	"CREATE VIEW top_lines AS SELECT file, line, function, domain, " VALUES " FROM"
	" (SELECT coalesce(file.text, '<unknown>') AS file, coalesce(f.line, 0) AS line,"
	" coalesce(function.text, '') AS function, " DOMAIN_NAME("t.domain") " AS domain,"
	" sum(c.live_bytes) AS live_bytes, sum(c.live_blocks) AS live_blocks,"
	" sum(c.alloc_bytes) AS alloc_bytes, sum(c.alloc_blocks) AS alloc_blocks, max(c.live_bytes)"
	NAMES_OF("current c")
	" GROUP BY file.text, f.line, t.domain) ORDER BY live_bytes DESC, live_blocks DESC, file, line",

	"CREATE VIEW growth AS SELECT file, line, function, domain, first_bytes, last_bytes,"
	" last_bytes - first_bytes AS growth_bytes, last_blocks - first_blocks AS growth_blocks,"
	" (last_bytes - first_bytes) / nullif((SELECT (max(time_ns) - min(time_ns)) / 1e9 FROM snapshot), 0)"
	" AS growth_bytes_per_s FROM (SELECT coalesce(file.text, '<unknown>') AS file,"
	" coalesce(f.line, 0) AS line, coalesce(function.text, '') AS function, " DOMAIN_NAME("t.domain")
	" AS domain, sum(c.first_bytes) AS first_bytes, sum(c.last_bytes) AS last_bytes,"
	" sum(c.first_blocks) AS first_blocks, sum(c.last_blocks) AS last_blocks, max(c.last_bytes)"
	NAMES_OF("(SELECT trace, live_bytes AS first_bytes, 0 AS last_bytes, live_blocks AS first_blocks,"
	" 0 AS last_blocks FROM change WHERE snapshot = (SELECT min(id) FROM snapshot) UNION ALL"
	" SELECT trace, 0, live_bytes, 0, live_blocks FROM current) c")
	" GROUP BY file.text, f.line, t.domain) ORDER BY growth_bytes DESC, growth_blocks DESC, file, line",
};
/* clang-format on */

int store_schema_create(struct store_db *db)
{
	char sql[96];
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_LEN(tables); i++)
		err = store_db_exec(db, tables[i].sql);
	for (size_t i = 0; !err && i < ARRAY_LEN(views); i++)
		err = store_db_exec(db, views[i]);
	snprintf(sql, sizeof(sql), "PRAGMA application_id=%d; PRAGMA user_version=%d",
		 STORE_APPLICATION_ID, STORE_SCHEMA_VERSION);
	return err ? err : store_db_exec(db, sql);
}

static const struct table *table_named(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_LEN(tables); i++) {
		if (!strcmp(tables[i].name, name))
			return &tables[i];
	}
	return NULL;
}

/* One row of sqlite_schema: our tables as we made them, and nothing that SQLite would run along with them. */
static int check_row(struct store_db *db, sqlite3_stmt *st, unsigned *found)
{
	const char *type = (const char *)sqlite3_column_text(st, 0);
	const char *name = (const char *)sqlite3_column_text(st, 1);
	const char *tbl_name = (const char *)sqlite3_column_text(st, 2);
	const char *sql = (const char *)sqlite3_column_text(st, 3);
	const struct table *table = table_named(tbl_name);

	if (!table || (type && !strcmp(type, "index") && !sql))
		return 0;
	if (!type || strcmp(type, "table") != 0 || !name || strcmp(name, tbl_name) != 0 || !sql ||
	    strcmp(sql, table->sql) != 0)
		return store_damaged(db, "its table '%s' is not the one that tmbpf makes",
				     table->name);
	*found |= 1u << (table - tables);
	return 0;
}

int store_schema_check(struct store_db *db)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	unsigned found = 0, rows = 0;
	int err = store_db_prepare(db, "SELECT type, name, tbl_name, sql FROM sqlite_master", &st),
	    row;

	if (err)
		return err;
	while ((row = store_db_step(db, st)) == 1) {
		rows++;
		err = check_row(db, st, &found);
		if (err)
			return err;
	}
	if (row)
		return row;
	if (!rows)
		return log_coded_err(
			-ENOENT, "E315", NULL,
			"%s holds nothing: its recorder ended before the first snapshot", db->path);
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		if (!(found & 1u << i))
			return store_damaged(db, "it has no table '%s'", tables[i].name);
	}
	return 0;
}
