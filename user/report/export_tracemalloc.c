/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pickle that tracemalloc.Snapshot.load() opens. Because Python's statistics() count one block a list
 * element, S bytes in N blocks become N elements: N - S % N of S / N bytes and S % N of one byte more.
 * Sum and count are exact, and an element after the first is a reference of two to five bytes.
 *
 * Source: Lib/tracemalloc.py of CPython 3.6 to 3.15.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "base/log.h"
#include "pickle/pickle_read.h"
#include "pickle/pickle_write.h"
#include "report/export_priv.h"

#define BATCH 1000 /* elements between two APPENDS: what CPython's pickler hands over at a time */
#define FOUR  9	   /* from Python 3.9 on a trace has a fourth item, the frames before the cut */

struct pickle {
	FILE *out;
	struct pickle_writer w;
	struct buf name;
	const struct snapshot *s;
	bool four;
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
	buf_release(&p->w.out);
	buf_release(&p->name);
	intern_free(p->names);
	free(p->name_memo);
	export_frame_ids_release(&p->frame_ids);
	free(p->frame_memo);
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
static int fit_array(uint32_t **array, size_t *cap, size_t want)
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
		err = fit_array(&p->frame_memo, &p->frame_cap, (size_t)id + 1);
	if (err)
		return err;
	if (p->frame_memo[id]) {
		pickle_put_memo(&p->w, p->frame_memo[id] - 1);
		return 0;
	}
	err = name_file(p, st, f, &file);
	if (!err)
		err = fit_array(&p->name_memo, &p->name_cap, (size_t)file.v + 1);
	if (err)
		return err;
	if (p->name_memo[file.v]) {
		pickle_put_memo(&p->w, p->name_memo[file.v] - 1);
	} else {
		pickle_put_str(&p->w, intern_get(p->names, file), intern_len(p->names, file));
		p->name_memo[file.v] = pickle_memoize(&p->w) + 1;
	}
	pickle_put_int(&p->w, (uint64_t)f->line);
	pickle_put_op(&p->w, PICKLE_TUPLE1 + 1);
	p->frame_memo[id] = pickle_memoize(&p->w) + 1;
	return 0;
}

/* Most recent frame first, in every version. */
static int put_traceback(struct pickle *p, const struct export_stack *st)
{
	int err = 0;

	if (st->count > 3)
		pickle_put_op(&p->w, PICKLE_MARK);
	for (size_t i = 0; !err && i < st->count; i++)
		err = put_frame(p, st, &st->frames[i]);
	pickle_put_op(&p->w,
		      st->count > 3 ? PICKLE_TUPLE : (uint8_t)(PICKLE_TUPLE1 + st->count - 1));
	return err;
}

/* ---- traces ---- */

/* Bound what Python's unpickler has on its stack. */
static int next_element(struct pickle *p)
{
	if (++p->batched < BATCH)
		return export_flush_some(p->out, &p->w.out);
	pickle_put_op(&p->w, PICKLE_APPENDS);
	pickle_put_op(&p->w, PICKLE_MARK);
	p->batched = 0;
	return export_flush_some(p->out, &p->w.out);
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
		pickle_put_op(&p->w, PICKLE_MARK);
	pickle_put_int(&p->w, snapshot_domain_number(p->s, snap_st->domain));
	pickle_put_int(&p->w, size);
	if (*traceback) {
		pickle_put_memo(&p->w, *traceback - 1);
	} else {
		err = put_traceback(p, &st);
		*traceback = pickle_memoize(&p->w) + 1;
	}
	if (p->four)
		pickle_put_int(&p->w, st.count + snap_st->truncated);
	pickle_put_op(&p->w, p->four ? PICKLE_TUPLE : PICKLE_TUPLE1 + 2);
	memo = pickle_memoize(&p->w);
	if (!err)
		err = next_element(p);
	for (uint64_t i = 1; !err && i < count; i++) {
		pickle_put_memo(&p->w, memo);
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

	pickle_put_object(&p->w, "tracemalloc", "_Traces");
	pickle_put_op(&p->w, PICKLE_EMPTY_DICT);
	pickle_put_key(&p->w, "_traces");
	pickle_put_op(&p->w, PICKLE_EMPTY_LIST);
	pickle_put_op(&p->w, PICKLE_MARK);
	for (size_t i = 0; !err && i < p->s->stack_count; i++)
		err = put_stack(p, &p->s->stacks[i]);
	pickle_put_op(&p->w, PICKLE_APPENDS);
	pickle_put_op(&p->w, PICKLE_SETITEM);
	pickle_put_op(&p->w, PICKLE_BUILD);
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

/*
 * Put the comment there, because an attribute that tracemalloc does not know survives load() and
 * dump().
 */
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
	pickle_put_key(&p->w, "tmbpf");
	pickle_put_str(&p->w, text.data, text.len);
	return 0;
}

static int write_file(struct pickle *p, const struct store_meta *meta,
		      const struct export_opts *opts)
{
	int err;

	pickle_put_op(&p->w, PICKLE_PROTO);
	pickle_put_op(&p->w, 4);
	pickle_put_object(&p->w, "tracemalloc", "Snapshot");
	pickle_put_op(&p->w, PICKLE_EMPTY_DICT);
	pickle_put_op(&p->w, PICKLE_MARK);
	pickle_put_key(&p->w, "traces");
	err = put_traces(p);
	pickle_put_key(&p->w, "traceback_limit");
	pickle_put_int(&p->w, limit_of(p->s, meta));
	if (!err)
		err = put_comment(p, meta, opts);
	pickle_put_op(&p->w, PICKLE_SETITEMS);
	pickle_put_op(&p->w, PICKLE_BUILD);
	pickle_put_op(&p->w, PICKLE_STOP);
	return err ? err : export_flush(p->out, &p->w.out);
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
