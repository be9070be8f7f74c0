/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of a snapshot: its row in `snapshot`, its losses and its coverage. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "store/store_priv.h"

#define DROP_KEY(name, key, text, remedy) #key,
static const char *const drop_keys[TM_DROP_COUNT] = {TM_DROP_LIST(DROP_KEY)};

uint64_t store_head_checksum(const struct store_head *h)
{
	const struct store_entry *e = &h->entry;
	const uint64_t numbers[] = {e->seq,
				    (uint64_t)e->time_ns,
				    e->rss_bytes,
				    e->stacks,
				    e->live_bytes,
				    e->live_blocks,
				    e->alloc_bytes,
				    e->alloc_blocks,
				    h->events,
				    h->content,
				    (uint64_t)h->gap.from_ns,
				    (uint64_t)h->gap.to_ns,
				    h->gap.malloc_only,
				    h->gap.bytes,
				    h->gap.blocks};
	const double doubles[] = {e->elapsed_s, h->drain_s, h->cost_cpu_ratio, h->cost_uncertainty,
				  h->slowdown_ratio};
	uint64_t sum = store_hash_string(h->mode, strlen(h->mode));

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sum = store_mix(sum, numbers[i]);
	for (size_t i = 0; i < ARRAY_LEN(doubles); i++)
		sum = store_mix_double(sum, doubles[i]);
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		const struct snap_coverage *c = &h->coverage[d];

		if (!c->known)
			continue;
		sum = store_mix(sum, (uint64_t)d + 1);
		sum = store_mix(store_mix(store_mix(sum, c->recorded), c->missed), c->moving);
	}
	/* Sum by name, so that a reason that is added later does not change old sums. */
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		if (h->drops[i])
			sum = store_mix(store_mix_bytes(sum, drop_keys[i], strlen(drop_keys[i])),
					h->drops[i]);
	}
	return sum;
}

static int write_losses(struct store_db *db, const struct store_head *h)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(db, "INSERT INTO loss VALUES(?, ?, ?)", &st);

	for (int i = 0; !err && i < TM_DROP_COUNT; i++) {
		if (!h->drops[i])
			continue;
		sqlite3_bind_int64(st, 1, h->entry.seq);
		sqlite3_bind_text(st, 2, drop_keys[i], -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 3, (int64_t)h->drops[i]);
		err = store_db_run(db, st);
	}
	return err;
}

static int write_coverage(struct store_db *db, const struct store_head *h)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(db, "INSERT INTO coverage VALUES(?, ?, ?, ?, ?)", &st);

	for (int d = 0; !err && d < SNAP_DOMAINS; d++) {
		const struct snap_coverage *c = &h->coverage[d];

		if (!c->known)
			continue;
		sqlite3_bind_int64(st, 1, h->entry.seq);
		sqlite3_bind_int64(st, 2,
				   d == SNAP_PYTHON ? SNAP_NUMBER_PYTHON : SNAP_NUMBER_NATIVE);
		sqlite3_bind_int64(st, 3, (int64_t)c->recorded);
		sqlite3_bind_int64(st, 4, (int64_t)c->missed);
		sqlite3_bind_int64(st, 5, (int64_t)c->moving);
		err = store_db_run(db, st);
	}
	return err;
}

int store_head_write(struct store_db *db, const struct store_head *h)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	const struct store_entry *e = &h->entry;
	int err = store_db_prepare(db,
				   "INSERT INTO snapshot VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
				   "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				   &st);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, e->seq);
	sqlite3_bind_int64(st, 2, e->time_ns);
	sqlite3_bind_double(st, 3, e->elapsed_s);
	sqlite3_bind_text(st, 4, h->mode, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 5, (int64_t)e->rss_bytes);
	sqlite3_bind_int64(st, 6, (int64_t)e->stacks);
	sqlite3_bind_int64(st, 7, (int64_t)e->live_bytes);
	sqlite3_bind_int64(st, 8, (int64_t)e->live_blocks);
	sqlite3_bind_int64(st, 9, (int64_t)e->alloc_bytes);
	sqlite3_bind_int64(st, 10, (int64_t)e->alloc_blocks);
	sqlite3_bind_int64(st, 11, (int64_t)h->events);
	if (h->cost_cpu_ratio >= 0) /* NULL: not known */
		sqlite3_bind_double(st, 12, h->cost_cpu_ratio);
	sqlite3_bind_double(st, 13, h->cost_uncertainty);
	sqlite3_bind_double(st, 14, h->drain_s);
	if (h->slowdown_ratio >= 0)
		sqlite3_bind_double(st, 15, h->slowdown_ratio);
	sqlite3_bind_int64(st, 16, h->gap.from_ns);
	sqlite3_bind_int64(st, 17, h->gap.to_ns);
	sqlite3_bind_int64(st, 18, h->gap.malloc_only);
	sqlite3_bind_int64(st, 19, (int64_t)h->gap.bytes);
	sqlite3_bind_int64(st, 20, (int64_t)h->gap.blocks);
	sqlite3_bind_int64(st, 21, (int64_t)h->content);
	sqlite3_bind_int64(st, 22, (int64_t)h->checksum);
	err = store_db_run(db, st);
	if (!err)
		err = write_losses(db, h);
	return err ? err : write_coverage(db, h);
}

static void read_row(sqlite3_stmt *st, struct store_head *h)
{
	struct store_entry *e = &h->entry;
	const char *mode = (const char *)sqlite3_column_text(st, 3);

	e->seq = (uint32_t)sqlite3_column_int64(st, 0);
	e->time_ns = sqlite3_column_int64(st, 1);
	e->elapsed_s = sqlite3_column_double(st, 2);
	snprintf(h->mode, sizeof(h->mode), "%s", mode ? mode : "");
	e->rss_bytes = (uint64_t)sqlite3_column_int64(st, 4);
	e->stacks = (size_t)sqlite3_column_int64(st, 5);
	e->live_bytes = (uint64_t)sqlite3_column_int64(st, 6);
	e->live_blocks = (uint64_t)sqlite3_column_int64(st, 7);
	e->alloc_bytes = (uint64_t)sqlite3_column_int64(st, 8);
	e->alloc_blocks = (uint64_t)sqlite3_column_int64(st, 9);
	h->events = (uint64_t)sqlite3_column_int64(st, 10);
	h->cost_cpu_ratio =
		sqlite3_column_type(st, 11) == SQLITE_NULL ? -1 : sqlite3_column_double(st, 11);
	h->cost_uncertainty = sqlite3_column_double(st, 12);
	h->drain_s = sqlite3_column_double(st, 13);
	h->slowdown_ratio =
		sqlite3_column_type(st, 14) == SQLITE_NULL ? -1 : sqlite3_column_double(st, 14);
	h->gap = (struct snap_gap){
		.from_ns = sqlite3_column_int64(st, 15),
		.to_ns = sqlite3_column_int64(st, 16),
		.malloc_only = sqlite3_column_int64(st, 17) != 0,
		.bytes = (uint64_t)sqlite3_column_int64(st, 18),
		.blocks = (uint64_t)sqlite3_column_int64(st, 19),
	};
	h->content = (uint64_t)sqlite3_column_int64(st, 20);
	h->checksum = (uint64_t)sqlite3_column_int64(st, 21);
}

struct reader { /* the three statements that follow a list of heads */
	sqlite3_stmt *rows, *losses, *coverage;
};

static void reader_release(struct reader *r)
{
	sqlite3_finalize(r->rows);
	sqlite3_finalize(r->losses);
	sqlite3_finalize(r->coverage);
}

static int reader_open(struct store_db *db, struct reader *r)
{
	int err = store_db_prepare(db, "SELECT * FROM snapshot ORDER BY id", &r->rows);

	if (!err)
		err = store_db_prepare(db, "SELECT reason, count FROM loss WHERE snapshot = ?",
				       &r->losses);
	return err ? err
		   : store_db_prepare(
			     db,
			     "SELECT domain, recorded, missed, moving FROM coverage WHERE snapshot = ?",
			     &r->coverage);
}

static int read_losses(struct store_db *db, sqlite3_stmt *st, struct store_head *h)
{
	int row;

	sqlite3_reset(st);
	sqlite3_bind_int64(st, 1, h->entry.seq);
	while ((row = store_db_step(db, st)) == 1) {
		const char *reason = (const char *)sqlite3_column_text(st, 0);
		int i = 0;

		while (i < TM_DROP_COUNT && (!reason || strcmp(drop_keys[i], reason) != 0))
			i++;
		if (i == TM_DROP_COUNT)
			return store_damaged(db,
					     "snapshot %u has a loss that this tmbpf does not know",
					     h->entry.seq);
		h->drops[i] = (uint64_t)sqlite3_column_int64(st, 1);
	}
	return row;
}

static int read_coverage(struct store_db *db, sqlite3_stmt *st, struct store_head *h)
{
	int row;

	sqlite3_reset(st);
	sqlite3_bind_int64(st, 1, h->entry.seq);
	while ((row = store_db_step(db, st)) == 1) {
		int64_t number = sqlite3_column_int64(st, 0);

		if (number != SNAP_NUMBER_PYTHON && number != SNAP_NUMBER_NATIVE)
			return store_damaged(db, "snapshot %u has the coverage of no known domain",
					     h->entry.seq);
		h->coverage[number == SNAP_NUMBER_PYTHON ? SNAP_PYTHON : SNAP_NATIVE] =
			(struct snap_coverage){
				.known = true,
				.recorded = (uint64_t)sqlite3_column_int64(st, 1),
				.missed = (uint64_t)sqlite3_column_int64(st, 2),
				.moving = (uint64_t)sqlite3_column_int64(st, 3),
			};
	}
	return row;
}

static int read_head(struct store_db *db, struct reader *r, struct store_head *h)
{
	int64_t id = sqlite3_column_int64(r->rows, 0);
	int err;

	if (id <= 0 || id > UINT32_MAX)
		return store_damaged(db, "a snapshot has an impossible number");
	read_row(r->rows, h);
	err = read_losses(db, r->losses, h);
	if (!err)
		err = read_coverage(db, r->coverage, h);
	if (!err && store_head_checksum(h) != h->checksum)
		err = store_damaged(db, "the checksum of snapshot %u is wrong", h->entry.seq);
	return err;
}

int store_heads_read(struct store_db *db, struct store_head **out, size_t *count)
{
	_cleanup_(reader_release) struct reader r = {0};
	_cleanup_free_ struct store_head *heads = NULL;
	size_t n = 0, cap = 0;
	int err = reader_open(db, &r), row;

	if (err)
		return err;
	while ((row = store_db_step(db, r.rows)) == 1) {
		struct store_head *grown = array_grow(heads, &cap, n + 1, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		heads = grown;
		heads[n] = (struct store_head){0};
		err = read_head(db, &r, &heads[n]);
		if (err)
			return err;
		if (n && (heads[n].entry.seq <= heads[n - 1].entry.seq ||
			  heads[n].entry.time_ns < heads[n - 1].entry.time_ns))
			return store_damaged(db, "its snapshots are not in order");
		n++;
	}
	if (row)
		return row;
	*out = take_ptr(heads);
	*count = n;
	return 0;
}
