/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strings, frames, stacks and traces of a file, checked: ids are dense from 1, and every row names only
 * rows that were read before it, so links cannot run in circles and no stack is deeper than allowed.
 */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "store/store_priv.h"

struct loader {
	struct store_db *db;
	struct intern *strings;
	struct store_names *n;
	/* of the arrays in n; needed only while reading */
	size_t string_cap, string_hash_cap, frame_cap, frame_hash_cap, stack_cap, trace_cap;
};

typedef int (*row_fn)(struct loader *l, sqlite3_stmt *st);

/* Calls add for each row; the id in column 0 must count 1, 2, ... */
static int each_row(struct loader *l, const char *table, const char *sql, row_fn add)
{
	_cleanup_(store_stmt_freep) sqlite3_stmt *st = NULL;
	int err = store_db_prepare(l->db, sql, &st), row;
	int64_t expected = 1;

	if (err)
		return err;
	while ((row = store_db_step(l->db, st)) == 1) {
		if (sqlite3_column_int64(st, 0) != expected || expected == UINT32_MAX)
			return store_damaged(l->db, "the ids of table '%s' have a gap", table);
		expected++;
		err = add(l, st);
		if (err)
			return err;
	}
	return row;
}

/* A number of column `at` below `limit`. */
static int column_id(struct loader *l, sqlite3_stmt *st, int at, size_t limit, uint32_t *id)
{
	int64_t v = sqlite3_column_int64(st, at);

	if (v < 0 || (uint64_t)v >= limit)
		return store_damaged(l->db, "a row refers to a row that does not exist");
	*id = (uint32_t)v;
	return 0;
}

#define GROW(array, cap, count)                                                          \
	({                                                                               \
		void *grown_ = array_grow(array, &(cap), (count) + 1, sizeof(*(array))); \
                                                                                         \
		if (grown_)                                                              \
			(array) = grown_;                                                \
		grown_ ? 0 : -ENOMEM;                                                    \
	})

static int push_string(struct loader *l, str_id_t id, uint64_t hash)
{
	struct store_names *n = l->n;

	if (GROW(n->strings, l->string_cap, n->string_count) ||
	    GROW(n->string_hashes, l->string_hash_cap, n->string_count))
		return -ENOMEM;
	n->strings[n->string_count] = id;
	n->string_hashes[n->string_count++] = hash;
	return 0;
}

static int add_string(struct loader *l, sqlite3_stmt *st)
{
	const char *text = sqlite3_column_blob(st, 1);
	size_t len = (size_t)sqlite3_column_bytes(st, 1);
	str_id_t id;

	if (len > STORE_STRING_MAX)
		return store_damaged(l->db, "a string is too long");
	if (intern_add(l->strings, text ? text : "", text ? len : 0, &id))
		return -ENOMEM;
	return push_string(l, id, store_hash_string(text ? text : "", text ? len : 0));
}

static int push_frame(struct loader *l, struct snap_frame frame, uint64_t hash)
{
	struct store_names *n = l->n;

	if (GROW(n->frames, l->frame_cap, n->frame_count) ||
	    GROW(n->frame_hashes, l->frame_hash_cap, n->frame_count))
		return -ENOMEM;
	n->frames[n->frame_count] = frame;
	n->frame_hashes[n->frame_count++] = hash;
	return 0;
}

static int add_frame(struct loader *l, sqlite3_stmt *st)
{
	struct store_names *n = l->n;
	int64_t line = sqlite3_column_int64(st, 3);
	uint32_t file = 0, function = 0;
	int err = column_id(l, st, 1, n->string_count, &file);

	if (!err)
		err = column_id(l, st, 2, n->string_count, &function);
	if (err)
		return err;
	if (line < INT32_MIN || line > INT32_MAX)
		return store_damaged(l->db, "a line number is out of range");
	return push_frame(
		l, (struct snap_frame){n->strings[file], n->strings[function], (int32_t)line},
		store_hash_frame(n->string_hashes[file], n->string_hashes[function],
				 (int32_t)line));
}

static int push_stack(struct loader *l, struct store_rstack stack)
{
	struct store_names *n = l->n;

	if (GROW(n->stacks, l->stack_cap, n->stack_count))
		return -ENOMEM;
	n->stacks[n->stack_count++] = stack;
	return 0;
}

static int add_stack(struct loader *l, sqlite3_stmt *st)
{
	struct store_names *n = l->n;
	struct store_rstack stack = {0};
	int err = column_id(l, st, 1, n->stack_count, &stack.parent);

	if (!err)
		err = column_id(l, st, 2, n->frame_count, &stack.frame);
	if (err)
		return err;
	stack.depth = n->stacks[stack.parent].depth + 1;
	if (stack.depth > STORE_DEPTH_MAX || !stack.frame)
		return store_damaged(l->db, "a stack is too deep, or has no frame");
	stack.hash = store_hash_stack(n->stacks[stack.parent].hash, n->frame_hashes[stack.frame]);
	return push_stack(l, stack);
}

static int push_trace(struct loader *l, struct store_rtrace trace)
{
	struct store_names *n = l->n;

	if (GROW(n->traces, l->trace_cap, n->trace_count))
		return -ENOMEM;
	n->traces[n->trace_count++] = trace;
	return 0;
}

static int add_trace(struct loader *l, sqlite3_stmt *st)
{
	struct store_names *n = l->n;
	struct store_rtrace t = {0};
	int64_t truncated = sqlite3_column_int64(st, 4);
	uint32_t thread = 0;
	int err = column_id(l, st, 1, n->stack_count, &t.stack);

	if (!err)
		err = column_id(l, st, 2, (size_t)UINT32_MAX + 1, &t.domain);
	if (!err)
		err = column_id(l, st, 3, n->string_count, &thread);
	if (err)
		return err;
	if (truncated != 0 && truncated != 1)
		return store_damaged(l->db, "a flag is neither 0 nor 1");
	t.truncated = truncated;
	t.thread = n->strings[thread];
	t.hash = store_hash_trace(n->stacks[t.stack].hash, n->string_hashes[thread], t.domain,
				  t.truncated);
	return push_trace(l, t);
}

/* The name for id 0. */
static int push_nothing(struct loader *l)
{
	int err = push_string(l, (str_id_t){0}, store_hash_string("", 0));

	if (!err)
		err = push_frame(l, (struct snap_frame){0}, 0);
	if (!err)
		err = push_stack(l, (struct store_rstack){.hash = STORE_HASH_ROOT});
	return err ? err : push_trace(l, (struct store_rtrace){0});
}

int store_names_read(struct store_db *db, struct intern *strings, struct store_names *n)
{
	struct loader loader = {.db = db, .strings = strings, .n = n}, *l = &loader;
	int err = push_nothing(l);

	if (!err)
		err = each_row(l, "string", "SELECT id, text FROM string ORDER BY id", add_string);
	if (!err)
		err = each_row(l, "frame", "SELECT id, file, function, line FROM frame ORDER BY id",
			       add_frame);
	if (!err)
		err = each_row(l, "stack", "SELECT id, parent, frame FROM stack ORDER BY id",
			       add_stack);
	if (!err)
		err = each_row(l, "trace",
			       "SELECT id, stack, domain, thread, truncated FROM trace ORDER BY id",
			       add_trace);
	if (err)
		store_names_release(n);
	return err;
}

void store_names_release(struct store_names *n)
{
	free(n->strings);
	free(n->string_hashes);
	free(n->frames);
	free(n->frame_hashes);
	free(n->stacks);
	free(n->traces);
	*n = (struct store_names){0};
}
