/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's dictionary: which strings, frames, stacks and traces have a row already. All ids are dense
 * from 1, and a row only names rows with smaller ids, so that a reader can check that in one pass. Nothing
 * is ever removed: the recorder's own tables bound how many distinct stacks there can be.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/idmap.h"
#include "store/store_priv.h"

struct dict_frame {
	struct snap_frame frame; /* with the ids of the snapshot's pool */
	uint64_t hash;
};

struct dict_stack {
	uint32_t parent, frame;
	uint64_t hash;
};

struct store_dict {
	struct store_db *db;
	const struct intern *strings; /* the one pool of all snapshots; NULL before the first */
	uint32_t *string_ids;	      /* by id in the pool; 0 = no row yet */
	size_t string_cap;
	uint32_t string_count;
	struct dict_frame *frames; /* [0] unused, as in the arrays below */
	struct dict_stack *stacks;
	struct store_trace *traces;
	size_t frame_cap, stack_cap, trace_cap;
	uint32_t frame_count, stack_count, trace_count; /* the highest id */
	/* Two steps, because idmap's keys have 64 bits: (a, b) -> pair, (pair, c) -> id. Exact. */
	struct idmap *frame_pairs, *frame_ids, *stack_ids, *trace_pairs, *trace_ids;
	uint32_t frame_pair_count, trace_pair_count;
	struct idmap *quick; /* hash of a whole stack -> a trace to compare it with */
	uint32_t domains[256];
	unsigned domain_count;
	sqlite3_stmt *add_string, *add_frame, *add_stack, *add_trace;
};

int store_dict_new(struct store_db *db, struct store_dict **out)
{
	_cleanup_(store_dict_freep) struct store_dict *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->db = db;
	d->frame_pairs = idmap_new();
	d->frame_ids = idmap_new();
	d->stack_ids = idmap_new();
	d->trace_pairs = idmap_new();
	d->trace_ids = idmap_new();
	d->quick = idmap_new();
	if (!d->frame_pairs || !d->frame_ids || !d->stack_ids || !d->trace_pairs || !d->trace_ids ||
	    !d->quick)
		return -ENOMEM;
	err = store_db_prepare(db, "INSERT INTO string VALUES(?, ?)", &d->add_string);
	if (err)
		return err;
	err = store_db_prepare(db, "INSERT INTO frame VALUES(?, ?, ?, ?)", &d->add_frame);
	if (err)
		return err;
	err = store_db_prepare(db, "INSERT INTO stack VALUES(?, ?, ?)", &d->add_stack);
	if (err)
		return err;
	err = store_db_prepare(db, "INSERT INTO trace VALUES(?, ?, ?, ?, ?)", &d->add_trace);
	if (err)
		return err;
	*out = take_ptr(d);
	return 0;
}

void store_dict_free(struct store_dict *d)
{
	if (!d)
		return;
	sqlite3_finalize(d->add_string);
	sqlite3_finalize(d->add_frame);
	sqlite3_finalize(d->add_stack);
	sqlite3_finalize(d->add_trace);
	idmap_free(d->frame_pairs);
	idmap_free(d->frame_ids);
	idmap_free(d->stack_ids);
	idmap_free(d->trace_pairs);
	idmap_free(d->trace_ids);
	idmap_free(d->quick);
	free(d->string_ids);
	free(d->frames);
	free(d->stacks);
	free(d->traces);
	free(d);
}

struct store_trace *store_dict_get(struct store_dict *d, uint32_t id)
{
	return &d->traces[id];
}

uint32_t store_dict_count(const struct store_dict *d)
{
	return d->trace_count;
}

static uint64_t string_hash(const struct store_dict *d, str_id_t id)
{
	size_t len = intern_len(d->strings, id);

	return store_hash_string(intern_get(d->strings, id),
				 len < STORE_STRING_MAX ? len : STORE_STRING_MAX);
}

/* Row of a string of the pool; 0 stays 0. */
static int string_row(struct store_dict *d, str_id_t id, uint32_t *row)
{
	size_t len = intern_len(d->strings, id), cap = d->string_cap;
	uint32_t *ids;
	int err;

	if (!id.v) {
		*row = 0;
		return 0;
	}
	ids = array_grow(d->string_ids, &d->string_cap, (size_t)id.v + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	if (d->string_cap > cap)
		memset(ids + cap, 0, (d->string_cap - cap) * sizeof(*ids));
	d->string_ids = ids;
	if (!ids[id.v]) {
		if (len > STORE_STRING_MAX)
			len = STORE_STRING_MAX;
		sqlite3_bind_int64(d->add_string, 1, d->string_count + 1);
		sqlite3_bind_text(d->add_string, 2, intern_get(d->strings, id), (int)len,
				  SQLITE_STATIC);
		err = store_db_run(d->db, d->add_string);
		if (err)
			return err;
		ids[id.v] = ++d->string_count;
	}
	*row = ids[id.v];
	return 0;
}

/* The id of a pair of numbers, new ones counted on. */
static int pair_id(struct idmap *map, uint64_t key, uint32_t *count, uint32_t *id)
{
	int err;

	if (idmap_get(map, key, id))
		return 0;
	if (*count == UINT32_MAX)
		return -ENOMEM;
	err = idmap_put(map, key, *count + 1);
	if (!err)
		*id = ++*count;
	return err;
}

static int add_frame(struct store_dict *d, const struct snap_frame *f, uint64_t key, uint32_t *id)
{
	uint32_t file, function;
	struct dict_frame *frames;
	int err = string_row(d, f->file, &file);

	if (!err)
		err = string_row(d, f->function, &function);
	if (err)
		return err;
	frames = array_grow(d->frames, &d->frame_cap, (size_t)d->frame_count + 2, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	d->frames = frames;
	sqlite3_bind_int64(d->add_frame, 1, d->frame_count + 1);
	sqlite3_bind_int64(d->add_frame, 2, file);
	sqlite3_bind_int64(d->add_frame, 3, function);
	sqlite3_bind_int64(d->add_frame, 4, f->line);
	err = store_db_run(d->db, d->add_frame);
	if (!err)
		err = idmap_put(d->frame_ids, key, d->frame_count + 1);
	if (err)
		return err;
	frames[++d->frame_count] =
		(struct dict_frame){*f, store_hash_frame(string_hash(d, f->file),
							 string_hash(d, f->function), f->line)};
	*id = d->frame_count;
	return 0;
}

static int frame_id(struct store_dict *d, const struct snap_frame *f, uint32_t *id)
{
	uint32_t pair;
	uint64_t key;
	int err = pair_id(d->frame_pairs, (uint64_t)f->file.v << 32 | f->function.v,
			  &d->frame_pair_count, &pair);

	if (err)
		return err;
	key = (uint64_t)pair << 32 | (uint32_t)f->line;
	return idmap_get(d->frame_ids, key, id) ? 0 : add_frame(d, f, key, id);
}

static int add_stack(struct store_dict *d, uint32_t parent, uint32_t frame, uint64_t key,
		     uint32_t *id)
{
	uint64_t hash = parent ? d->stacks[parent].hash : STORE_HASH_ROOT;
	struct dict_stack *stacks;
	int err;

	stacks = array_grow(d->stacks, &d->stack_cap, (size_t)d->stack_count + 2, sizeof(*stacks));
	if (!stacks)
		return -ENOMEM;
	d->stacks = stacks;
	sqlite3_bind_int64(d->add_stack, 1, d->stack_count + 1);
	sqlite3_bind_int64(d->add_stack, 2, parent);
	sqlite3_bind_int64(d->add_stack, 3, frame);
	err = store_db_run(d->db, d->add_stack);
	if (!err)
		err = idmap_put(d->stack_ids, key, d->stack_count + 1);
	if (err)
		return err;
	stacks[++d->stack_count] =
		(struct dict_stack){parent, frame, store_hash_stack(hash, d->frames[frame].hash)};
	*id = d->stack_count;
	return 0;
}

/* From the outermost frame inwards, so that stacks share the rows of their common callers. */
static int stack_id(struct store_dict *d, const struct snap_frame *frames, size_t count,
		    uint32_t *id)
{
	uint32_t stack = 0;

	for (size_t i = count; i-- > 0;) {
		uint32_t frame, parent = stack;
		uint64_t key;
		int err = frame_id(d, &frames[i], &frame);

		if (err)
			return err;
		key = (uint64_t)parent << 32 | frame;
		if (idmap_get(d->stack_ids, key, &stack))
			continue;
		err = add_stack(d, parent, frame, key, &stack);
		if (err)
			return err;
	}
	*id = stack;
	return 0;
}

static int domain_index(struct store_dict *d, uint32_t number, unsigned *index)
{
	for (unsigned i = 0; i < d->domain_count; i++) {
		if (d->domains[i] == number) {
			*index = i;
			return 0;
		}
	}
	if (d->domain_count == ARRAY_LEN(d->domains))
		return -ERANGE;
	*index = d->domain_count;
	d->domains[d->domain_count++] = number;
	return 0;
}

static int add_trace(struct store_dict *d, const struct store_trace *t, str_id_t thread,
		     uint64_t key)
{
	uint64_t stack_hash = t->stack ? d->stacks[t->stack].hash : STORE_HASH_ROOT;
	struct store_trace *traces;
	uint32_t thread_row;
	int err = string_row(d, thread, &thread_row);

	if (err)
		return err;
	traces = array_grow(d->traces, &d->trace_cap, (size_t)d->trace_count + 2, sizeof(*traces));
	if (!traces)
		return -ENOMEM;
	d->traces = traces;
	sqlite3_bind_int64(d->add_trace, 1, d->trace_count + 1);
	sqlite3_bind_int64(d->add_trace, 2, t->stack);
	sqlite3_bind_int64(d->add_trace, 3, t->domain);
	sqlite3_bind_int64(d->add_trace, 4, thread_row);
	sqlite3_bind_int64(d->add_trace, 5, t->truncated);
	err = store_db_run(d->db, d->add_trace);
	if (!err)
		err = idmap_put(d->trace_ids, key, d->trace_count + 1);
	if (err)
		return err;
	traces[++d->trace_count] = *t;
	traces[d->trace_count].hash =
		store_hash_trace(stack_hash, string_hash(d, thread), t->domain, t->truncated);
	return 0;
}

static int trace_id(struct store_dict *d, const struct store_trace *want,
		    const struct snap_frame *frames, size_t count, uint32_t *id)
{
	struct store_trace t = *want;
	unsigned domain = 0;
	uint32_t pair;
	uint64_t key;
	int err = stack_id(d, frames, count, &t.stack);

	if (!err)
		err = domain_index(d, t.domain, &domain);
	if (!err)
		err = pair_id(d->trace_pairs, (uint64_t)t.stack << 32 | t.thread,
			      &d->trace_pair_count, &pair);
	if (err)
		return err;
	key = (uint64_t)pair << 9 | domain << 1 | t.truncated;
	if (idmap_get(d->trace_ids, key, id))
		return 0;
	err = add_trace(d, &t, (str_id_t){t.thread}, key);
	*id = d->trace_count;
	return err;
}

/*
 * A stack is known again by two hashes of its ids, 128 bits: looking at every frame of the trace instead
 * is exact, but takes five times as long, in cache misses, and the capture waits for it.
 */
static void quick_hash(const struct store_trace *want, const struct snap_frame *frames,
		       size_t count, uint64_t out[2])
{
	uint64_t a = store_hash_trace(count, want->thread, want->domain, want->truncated);
	uint64_t b = ~a; /* mixes the same in another order */

	for (size_t i = 0; i < count; i++) {
		uint64_t names = (uint64_t)frames[i].file.v << 32 | frames[i].function.v;
		uint64_t line = (uint32_t)frames[i].line;

		a = store_mix(store_mix(a, names), line);
		b = store_mix(store_mix(b, line), names);
	}
	out[0] = a;
	out[1] = b;
}

int store_dict_trace(struct store_dict *d, const struct snapshot *s, const struct snap_stack *stack,
		     uint32_t *id)
{
	const struct snap_frame *frames = s->frames + stack->first_frame;
	size_t count = stack->frame_count;
	struct store_trace want = {.thread = stack->thread.v, .truncated = stack->truncated};
	uint64_t hash[2];
	int err;

	if (!d->strings)
		d->strings = s->strings;
	if (d->strings != s->strings)
		return -EINVAL;
	if (count > STORE_DEPTH_MAX) {
		count = STORE_DEPTH_MAX;
		want.truncated = true;
	}
	want.domain = snapshot_domain_number(s, stack->domain);
	quick_hash(&want, frames, count, hash);
	if (idmap_get(d->quick, hash[0], id) && d->traces[*id].quick == hash[1])
		return 0;
	err = trace_id(d, &want, frames, count, id);
	if (err)
		return err;
	d->traces[*id].quick = hash[1];
	return idmap_put(d->quick, hash[0], *id);
}
