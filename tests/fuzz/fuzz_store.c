/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: a file of snapshots. First byte: 0 the rest is the file; 1 the rest are patches of a good one
 * (3 bytes where, 1 how many, then these); 2 the rest are changes of its rows (1 table, 1 column, 1 row,
 * 1 how the value is made, 8 value), which come through where random bytes are stopped by SQLite.
 * Holds: no crash; what is loaded is in itself consistent; a walk and a load agree.
 */
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char dir[64], file[96];
static uint8_t *good;
static size_t good_len;

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void remove_dir(void)
{
	char journal[128];

	snprintf(journal, sizeof(journal), "%s-journal", file);
	unlink(journal);
	unlink(file);
	rmdir(dir);
}

/* Pages as small as can be: less to flip, and trees that have inner nodes. */
static void shrink_pages(void)
{
	sqlite3 *db = NULL;

	must(!sqlite3_open(file, &db));
	must(!sqlite3_exec(db, "PRAGMA page_size=512; VACUUM", NULL, NULL, NULL));
	sqlite3_close(db);
}

static void make_good(void)
{
	struct store_meta meta = {.pid = 4711, .comm = "python3", .mode = "exact", .frames = 25};
	struct store_opts opts = {.keep = 5};
	struct intern *in = intern_new();
	struct store_writer *w = NULL;

	must(!store_create(file, &meta, &opts, &w));
	for (uint32_t seq = 1; seq <= 8; seq++) {
		struct snapshot *s = snapshot_new(in);

		s->seq = seq;
		s->time_ns = seq * 60000000000ll;
		s->mode = "exact";
		s->drops[seq % TM_DROP_COUNT] = seq;
		s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 5, 1, 0};
		for (uint32_t i = 0; i < 12; i++) {
			struct snap_frame f[3] = {{.line = (int32_t)i}, {.line = 5}, {.line = 7}};
			char name[16];

			snprintf(name, sizeof(name), "m%u.py", i % 4);
			must(!intern_str(in, name, &f[0].file));
			f[1].file = f[2].file = f[0].file;
			must(!snapshot_add(s, (enum snap_domain)(i % 2), f, 1 + i % 3, i % 5 == 0,
					   i * seq, i));
		}
		must(!store_append(w, s));
		snapshot_free(s);
	}
	must(!store_writer_close(w, "sigint"));
	intern_free(in);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	int fd;

	(void)argc;
	(void)argv;
	snprintf(dir, sizeof(dir), "%s/fuzz-store-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	must(mkdtemp(dir) != NULL);
	snprintf(file, sizeof(file), "%s/f.tmb", dir);
	atexit(remove_dir);
	make_good();
	shrink_pages();
	fd = open(file, O_RDONLY);
	good_len = (size_t)lseek(fd, 0, SEEK_END);
	good = malloc(good_len);
	must(good && pread(fd, good, good_len, 0) == (ssize_t)good_len);
	close(fd);
	stderr = fopen("/dev/null", "w"); /* the messages; libFuzzer writes to the descriptor */
	return 0;
}

static void write_file(const uint8_t *bytes, size_t len)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	must(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	close(fd);
}

static void write_patched(const uint8_t *p, size_t len)
{
	uint8_t *bytes = malloc(good_len);

	must(bytes != NULL);
	memcpy(bytes, good, good_len);
	while (len >= 5) {
		size_t at = (p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16) % good_len,
		       n = p[3] % 16u;

		p += 4;
		len -= 4;
		n = n < len ? n : len;
		n = n < good_len - at ? n : good_len - at;
		memcpy(bytes + at, p, n);
		p += n;
		len -= n;
	}
	write_file(bytes, good_len);
	free(bytes);
}

static void write_changed(const uint8_t *p, size_t len)
{
	static const struct {
		const char *name, *columns[6];
	} tables[] = {
		{"string", {"id", "text"}},
		{"frame", {"id", "file", "function", "line"}},
		{"stack", {"id", "parent", "frame"}},
		{"trace", {"id", "stack", "domain", "thread", "truncated"}},
		{"snapshot", {"id", "time_ns", "stacks", "live_bytes", "content", "checksum"}},
		{"change", {"snapshot", "trace", "live_bytes", "live_blocks", "alloc_bytes"}},
		{"base", {"snapshot", "trace", "live_bytes", "live_blocks", "alloc_bytes"}},
		{"loss", {"snapshot", "reason", "count"}},
		{"coverage", {"snapshot", "domain", "recorded", "missed", "moving"}},
		{"meta", {"key", "value"}},
	};
	static const char *const values[] = {"%lld",	    "%lld & 15",
					     "-(%lld)",	    "zeroblob(%lld & 4095)",
					     "NULL + %lld", "%lld * 0.37"};
	sqlite3 *db = NULL;

	write_file(good, good_len);
	must(!sqlite3_open(file, &db));
	sqlite3_exec(db, "PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY; BEGIN", NULL, NULL,
		     NULL);
	for (; len >= 12; p += 12, len -= 12) {
		unsigned t = p[0] % (sizeof(tables) / sizeof(*tables));
		const char *column = tables[t].columns[p[1] % 6];
		char value[64], sql[256];
		long long v;

		memcpy(&v, p + 4, sizeof(v));
		if (!column)
			continue;
		snprintf(value, sizeof(value), values[p[3] % 6], v);
		if (p[3] & 0x80)
			snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE %s %% %u = 0",
				 tables[t].name, column, p[2] + 1u);
		else
			snprintf(sql, sizeof(sql),
				 "UPDATE OR IGNORE %s SET %s = %s WHERE %s %% %u = 0",
				 tables[t].name, column, value, tables[t].columns[0], p[2] + 1u);
		sqlite3_exec(db, sql, NULL, NULL, NULL);
	}
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
}

static void check_snapshot(const struct snapshot *s)
{
	uint64_t bytes = 0, blocks = 0;

	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		must((size_t)st->first_frame + st->frame_count <= s->frame_count);
		for (size_t k = 0; k < st->frame_count; k++)
			must(intern_get(s->strings, s->frames[st->first_frame + k].file) != NULL);
		(void)snapshot_domain_number(s, st->domain);
		bytes += st->bytes;
		blocks += st->blocks;
	}
	must(bytes == s->live_bytes && blocks == s->live_blocks);
}

static void read_all(struct store *s)
{
	struct store_walk *walk = NULL;
	struct store_step step;
	size_t count, index;
	const struct store_entry *e = store_entries(s, &count);

	for (size_t i = 0; i < count && i < 20; i++) {
		struct snapshot *snap = NULL;

		if (!store_load(s, i, &snap))
			check_snapshot(snap);
		if (snap)
			must(snap->stack_count == e[i].stacks);
		snapshot_free(snap);
	}
	(void)store_find(s, "last", &index);
	(void)store_find(s, "00:01:30Z", &index);
	if (store_walk_new(s, &walk))
		return;
	while (store_walk_next(walk, &step) == 1)
		check_snapshot(step.snapshot);
	store_walk_free(walk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct store *s = NULL;

	if (!len)
		return 0;
	if (data[0] == 0)
		write_file(data + 1, len - 1);
	else if (data[0] & 1)
		write_patched(data + 1, len - 1);
	else
		write_changed(data + 1, len - 1);
	if (!store_open(file, NULL, &s))
		read_all(s);
	store_close(s);
	return 0;
}
