/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pickle that tracemalloc.Snapshot.load() opens. Python's statistics() count one block a list element,
 * so S bytes in N blocks become N elements: N - S % N of S / N bytes and S % N of one byte more. Sum and
 * count are exact, and an element after the first is a reference of two to five bytes.
 *
 * Source: Lib/tracemalloc.py of CPython 3.6 to 3.15 for the objects, Lib/pickletools.py for the opcodes.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "base/log.h"
#include "pickle/pickle_read.h"
#include "report/export_priv.h"

#define BATCH 1000 /* elements between two APPENDS: what CPython's pickler hands over at a time */
#define FOUR  9	   /* from Python 3.9 on a trace has a fourth item, the frames before the cut */

/* Opcodes, Lib/pickletools.py of CPython 3.13. */
enum {
	OP_MARK = '(',
	OP_STOP = '.',
	OP_BININT = 'J',
	OP_BININT1 = 'K',
	OP_BININT2 = 'M',
	OP_LONG1 = 0x8a,
	OP_SHORT_BINUNICODE = 0x8c,
	OP_BINUNICODE = 'X',
	OP_EMPTY_TUPLE = ')',
	OP_TUPLE = 't',
	OP_TUPLE1 = 0x85,
	OP_EMPTY_LIST = ']',
	OP_APPENDS = 'e',
	OP_EMPTY_DICT = '}',
	OP_SETITEM = 's',
	OP_SETITEMS = 'u',
	OP_BINGET = 'h',
	OP_LONG_BINGET = 'j',
	OP_MEMOIZE = 0x94,
	OP_STACK_GLOBAL = 0x93,
	OP_NEWOBJ = 0x81,
	OP_BUILD = 'b',
	OP_PROTO = 0x80,
};

struct pickle {
	FILE *out;
	struct buf b, name;
	const struct snapshot *s;
	bool four;
	uint32_t memo_count;
	struct intern *names; /* of files as they stand in the pickle */
	uint32_t *name_memo;  /* by id: its number in the memo, + 1; 0: not written yet */
	size_t name_cap;
	struct export_frame_ids frame_ids;
	uint32_t *frame_memo; /* by frame id */
	size_t frame_cap;
	unsigned batched;     /* elements since the last mark */
	uint64_t blocks, max; /* of the snapshot; elements at most, 0: no limit */
};

static void pickle_release(struct pickle *p)
{
	buf_release(&p->b);
	buf_release(&p->name);
	intern_free(p->names);
	free(p->name_memo);
	export_frame_ids_release(&p->frame_ids);
	free(p->frame_memo);
}

/* ---- values ---- */

static void put_op(struct pickle *p, uint8_t op)
{
	(void)buf_append(&p->b, &op, 1);
}

/* Little-endian. */
static void put_number(struct pickle *p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		put_op(p, (uint8_t)(value >> 8 * i));
}

/* The number of the value that was written last. */
static uint32_t memoize(struct pickle *p)
{
	put_op(p, OP_MEMOIZE);
	return p->memo_count++;
}

static void put_memo(struct pickle *p, uint32_t number)
{
	put_op(p, number <= UINT8_MAX ? OP_BINGET : OP_LONG_BINGET);
	put_number(p, number, number <= UINT8_MAX ? 1 : 4);
}

static void put_int(struct pickle *p, uint64_t value)
{
	unsigned bytes = 0;

	if (value <= UINT8_MAX) {
		put_op(p, OP_BININT1);
		put_number(p, value, 1);
	} else if (value <= UINT16_MAX) {
		put_op(p, OP_BININT2);
		put_number(p, value, 2);
	} else if (value <= INT32_MAX) {
		put_op(p, OP_BININT);
		put_number(p, value, 4);
	} else {
		/* Two's complement: the top bit of the last byte stays free for the sign. */
		while (bytes < sizeof(value) && value >> (8 * bytes))
			bytes++;
		bytes += value >> (8 * bytes - 1) != 0;
		put_op(p, OP_LONG1);
		put_op(p, (uint8_t)bytes);
		put_number(p, value, bytes > 8 ? 8 : bytes);
		if (bytes > 8)
			put_op(p, 0);
	}
}

static void put_str(struct pickle *p, const char *s, size_t len)
{
	put_op(p, len <= UINT8_MAX ? OP_SHORT_BINUNICODE : OP_BINUNICODE);
	put_number(p, len, len <= UINT8_MAX ? 1 : 4);
	(void)buf_append(&p->b, s, len);
}

/* An instance without its state. */
static void put_object(struct pickle *p, const char *class_name)
{
	put_str(p, "tracemalloc", strlen("tracemalloc"));
	put_str(p, class_name, strlen(class_name));
	put_op(p, OP_STACK_GLOBAL);
	put_op(p, OP_EMPTY_TUPLE);
	put_op(p, OP_NEWOBJ);
}

static void put_key(struct pickle *p, const char *key)
{
	put_str(p, key, strlen(key));
}

/* ---- frames ---- */

/* A pickle has no functions: of native code the symbol goes with the library, or it would be lost. */
static int name_file(struct pickle *p, const struct export_stack *st, const struct snap_frame *f,
		     str_id_t *id)
{
	/* A frame whose file is "" keeps it. */
	const char *file =
		st->unknown ? export_file_name(p->s, f) : intern_get(p->s->strings, f->file);

	if (!f->function.v || !stat_frame_is_native(p->s->strings, st->domain, f))
		return intern_str(p->names, file, id);
	buf_reset(&p->name);
	(void)buf_printf(&p->name, "%s%c%s", file, PICKLE_NATIVE_SEPARATOR,
			 intern_get(p->s->strings, f->function));
	return p->name.oom ? -ENOMEM : intern_add(p->names, p->name.data, p->name.len, id);
}

/* Room in an array of numbers; what is new in it is zero. */
static int fit(uint32_t **array, size_t *cap, size_t want)
{
	size_t old = *cap;
	uint32_t *grown = array_grow(*array, cap, want, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	memset(grown + old, 0, (*cap - old) * sizeof(*grown));
	*array = grown;
	return 0;
}

static int put_frame(struct pickle *p, const struct export_stack *st, const struct snap_frame *f)
{
	struct snap_frame key = *f;
	str_id_t file = {0};
	uint32_t id;
	bool is_new;
	int err;

	if (st->unknown)
		key.function.v = UINT32_MAX; /* not to be taken for a frame whose file is "" */
	err = export_frame_id(&p->frame_ids, st->domain, &key, &id, &is_new);
	if (!err)
		err = fit(&p->frame_memo, &p->frame_cap, (size_t)id + 1);
	if (err)
		return err;
	if (p->frame_memo[id]) {
		put_memo(p, p->frame_memo[id] - 1);
		return 0;
	}
	err = name_file(p, st, f, &file);
	if (!err)
		err = fit(&p->name_memo, &p->name_cap, (size_t)file.v + 1);
	if (err)
		return err;
	if (p->name_memo[file.v]) {
		put_memo(p, p->name_memo[file.v] - 1);
	} else {
		put_str(p, intern_get(p->names, file), intern_len(p->names, file));
		p->name_memo[file.v] = memoize(p) + 1;
	}
	put_int(p, (uint64_t)f->line);
	put_op(p, OP_TUPLE1 + 1);
	p->frame_memo[id] = memoize(p) + 1;
	return 0;
}

/* Most recent frame first, in every version. */
static int put_traceback(struct pickle *p, const struct export_stack *st)
{
	int err = 0;

	if (st->count > 3)
		put_op(p, OP_MARK);
	for (size_t i = 0; !err && i < st->count; i++)
		err = put_frame(p, st, &st->frames[i]);
	put_op(p, st->count > 3 ? OP_TUPLE : (uint8_t)(OP_TUPLE1 + st->count - 1));
	return err;
}

/* ---- traces ---- */

/* Bound what Python's unpickler has on its stack. */
static int next_element(struct pickle *p)
{
	if (++p->batched < BATCH)
		return export_flush_some(p->out, &p->b);
	put_op(p, OP_APPENDS);
	put_op(p, OP_MARK);
	p->batched = 0;
	return export_flush_some(p->out, &p->b);
}

/*
 * `count` blocks of one size. The traceback is written in full while *traceback is 0, which then holds its
 * number in the memo, + 1.
 */
static int put_blocks(struct pickle *p, const struct snap_stack *snap_st, uint64_t size,
		      uint64_t count, uint32_t *traceback)
{
	struct export_stack st = export_stack_of(p->s, snap_st);
	uint32_t memo;
	int err = 0;

	if (p->four)
		put_op(p, OP_MARK);
	put_int(p, snapshot_domain_number(p->s, snap_st->domain));
	put_int(p, size);
	if (*traceback) {
		put_memo(p, *traceback - 1);
	} else {
		err = put_traceback(p, &st);
		*traceback = memoize(p) + 1;
	}
	if (p->four)
		put_int(p, st.count + snap_st->truncated);
	put_op(p, p->four ? OP_TUPLE : OP_TUPLE1 + 2);
	memo = memoize(p);
	if (!err)
		err = next_element(p);
	for (uint64_t i = 1; !err && i < count; i++) {
		put_memo(p, memo);
		err = next_element(p);
	}
	return err;
}

/* How many elements stand for the blocks of a stack: all of them, or its share, but at least one. */
static uint64_t elements_of(const struct pickle *p, const struct snap_stack *st)
{
	uint64_t share;

	if (!p->max || p->blocks <= p->max)
		return st->blocks;
	share = (uint64_t)((__uint128_t)st->blocks * p->max / p->blocks);
	return share ? share : 1;
}

static int put_stack(struct pickle *p, const struct snap_stack *st)
{
	uint64_t count = st->blocks ? elements_of(p, st) : 0;
	uint64_t size = count ? st->bytes / count : 0;
	uint64_t longer = count ? st->bytes % count : 0;
	uint32_t traceback = 0;
	int err = 0;

	if (count > longer)
		err = put_blocks(p, st, size, count - longer, &traceback);
	if (!err && longer)
		err = put_blocks(p, st, size + 1, longer, &traceback);
	return err;
}

static int put_traces(struct pickle *p)
{
	int err = 0;

	put_object(p, "_Traces");
	put_op(p, OP_EMPTY_DICT);
	put_key(p, "_traces");
	put_op(p, OP_EMPTY_LIST);
	put_op(p, OP_MARK);
	for (size_t i = 0; !err && i < p->s->stack_count; i++)
		err = put_stack(p, &p->s->stacks[i]);
	put_op(p, OP_APPENDS);
	put_op(p, OP_SETITEM);
	put_op(p, OP_BUILD);
	return err;
}

/* ---- the file ---- */

static unsigned limit_of(const struct snapshot *s, const struct store_meta *meta)
{
	unsigned limit = 1;

	if (meta->frames)
		return meta->frames;
	for (size_t i = 0; i < s->stack_count; i++)
		limit = s->stacks[i].frame_count > limit ? s->stacks[i].frame_count : limit;
	return limit;
}

/* An attribute that tracemalloc does not know survives load() and dump(): the place for a comment. */
static int put_comment(struct pickle *p, const struct store_meta *meta,
		       const struct export_opts *opts)
{
	_cleanup_(buf_release) struct buf text = {0};

	export_describe(&text, p->s, meta, opts);
	if (p->max && p->blocks > p->max)
		(void)buf_printf(&text,
				 "%" PRIu64 " blocks stand for %" PRIu64
				 ": sizes are exact, counts are scaled down\n",
				 p->max, p->blocks);
	if (!text.data || text.oom)
		return -ENOMEM;
	put_key(p, "tmbpf");
	put_str(p, text.data, text.len);
	return 0;
}

static int write_file(struct pickle *p, const struct store_meta *meta,
		      const struct export_opts *opts)
{
	int err;

	put_op(p, OP_PROTO);
	put_op(p, 4);
	put_object(p, "Snapshot");
	put_op(p, OP_EMPTY_DICT);
	put_op(p, OP_MARK);
	put_key(p, "traces");
	err = put_traces(p);
	put_key(p, "traceback_limit");
	put_int(p, limit_of(p->s, meta));
	if (!err)
		err = put_comment(p, meta, opts);
	put_op(p, OP_SETITEMS);
	put_op(p, OP_BUILD);
	put_op(p, OP_STOP);
	return err ? err : export_flush(p->out, &p->b);
}

/* Who will read it: the target's own minor version, or any that has four items. */
static unsigned reader_minor(const struct store_meta *meta, const struct export_opts *opts)
{
	const char *version = meta->python_version;

	if (opts->python_minor)
		return opts->python_minor;
	if (version && !strncmp(version, "3.", 2))
		return (unsigned)strtoul(version + 2, NULL, 10);
	return FOUR;
}

static void warn_scaled(const struct pickle *p)
{
	if (p->max && p->blocks > p->max)
		log_coded_warn(
			"W711", "--max-blocks 0 writes one element for each block",
			"%" PRIu64 " blocks are written as about %" PRIu64
			": tracemalloc's sizes will be exact, its counts scaled down by %.3g",
			p->blocks, p->max, (double)p->blocks / (double)p->max);
}

int export_tracemalloc(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		       const struct export_opts *opts)
{
	_cleanup_(pickle_release) struct pickle p = {
		.out = out,
		.s = s,
		.four = reader_minor(meta, opts) >= FOUR,
		.max = opts->max_blocks,
		.names = intern_new(),
	};
	int err = export_frame_ids_init(&p.frame_ids, s->strings);

	if (!p.names)
		err = -ENOMEM;
	for (size_t i = 0; i < s->stack_count; i++)
		p.blocks += s->stacks[i].blocks;
	if (err)
		return err;
	warn_scaled(&p);
	return write_file(&p, meta, opts);
}
