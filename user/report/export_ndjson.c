/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NDJSON, schema tmbpf/1, the form of a whole snapshot (docs/ndjson.md): a header, every frame once, every
 * stack once as a list of frame ids, then what each stack holds, and an end with which nothing is cut off.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "analyze/stat_key.h"
#include "base/units.h"
#include "report/export_priv.h"
#include "report/report_ndjson.h"

struct ndjson {
	FILE *out;
	struct buf text;
	const struct snapshot *s;
	struct export_frame_ids ids;
	struct export_group *groups; /* distinct lists of frames: the stacks */
	size_t group_count;
	uint32_t *stack_ids; /* by position in s->stacks */
};

static void ndjson_release(struct ndjson *n)
{
	buf_release(&n->text);
	export_frame_ids_release(&n->ids);
	free(n->groups);
	free(n->stack_ids);
}

static struct json_writer begin_line(struct ndjson *n, const char *type)
{
	struct json_writer w = {.out = &n->text};

	json_object_begin(&w, NULL);
	json_str(&w, "type", type);
	return w;
}

static int end_line(struct ndjson *n, struct json_writer *w)
{
	json_object_end(w);
	(void)buf_append_str(&n->text, "\n");
	return export_flush_some(n->out, &n->text);
}

/* 0 stands for "not known" where nothing real is 0. */
static void put_known(struct json_writer *w, const char *key, uint64_t value)
{
	if (value)
		json_u64(w, key, value);
	else
		json_null(w, key);
}

static int write_header(struct ndjson *n, const struct store_meta *meta,
			const struct export_opts *opts)
{
	struct json_writer w = {.out = &n->text};
	const struct snapshot *s = n->s;

	json_object_begin(&w, NULL);
	json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", "snapshot");
	ndjson_put_time(&w, s->time_ns);
	json_str(&w, "version", TMBPF_VERSION);
	put_known(&w, "pid", (uint64_t)meta->pid);
	json_str(&w, "comm", meta->comm);
	json_str(&w, "program", meta->program);
	json_str(&w, "python", meta->python_version);
	json_str(&w, "mode", s->mode);
	put_known(&w, "frames", meta->frames);
	json_u64(&w, "seq", s->seq);
	json_double(&w, "elapsed_s", s->elapsed_s > 0 ? s->elapsed_s : (double)NAN);
	json_u64(&w, "live_bytes", s->live_bytes);
	json_u64(&w, "live_blocks", s->live_blocks);
	put_known(&w, "rss_bytes", s->rss_bytes);
	json_bool(&w, "alloc_known", export_alloc_is_complete(s));
	ndjson_put_coverage(&w, s);
	ndjson_put_losses(&w, s);
	json_object_begin(&w, "filtered");
	json_u64(&w, "stacks", opts->filtered.stacks);
	json_u64(&w, "bytes", opts->filtered.bytes);
	json_u64(&w, "blocks", opts->filtered.blocks);
	json_object_end(&w);
	return end_line(n, &w);
}

static int write_frame(struct ndjson *n, uint32_t id, uint8_t domain, const struct snap_frame *f)
{
	struct json_writer w = begin_line(n, "frame");

	json_u64(&w, "id", id);
	json_str(&w, "file", export_file_name(n->s, f));
	json_i64(&w, "line", f->line);
	ndjson_put_name(&w, "function", n->s->strings, f->function);
	json_str(&w, "domain",
		 stat_frame_is_native(n->s->strings, domain, f) ? "native" : "python");
	return end_line(n, &w);
}

static int write_stack(struct ndjson *n, uint32_t id, const struct export_stack *st)
{
	struct json_writer w = begin_line(n, "stack");
	int err = 0;

	json_u64(&w, "id", id);
	json_array_begin(&w, "frames");
	for (size_t i = 0; !err && i < st->count; i++) {
		uint32_t frame = 0;
		bool is_new;

		err = export_frame_id(&n->ids, st->domain, &st->frames[i], &frame, &is_new);
		json_u64(&w, NULL, frame);
	}
	json_array_end(&w);
	return err ? err : end_line(n, &w);
}

/* The stack's new frames, then the stack, so that a reader needs no look-ahead. */
static int write_group(struct ndjson *n, uint32_t id)
{
	const struct snap_stack *snap_st = &n->s->stacks[n->groups[id].stack];
	struct export_stack st = export_stack_of(n->s, snap_st);
	int err = 0;

	for (size_t i = 0; !err && i < st.count; i++) {
		uint32_t frame = 0;
		bool is_new = false;

		err = export_frame_id(&n->ids, st.domain, &st.frames[i], &frame, &is_new);
		if (!err && is_new)
			err = write_frame(n, frame, st.domain, &st.frames[i]);
	}
	return err ? err : write_stack(n, id, &st);
}

static int write_site(struct ndjson *n, size_t position)
{
	const struct snap_stack *snap_st = &n->s->stacks[position];
	struct export_stack st = export_stack_of(n->s, snap_st);
	struct json_writer w = begin_line(n, "site");
	char domain[16];

	json_u64(&w, "seq", n->s->seq);
	json_str(&w, "file", export_file_name(n->s, &st.frames[0]));
	json_i64(&w, "line", st.frames[0].line);
	ndjson_put_name(&w, "function", n->s->strings, st.frames[0].function);
	json_str(&w, "domain", export_domain_text(domain, n->s, snap_st->domain));
	ndjson_put_name(&w, "thread", n->s->strings, snap_st->thread);
	json_u64(&w, "bytes", snap_st->bytes);
	json_u64(&w, "blocks", snap_st->blocks);
	if (export_alloc_known(snap_st)) {
		json_u64(&w, "alloc_bytes", snap_st->alloc_bytes);
		json_u64(&w, "alloc_blocks", snap_st->alloc_blocks);
	} else {
		json_null(&w, "alloc_bytes");
		json_null(&w, "alloc_blocks");
	}
	json_u64(&w, "stack_id", n->stack_ids[position]);
	json_bool(&w, "truncated", snap_st->truncated);
	return end_line(n, &w);
}

static int write_end(struct ndjson *n)
{
	struct json_writer w = begin_line(n, "end");

	json_str(&w, "reason", "complete");
	json_i64(&w, "exit", 0);
	json_u64(&w, "frames", n->ids.count);
	json_u64(&w, "stacks", n->group_count);
	json_u64(&w, "sites", n->s->stack_count);
	return end_line(n, &w);
}

static int write_file(struct ndjson *n, const struct store_meta *meta,
		      const struct export_opts *opts)
{
	int err = write_header(n, meta, opts);

	for (size_t i = 0; !err && i < n->group_count; i++)
		err = write_group(n, (uint32_t)i);
	for (size_t i = 0; !err && i < n->s->stack_count; i++)
		err = write_site(n, i);
	if (!err)
		err = write_end(n);
	return err ? err : export_flush(n->out, &n->text);
}

int export_ndjson(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		  const struct export_opts *opts)
{
	_cleanup_(ndjson_release) struct ndjson n = {.out = out, .s = s};
	int err = export_frame_ids_init(&n.ids, s->strings);

	n.stack_ids = calloc(s->stack_count + 1, sizeof(*n.stack_ids));
	if (!n.stack_ids)
		err = -ENOMEM;
	if (!err)
		err = export_group_stacks(s, EXPORT_BY_FRAMES, &n.groups, &n.group_count,
					  n.stack_ids);
	return err ? err : write_file(&n, meta, opts);
}
