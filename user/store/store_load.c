/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From rows to snapshots: values by trace, from a base and the changes after it, checked against the sums
 * in the snapshot's head; one snapshot at a time, or all in order.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/store_priv.h"

struct totals {
	uint64_t values[STORE_VALUES];
	uint64_t content;
	size_t stacks;
};

static bool is_nothing(const uint64_t v[STORE_VALUES])
{
	return !(v[0] | v[1] | v[2] | v[3]);
}

static int need_names(struct store *s)
{
	int err;

	if (s->have_names)
		return 0;
	err = store_names_read(&s->db, s->strings, &s->names);
	s->have_names = !err;
	return err;
}

/* Trace and values from columns 0 to 4. */
static int read_values(struct store *s, sqlite3_stmt *st, uint32_t *id, uint64_t v[STORE_VALUES])
{
	int64_t trace = sqlite3_column_int64(st, 0);

	if (trace <= 0 || (uint64_t)trace >= s->names.trace_count)
		return store_damaged(&s->db, "a value refers to a trace that does not exist");
	*id = (uint32_t)trace;
	for (int k = 0; k < STORE_VALUES; k++) {
		int64_t value = sqlite3_column_int64(st, k + 1);

		if (value < 0)
			return store_damaged(&s->db, "a size or count is negative");
		v[k] = (uint64_t)value;
	}
	return 0;
}

/* Totals change with a trace from one value to another. Sums cannot wrap: a writer's saturate below 2^63. */
static void move_totals(struct totals *t, const struct store_rtrace *trace,
			const uint64_t from[STORE_VALUES], const uint64_t to[STORE_VALUES])
{
	for (int k = 0; k < STORE_VALUES; k++)
		t->values[k] += to[k] - from[k];
	t->content += store_hash_values(trace->hash, to) - store_hash_values(trace->hash, from);
	t->stacks += (size_t)!is_nothing(to) - (size_t)!is_nothing(from);
}

static int check_totals(struct store *s, const struct store_head *h, const struct totals *t)
{
	const struct store_entry *e = &h->entry;

	if (t->content != h->content || t->stacks != e->stacks || t->values[0] != e->live_bytes ||
	    t->values[1] != e->live_blocks || t->values[2] != e->alloc_bytes ||
	    t->values[3] != e->alloc_blocks)
		return store_damaged(&s->db, "the numbers of snapshot %u do not add up", e->seq);
	return 0;
}

/* Everything of the head but the stacks. */
static int fill_snapshot(struct store *s, const struct store_head *h, struct snapshot *snap)
{
	const struct store_entry *e = &h->entry;
	str_id_t mode;

	if (intern_str(s->strings, h->mode, &mode))
		return -ENOMEM;
	snap->mode = intern_get(s->strings, mode);
	snap->seq = e->seq;
	snap->time_ns = e->time_ns;
	snap->elapsed_s = e->elapsed_s;
	snap->rss_bytes = e->rss_bytes;
	snap->live_bytes = e->live_bytes;
	snap->live_blocks = e->live_blocks;
	snap->drain_s = h->drain_s;
	snap->cost_cpu_ratio = h->cost_cpu_ratio;
	snap->cost_uncertainty = h->cost_uncertainty;
	snap->slowdown_ratio = h->slowdown_ratio;
	snap->gap = h->gap;
	snap->events = h->events;
	memcpy(snap->coverage, h->coverage, sizeof(snap->coverage));
	memcpy(snap->drops, h->drops, sizeof(snap->drops));
	return 0;
}

/*
 * Stacks of a snapshot without their numbers: of the traces that hold something, or of all (values NULL).
 * Traces that differ only in domain, thread or flag share their frames.
 */
static int lay_out(struct store *s, const uint64_t (*values)[STORE_VALUES], struct snapshot *snap)
{
	const struct store_names *n = &s->names;
	_cleanup_free_ uint32_t *first =
		calloc(n->stack_count, sizeof(*first)); /* + 1; 0 = not yet */
	size_t frames = 0, stacks = 0;

	if (!first)
		return -ENOMEM;
	for (size_t id = 1; id < n->trace_count; id++) {
		uint32_t stack = n->traces[id].stack;

		if (values && is_nothing(values[id]))
			continue;
		stacks++;
		if (first[stack])
			continue;
		first[stack] = (uint32_t)frames + 1;
		frames += n->stacks[stack].depth;
		if (frames > STORE_FRAMES_MAX)
			return log_coded_err(-EFBIG, "E314", NULL,
					     "%s has more frames than a recorder writes", s->path);
	}
	snap->frames = malloc((frames + 1) * sizeof(*snap->frames));
	snap->stacks = calloc(stacks + 1, sizeof(*snap->stacks));
	if (!snap->frames || !snap->stacks)
		return -ENOMEM;
	snap->frame_count = snap->frame_cap = frames;
	snap->stack_cap = stacks;
	for (size_t id = 1; id < n->trace_count; id++) {
		const struct store_rtrace *t = &n->traces[id];
		struct snap_stack *out = &snap->stacks[snap->stack_count];
		uint32_t at;

		if (values && is_nothing(values[id]))
			continue;
		out->first_frame = at = first[t->stack] - 1;
		out->frame_count = (uint16_t)n->stacks[t->stack].depth;
		out->truncated = t->truncated;
		out->thread = t->thread;
		if (snapshot_domain_of(snap, t->domain, &out->domain))
			return store_damaged(&s->db, "it has too many domains");
		for (uint32_t stack = t->stack; stack; stack = n->stacks[stack].parent)
			snap->frames[at++] = n->frames[n->stacks[stack].frame];
		snap->stack_count++;
	}
	return 0;
}

static void set_numbers(struct snap_stack *stack, const uint64_t v[STORE_VALUES])
{
	stack->bytes = v[0];
	stack->blocks = v[1];
	stack->alloc_bytes = v[2];
	stack->alloc_blocks = v[3];
}

/* ---- one snapshot ---- */

/* The rows of a query in order into the array: the last one of a trace counts. */
static int apply_rows(struct store *s, const char *sql, int64_t from, int64_t to,
		      uint64_t (*values)[STORE_VALUES])
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(&s->db, sql, &st), row;

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, from);
	sqlite3_bind_int64(st, 2, to);
	while ((row = store_db_step(&s->db, st)) == 1) {
		uint64_t v[STORE_VALUES];
		uint32_t id;

		err = read_values(s, st, &id, v);
		if (err)
			return err;
		memcpy(values[id], v, sizeof(v));
	}
	return row;
}

/* The newest base that is not newer than the snapshot; 0: none. */
static int find_base(struct store *s, uint32_t seq, int64_t *base)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(&s->db,
				   "SELECT snapshot FROM base WHERE snapshot <= ?"
				   " ORDER BY snapshot DESC LIMIT 1",
				   &st);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, seq);
	err = store_db_step(&s->db, st);
	*base = err == 1 ? sqlite3_column_int64(st, 0) : 0;
	return err == 1 ? 0 : err;
}

/* A snapshot of the list may have been thinned out since. Returns: 1, 0, else logged. */
static int is_there(struct store *s, uint32_t seq)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(&s->db, "SELECT 1 FROM snapshot WHERE id = ?", &st);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, seq);
	return store_db_step(&s->db, st);
}

struct wanted { /* a snapshot to read, and its values by trace */
	const struct store_head *head;
	uint64_t (*values)[STORE_VALUES];
};

static int read_snapshot(struct store *s, void *ctx)
{
	struct wanted *wanted = ctx;
	const struct store_head *h = wanted->head;

	static const char base_sql[] =
		"SELECT trace, live_bytes, live_blocks, alloc_bytes, alloc_blocks FROM base"
		" WHERE snapshot BETWEEN ? AND ? ORDER BY snapshot, trace";
	static const char change_sql[] =
		"SELECT trace, live_bytes, live_blocks, alloc_bytes, alloc_blocks FROM change"
		" WHERE snapshot BETWEEN ? AND ? ORDER BY snapshot, trace";
	_cleanup_free_ uint64_t(*values)[STORE_VALUES] = NULL;
	int64_t base = 0;
	int err = is_there(s, h->entry.seq);

	if (err != 1)
		return err ? err
			   : log_coded_err(-ENOENT, "E315", "take another; the list has changed",
					   "%s: snapshot %u was thinned out a moment ago", s->path,
					   h->entry.seq);
	err = need_names(s);
	if (err)
		return err;
	values = calloc(s->names.trace_count, sizeof(*values));
	if (!values)
		return -ENOMEM;
	err = find_base(s, h->entry.seq, &base);
	if (!err && base)
		err = apply_rows(s, base_sql, base, base, values);
	if (err)
		return err;
	err = apply_rows(s, change_sql, base + 1, h->entry.seq, values);
	if (err)
		return err;
	wanted->values = take_ptr(values);
	return 0;
}

int store_load(struct store *s, size_t index, struct snapshot **out)
{
	_cleanup_(snapshot_freep) struct snapshot *snap = snapshot_new(s->strings);
	_cleanup_free_ uint64_t(*values)[STORE_VALUES] = NULL;
	static const uint64_t nothing[STORE_VALUES];
	const struct store_head *h = &s->heads[index];
	struct wanted wanted = {.head = h};
	struct totals t = {0};
	size_t at = 0;
	int err;

	if (!snap)
		return -ENOMEM;
	err = store_read(s, read_snapshot, &wanted);
	if (err)
		return err;
	values = wanted.values;
	for (size_t id = 1; id < s->names.trace_count; id++)
		move_totals(&t, &s->names.traces[id], nothing, values[id]);
	err = check_totals(s, h, &t);
	if (!err)
		err = fill_snapshot(s, h, snap);
	if (!err)
		err = lay_out(s, (const uint64_t(*)[STORE_VALUES])values, snap);
	if (err)
		return err;
	for (size_t id = 1; id < s->names.trace_count; id++) {
		if (!is_nothing(values[id]))
			set_numbers(&snap->stacks[at++], values[id]);
	}
	*out = take_ptr(snap);
	return 0;
}

/* ---- all in order ---- */

struct store_walk {
	struct store *store;
	size_t next;
	struct snapshot *snapshot; /* position = trace - 1 */
	struct totals totals;
	uint32_t *changed;
	size_t changed_count, changed_cap;
};

static int read_names(struct store *s, void *ctx)
{
	(void)ctx;
	return need_names(s);
}

int store_walk_new(struct store *s, struct store_walk **out)
{
	_cleanup_(store_walk_freep) struct store_walk *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->store = s;
	w->snapshot = snapshot_new(s->strings);
	if (!w->snapshot)
		return -ENOMEM;
	err = store_read(s, read_names, NULL);
	if (!err)
		err = lay_out(s, NULL, w->snapshot);
	if (err)
		return err;
	*out = take_ptr(w);
	return 0;
}

void store_walk_free(struct store_walk *w)
{
	if (!w)
		return;
	snapshot_free(w->snapshot);
	free(w->changed);
	free(w);
}

static int apply_step(struct store_walk *w, const struct store_head *h)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	struct store *s = w->store;
	int row = store_db_prepare(
		&s->db,
		"SELECT trace, live_bytes, live_blocks, alloc_bytes, alloc_blocks FROM change"
		" WHERE snapshot = ? ORDER BY trace",
		&st);

	if (row)
		return row;
	w->changed_count = 0;
	sqlite3_bind_int64(st, 1, h->entry.seq);
	while ((row = store_db_step(&s->db, st)) == 1) {
		uint64_t from[STORE_VALUES], to[STORE_VALUES];
		struct snap_stack *stack;
		uint32_t id, *changed;
		int err = read_values(s, st, &id, to);

		if (err)
			return err;
		changed = array_grow(w->changed, &w->changed_cap, w->changed_count + 1,
				     sizeof(*changed));
		if (!changed)
			return -ENOMEM;
		w->changed = changed;
		stack = &w->snapshot->stacks[id - 1];
		from[0] = stack->bytes;
		from[1] = stack->blocks;
		from[2] = stack->alloc_bytes;
		from[3] = stack->alloc_blocks;
		move_totals(&w->totals, &s->names.traces[id], from, to);
		set_numbers(stack, to);
		changed[w->changed_count++] = id - 1;
	}
	return row;
}

/* Finds the next snapshot that is there and applies it. Returns: 1, 0 at the end, else logged. */
static int take_step(struct store *s, void *ctx)
{
	struct store_walk *w = ctx;
	int err = 0;

	/* One that was thinned out since: its changes are in its successor now. */
	while (w->next < s->count && (err = is_there(s, s->heads[w->next].entry.seq)) == 0)
		w->next++;
	if (err < 0 || w->next == s->count)
		return err < 0 ? err : 0;
	err = apply_step(w, &s->heads[w->next]);
	return err ? err : 1;
}

int store_walk_next(struct store_walk *w, struct store_step *step)
{
	struct store *s = w->store;
	const struct store_head *h;
	int err = store_read(s, take_step, w);

	if (err != 1)
		return err;
	h = &s->heads[w->next];
	err = check_totals(s, h, &w->totals);
	if (!err)
		err = fill_snapshot(s, h, w->snapshot);
	if (err)
		return err;
	*step = (struct store_step){.index = w->next++,
				    .snapshot = w->snapshot,
				    .changed = w->changed,
				    .changed_count = w->changed_count};
	return 1;
}
