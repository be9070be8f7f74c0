/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appends snapshots: one transaction each, in which only the traces that changed get a row. What was
 * committed survives a SIGKILL and a full disk; a reader that holds the file makes snapshots wait here.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "store/store_priv.h"

#define TICK_NS	      20000000LL
#define TICK_ROWS     256 /* between two looks at the clock */
#define BUSY_STEP_NS  5000000L
#define BUSY_MAX_NS   2000000000LL  /* then the snapshot waits in memory */
#define CLOSE_MAX_NS  10000000000LL /* at the end there is no later */
#define BASE_MIN_ROWS 4096	    /* below that a base saves nothing */
#define BASE_FACTOR   2

/* SQLite's lock for readers, src/os.h of SQLite: SHARED_FIRST and SHARED_SIZE; part of the file format. */
#define SQLITE_SHARED_FIRST (0x40000000 + 2)
#define SQLITE_SHARED_SIZE  510

struct store_writer {
	struct store_db db;
	char *path, *file;
	int fd;	     /* holds the recorder's lock */
	int journal; /* keeps its name taken; goes with the writer */
	struct store_opts opts;
	struct store_dict *dict;
	sqlite3_stmt *add_change, *add_base;
	struct store_times *times;
	size_t count, times_cap;
	size_t complete_count; /* of these, committed */
	uint32_t last_seq, round;
	int64_t last_time_ns;
	double last_elapsed_s;
	uint64_t content; /* sum of store_hash_values() over all traces */
	size_t since_base;
	uint32_t base_seq;
	bool in_transaction, failed, removed_base;
	unsigned waiting; /* snapshots in the open transaction */
	int64_t last_tick_ns, busy_since_ns, busy_max_ns;
	char complete[128];
};

static void call_tick(struct store_writer *w)
{
	int64_t now;

	if (!w->opts.tick)
		return;
	now = monotonic_ns();
	if (now - w->last_tick_ns < TICK_NS)
		return;
	w->opts.tick(w->opts.tick_ctx);
	w->last_tick_ns = monotonic_ns();
}

static void wait_a_step(struct store_writer *w)
{
	struct timespec step = {.tv_nsec = BUSY_STEP_NS};

	call_tick(w);
	(void)nanosleep(&step, NULL);
}

static bool told_to_give_up(struct store_writer *w)
{
	return w->opts.give_up && w->opts.give_up(w->opts.tick_ctx);
}

static int on_busy(void *ctx, int tries)
{
	struct store_writer *w = ctx;

	if (!tries)
		w->busy_since_ns = monotonic_ns();
	if (monotonic_ns() - w->busy_since_ns > w->busy_max_ns || told_to_give_up(w))
		return 0;
	wait_a_step(w);
	return 1;
}

static void say_complete(struct store_writer *w)
{
	char when[32] = "";

	w->complete_count = w->count;
	if (w->count)
		(void)text_format_time(when, sizeof(when), w->last_time_ns, TEXT_UTC);
	if (w->count)
		snprintf(w->complete, sizeof(w->complete),
			 "the %zu snapshots up to %s are complete", w->count, when);
	else
		snprintf(w->complete, sizeof(w->complete), "no snapshot was written");
	w->db.complete = w->complete;
}

/* ---- opening ---- */

static int prepare_file(struct store_writer *w, const struct store_meta *meta)
{
	int err = store_db_exec(&w->db, "BEGIN IMMEDIATE");

	if (err)
		return err;
	err = store_schema_create(&w->db);
	if (err)
		return err;
	err = store_meta_write(&w->db, meta);
	if (err)
		return err;
	err = store_db_exec(&w->db, "COMMIT");
	if (err)
		return err;
	err = store_dict_new(&w->db, &w->dict);
	if (err)
		return err;
	err = store_db_prepare(&w->db, "INSERT INTO change VALUES(?, ?, ?, ?, ?, ?)",
			       &w->add_change);
	if (err)
		return err;
	err = store_db_prepare(&w->db, "INSERT INTO base VALUES(?, ?, ?, ?, ?, ?)", &w->add_base);
	return err;
}

static void writer_free(struct store_writer *w)
{
	if (!w)
		return;
	sqlite3_finalize(w->add_change);
	sqlite3_finalize(w->add_base);
	store_dict_free(w->dict);
	store_db_close(&w->db);
	/* After SQLite: closing a descriptor drops its POSIX locks on the file, not ours. */
	if (w->fd >= 0)
		close(w->fd);
	if (w->journal >= 0) {
		store_file_remove_journal(w->file, w->journal);
		close(w->journal);
	}
	free(w->times);
	free(w->path);
	free(w->file);
	free(w);
}
DEFINE_CLEANUP(struct store_writer *, writer_free);

int store_create(const char *path, const struct store_meta *meta, const struct store_opts *opts,
		 struct store_writer **out)
{
	_cleanup_(writer_freep) struct store_writer *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->fd = w->journal = -1;
	w->opts = *opts;
	if (!w->opts.keep)
		w->opts.keep = STORE_KEEP_DEFAULT;
	if (w->opts.keep < STORE_KEEP_MIN)
		w->opts.keep = STORE_KEEP_MIN;
	w->busy_max_ns = BUSY_MAX_NS;
	w->path = strdup(path);
	if (!w->path)
		return -ENOMEM;
	w->db.path = w->path;
	err = store_file_resolve(path, &w->file);
	if (!err)
		err = store_file_create(w->file, opts->force, &w->fd, &w->journal);
	if (err)
		return err;
	say_complete(w);
	err = store_db_open(&w->db, w->file, STORE_WRITE);
	if (!err) {
		sqlite3_busy_handler(w->db.sql, on_busy, w);
		err = prepare_file(w, meta);
	}
	if (err) {
		(void)store_file_remove(w->file, w->fd); /* nothing is in it */
		return err;
	}
	*out = take_ptr(w);
	return 0;
}

/* ---- one snapshot ---- */

static uint64_t add_sat(uint64_t a, uint64_t b)
{
	uint64_t sum = a + b;

	/* SQLite's integers are signed. */
	return sum < a || sum > INT64_MAX ? INT64_MAX : sum;
}

/* The new values of every stack, beside the old ones. */
static int gather_traces(struct store_writer *w, const struct snapshot *s)
{
	w->round++;
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *stack = &s->stacks[i];
		const uint64_t v[STORE_VALUES] = {stack->bytes, stack->blocks, stack->alloc_bytes,
						  stack->alloc_blocks};
		struct store_trace *t;
		uint32_t id;
		int err;

		if (i % TICK_ROWS == 0)
			call_tick(w);
		if (!(v[0] | v[1] | v[2] | v[3]))
			continue;
		err = store_dict_trace(w->dict, s, stack, &id);
		if (err)
			return err;
		t = store_dict_get(w->dict, id);
		if (t->round != w->round)
			memset(t->next, 0, sizeof(t->next));
		t->round = w->round;
		for (int k = 0; k < STORE_VALUES; k++)
			t->next[k] = add_sat(t->next[k], v[k]);
	}
	return 0;
}

static int write_values(struct store_writer *w, sqlite3_stmt *st, uint32_t seq, uint32_t id,
			const uint64_t v[STORE_VALUES])
{
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, id);
	for (int k = 0; k < STORE_VALUES; k++)
		sqlite3_bind_int64(st, 3 + k, (int64_t)v[k]);
	if (id % TICK_ROWS == 0)
		call_tick(w);
	return store_db_run(&w->db, st);
}

/* Rows for what changed, in order of the key; and the sums of all. */
static int write_changes(struct store_writer *w, struct store_head *h)
{
	static const uint64_t nothing[STORE_VALUES];
	struct store_entry *e = &h->entry;

	for (uint32_t id = 1; id <= store_dict_count(w->dict); id++) {
		struct store_trace *t = store_dict_get(w->dict, id);
		const uint64_t *now = t->round == w->round ? t->next : nothing;

		if (memcmp(now, t->values, sizeof(t->values)) != 0) {
			int err = write_values(w, w->add_change, e->seq, id, now);

			if (err)
				return err;
			w->content += store_hash_values(t->hash, now) -
				      store_hash_values(t->hash, t->values);
			memcpy(t->values, now, sizeof(t->values));
			w->since_base++;
		}
		e->stacks += (now[0] | now[1] | now[2] | now[3]) != 0;
		e->live_bytes = add_sat(e->live_bytes, now[0]);
		e->live_blocks = add_sat(e->live_blocks, now[1]);
		e->alloc_bytes = add_sat(e->alloc_bytes, now[2]);
		e->alloc_blocks = add_sat(e->alloc_blocks, now[3]);
	}
	h->content = w->content;
	return 0;
}

/*
 * Every now and then all values, so that a reader need not go back to the beginning: when it would have
 * more changes to read than twice the stacks. That bounds both what it reads and what this costs.
 */
static int write_base(struct store_writer *w, const struct store_entry *e)
{
	if (!w->removed_base &&
	    (!w->count || w->since_base < BASE_MIN_ROWS + BASE_FACTOR * e->stacks))
		return 0;
	for (uint32_t id = 1; id <= store_dict_count(w->dict); id++) {
		const struct store_trace *t = store_dict_get(w->dict, id);
		const uint64_t *v = t->values;
		int err =
			v[0] | v[1] | v[2] | v[3] ? write_values(w, w->add_base, e->seq, id, v) : 0;

		if (err)
			return err;
	}
	w->since_base = 0;
	w->base_seq = e->seq;
	w->removed_base = false;
	return 0;
}

static int thin_series(struct store_writer *w)
{
	while (w->count > w->opts.keep) {
		size_t i = store_thin_choose(w->times, w->count);
		int err = store_thin_remove(&w->db, w->times[i].seq, w->times[i + 1].seq);

		if (err)
			return err;
		if (w->times[i].seq == w->base_seq)
			w->removed_base = true; /* the newest: the next snapshot brings another */
		memmove(&w->times[i], &w->times[i + 1], (w->count - i - 1) * sizeof(*w->times));
		w->count--;
	}
	return 0;
}

/*
 * A clock that was set back must not stop the recording: time then goes on from where it was, by what
 * passed since attach.
 */
static int64_t time_of(const struct store_writer *w, const struct snapshot *s)
{
	double passed = s->elapsed_s - w->last_elapsed_s;

	if (s->time_ns > w->last_time_ns)
		return s->time_ns;
	return passed > 0 ? clock_after(w->last_time_ns, passed) : w->last_time_ns;
}

static void fill_head(const struct store_writer *w, const struct snapshot *s, struct store_head *h)
{
	struct store_entry *e = &h->entry;

	e->seq = s->seq;
	e->time_ns = time_of(w, s);
	e->elapsed_s = s->elapsed_s;
	e->rss_bytes = s->rss_bytes;
	snprintf(h->mode, sizeof(h->mode), "%s", s->mode ? s->mode : "");
	h->drain_s = s->drain_s;
	h->cost_cpu_ratio = s->cost_cpu_ratio >= 0 ? s->cost_cpu_ratio : -1;
	h->cost_uncertainty = s->cost_uncertainty;
	h->slowdown_ratio = s->slowdown_ratio >= 0 ? s->slowdown_ratio : -1;
	h->gap = s->gap;
	h->events = s->events;
	memcpy(h->coverage, s->coverage, sizeof(h->coverage));
	memcpy(h->drops, s->drops, sizeof(h->drops));
}

static int write_snapshot(struct store_writer *w, const struct snapshot *s)
{
	struct store_times *times =
		array_grow(w->times, &w->times_cap, w->count + 1, sizeof(*times));
	struct store_head h = {0};
	int err;

	if (!times)
		return -ENOMEM;
	w->times = times;
	fill_head(w, s, &h);
	err = gather_traces(w, s);
	if (err)
		return err;
	err = write_changes(w, &h);
	if (err)
		return err;
	err = write_base(w, &h.entry);
	h.checksum = store_head_checksum(&h);
	if (err)
		return err;
	err = store_head_write(&w->db, &h);
	if (err)
		return err;
	times[w->count++] = (struct store_times){h.entry.seq, h.entry.time_ns};
	w->last_seq = h.entry.seq;
	w->last_time_ns = h.entry.time_ns;
	w->last_elapsed_s = h.entry.elapsed_s;
	err = thin_series(w);
	return err ? err : store_meta_set_series(&w->db, w->count, w->last_seq);
}

/* ---- transactions ---- */

/* Does another process read the file right now? Ours are not seen: POSIX locks belong to the process. */
static bool has_reader(const struct store_writer *w)
{
	struct flock lock = {.l_type = F_WRLCK,
			     .l_whence = SEEK_SET,
			     .l_start = SQLITE_SHARED_FIRST,
			     .l_len = SQLITE_SHARED_SIZE};

	return !fcntl(w->fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
}

/*
 * Asking for the lock while someone reads would keep all new readers out for as long as the old one
 * stays (SQLite's PENDING lock). So: wait a little, and if the reader stays, leave the transaction open.
 */
static bool wait_for_readers(struct store_writer *w)
{
	/* One that has stayed that long already would cost the same again in every snapshot. */
	int64_t until = monotonic_ns() + (w->waiting > 1 ? 0 : w->busy_max_ns);

	while (has_reader(w)) {
		if (monotonic_ns() >= until || told_to_give_up(w))
			return false;
		wait_a_step(w);
	}
	return true;
}

static int commit_snapshot(struct store_writer *w)
{
	int rc = SQLITE_BUSY;

	if (wait_for_readers(w))
		rc = sqlite3_exec(w->db.sql, "COMMIT", NULL, NULL, NULL);
	if ((rc & 0xff) == SQLITE_BUSY) {
		if (w->waiting == 1)
			log_coded_warn(
				"W701", "end the reader; \"fuser FILE\" names it",
				"%s is locked by a reader: snapshots stay in memory until it ends, and SIGKILL would lose them",
				w->path);
		return 0;
	}
	if (rc)
		return store_db_error(&w->db, rc);
	w->in_transaction = false;
	w->waiting = 0;
	say_complete(w);
	return 0;
}

static int fail_writer(struct store_writer *w, int err)
{
	w->failed = true;
	if (!sqlite3_get_autocommit(w->db.sql))
		(void)sqlite3_exec(w->db.sql, "ROLLBACK", NULL, NULL, NULL);
	w->in_transaction = false;
	return err;
}

int store_append(struct store_writer *w, const struct snapshot *s)
{
	int err;

	if (w->failed)
		return -EIO;
	if (s->seq <= w->last_seq)
		return -EINVAL;
	w->last_tick_ns = monotonic_ns();
	if (!w->in_transaction) {
		int rc = sqlite3_exec(w->db.sql, "BEGIN IMMEDIATE", NULL, NULL, NULL);

		if ((rc & 0xff) == SQLITE_BUSY) {
			log_coded_warn("W702", "end the other writer",
				       "snapshot %u is lost: another program writes to %s", s->seq,
				       w->path);
			return -EBUSY;
		}
		if (rc)
			return fail_writer(w, store_db_error(&w->db, rc));
		w->in_transaction = true;
	}
	err = write_snapshot(w, s);
	w->waiting++;
	if (!err)
		err = commit_snapshot(w);
	return err ? fail_writer(w, err) : 0;
}

size_t store_writer_count(const struct store_writer *w)
{
	return w->complete_count;
}

uint64_t store_writer_bytes(const struct store_writer *w)
{
	struct stat st;

	return fstat(w->fd, &st) ? 0 : (uint64_t)st.st_size;
}

bool store_writer_in_place(const struct store_writer *w)
{
	return store_file_is(w->file, w->fd);
}

int store_writer_finish(struct store_writer *w, const char *end_reason)
{
	int err = 0;

	w->busy_max_ns = CLOSE_MAX_NS;
	if (w->in_transaction) {
		err = store_db_exec(&w->db, "COMMIT");
		w->in_transaction = false;
		w->waiting = 0;
		if (err)
			err = fail_writer(w, err);
		else
			say_complete(w);
	}
	if (!w->failed && w->count && end_reason)
		err = store_meta_set_end(&w->db, end_reason);
	return err;
}

int store_writer_close(struct store_writer *w, const char *end_reason)
{
	int err;

	if (!w)
		return 0;
	err = store_writer_finish(w, end_reason);
	if (!w->complete_count)
		(void)store_file_remove(w->file, w->fd); /* an empty series is of no use */
	writer_free(w);
	return err;
}
