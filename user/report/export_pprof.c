/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pprof's profile.proto, gzipped: four sample types with Go's names in Go's order, because tools pick
 * them by name and by position. Samples are written as they come; the tables they refer to follow.
 * Source: proto/profile.proto of google/pprof.
 */
#include <errno.h>
#include <string.h>

#include "report/gzip_out.h"
#include "report/pprof_profile.h"

/* Field numbers: message Profile, ValueType, Sample, Label of profile.proto. */
enum { PROFILE_SAMPLE_TYPE = 1, PROFILE_SAMPLE = 2, PROFILE_TIME_NANOS = 9 };
enum { PROFILE_DURATION_NANOS = 10, PROFILE_PERIOD_TYPE = 11, PROFILE_PERIOD = 12 };
enum { PROFILE_COMMENT = 13, PROFILE_DEFAULT_SAMPLE_TYPE = 14 };
enum { VALUE_TYPE_TYPE = 1, VALUE_TYPE_UNIT = 2 };
enum { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };
enum { LABEL_KEY = 1, LABEL_STR = 2, LABEL_NUM = 3, LABEL_NUM_UNIT = 4 };

#define PERIOD 1 /* bytes: every block counts. Never 0: readers divide by it */

struct pprof {
	struct gzip_out gzip;
	struct pprof_tables tables;
	struct buf text;	       /* of the profile, until it is compressed */
	struct buf sample, inner, ids; /* a sample, a part of it, its locations */
	const struct snapshot *s;
	const struct store_meta *meta;
	const struct export_opts *opts;
	uint32_t count, bytes, space; /* strings: units and types */
	uint32_t key_domain, key_thread, key_pid;
};

static void pprof_release(struct pprof *p)
{
	gzip_out_release(&p->gzip);
	pprof_tables_release(&p->tables);
	buf_release(&p->text);
	buf_release(&p->sample);
	buf_release(&p->inner);
	buf_release(&p->ids);
}

/* Values of a sample are signed. */
static uint64_t clamp_int64(uint64_t value)
{
	return value < INT64_MAX ? value : INT64_MAX;
}

static int write_chunk(void *ctx, struct buf *b)
{
	struct pprof *p = ctx;

	return b->oom || b->len >= EXPORT_FLUSH_BYTES ? gzip_out_write(&p->gzip, b) : 0;
}

static void put_value_type(struct pprof *p, unsigned field, uint32_t type, uint32_t unit)
{
	pb_u64(&p->inner, VALUE_TYPE_TYPE, type);
	pb_u64(&p->inner, VALUE_TYPE_UNIT, unit);
	pb_message(&p->text, field, &p->inner);
}

static int write_types(struct pprof *p)
{
	uint32_t type = 0;

	for (int v = 0; v < EXPORT_VALUES; v++) {
		bool space = v == EXPORT_ALLOC_SPACE || v == EXPORT_INUSE_SPACE;
		int err = pprof_string(&p->tables, export_value_name((enum export_value)v), &type);

		if (err)
			return err;
		put_value_type(p, PROFILE_SAMPLE_TYPE, type, space ? p->bytes : p->count);
	}
	pb_u64(&p->text, PROFILE_DEFAULT_SAMPLE_TYPE, type); /* the last one: inuse_space */
	put_value_type(p, PROFILE_PERIOD_TYPE, p->space, p->bytes);
	pb_u64(&p->text, PROFILE_PERIOD, PERIOD);
	return 0;
}

static void put_label_str(struct pprof *p, uint32_t key, uint32_t value)
{
	pb_u64(&p->inner, LABEL_KEY, key);
	pb_u64(&p->inner, LABEL_STR, value);
	pb_message(&p->sample, SAMPLE_LABEL, &p->inner);
}

static void put_label_num(struct pprof *p, uint32_t key, uint64_t value, uint32_t unit)
{
	pb_u64(&p->inner, LABEL_KEY, key);
	pb_u64(&p->inner, LABEL_NUM, value);
	pb_u64(&p->inner, LABEL_NUM_UNIT, unit);
	pb_message(&p->sample, SAMPLE_LABEL, &p->inner);
}

/* One value a key. The block size as Go writes it: pprof's -tagfocus knows it by this name. */
static int put_labels(struct pprof *p, const struct snap_stack *st,
		      const uint64_t values[EXPORT_VALUES])
{
	char text[16];
	uint32_t value;
	int err = pprof_string(&p->tables, export_domain_text(text, p->s, st->domain), &value);

	if (err)
		return err;
	put_label_str(p, p->key_domain, value);
	if (st->thread.v) {
		err = pprof_string(&p->tables, intern_get(p->s->strings, st->thread), &value);
		if (err)
			return err;
		put_label_str(p, p->key_thread, value);
	}
	if (p->meta->pid)
		put_label_num(p, p->key_pid, (uint64_t)p->meta->pid, 0);
	if (values[EXPORT_ALLOC_OBJECTS])
		put_label_num(p, p->bytes,
			      values[EXPORT_ALLOC_SPACE] / values[EXPORT_ALLOC_OBJECTS], p->bytes);
	return 0;
}

static int write_sample(struct pprof *p, const struct snap_stack *st)
{
	struct export_stack stack = export_stack_of(p->s, st);
	uint64_t values[EXPORT_VALUES];
	int err = 0;

	export_values(st, values);
	if (!values[EXPORT_ALLOC_OBJECTS] && !values[EXPORT_ALLOC_SPACE])
		return 0; /* alive is not more than allocated: nothing at all */
	for (size_t i = 0; !err && i < stack.count; i++) { /* innermost first */
		uint32_t id = 0;

		err = pprof_location(&p->tables, st->domain, &stack.frames[i], &id);
		pb_varint(&p->ids, id);
	}
	pb_message(&p->sample, SAMPLE_LOCATION_ID, &p->ids);
	for (int v = 0; v < EXPORT_VALUES; v++)
		pb_varint(&p->inner, clamp_int64(values[v]));
	pb_message(&p->sample, SAMPLE_VALUE, &p->inner);
	if (!err)
		err = put_labels(p, st, values);
	pb_message(&p->text, PROFILE_SAMPLE, &p->sample);
	return err ? err : write_chunk(p, &p->text);
}

/* Comments that `go tool pprof -comments` shows, a line each. */
static int write_comments(struct pprof *p)
{
	_cleanup_(buf_release) struct buf text = {0};
	char *line, *save = NULL;
	int err = 0;

	export_describe(&text, p->s, p->meta, p->opts);
	if (!text.data || text.oom)
		return -ENOMEM;
	for (line = strtok_r(text.data, "\n", &save); !err && line;
	     line = strtok_r(NULL, "\n", &save)) {
		uint32_t id = 0;

		err = pprof_string(&p->tables, line, &id);
		pb_varint(&p->ids, id);
	}
	pb_message(&p->text, PROFILE_COMMENT, &p->ids);
	return err;
}

static int name_strings(struct pprof *p)
{
	const struct {
		const char *text;
		uint32_t *number;
	} names[] = {
		{"count", &p->count},	    {"bytes", &p->bytes},	{"space", &p->space},
		{"domain", &p->key_domain}, {"thread", &p->key_thread}, {"pid", &p->key_pid},
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		int err = pprof_string(&p->tables, names[i].text, names[i].number);

		if (err)
			return err;
	}
	return 0;
}

static int write_profile(struct pprof *p)
{
	int err = name_strings(p);

	if (err)
		return err;
	err = write_types(p);
	if (p->s->time_ns > 0)
		pb_u64(&p->text, PROFILE_TIME_NANOS, (uint64_t)p->s->time_ns);
	if (p->s->elapsed_s > 0)
		pb_u64(&p->text, PROFILE_DURATION_NANOS, (uint64_t)(p->s->elapsed_s * 1e9));
	if (err)
		return err;
	err = write_comments(p);
	for (size_t i = 0; !err && i < p->s->stack_count; i++)
		err = write_sample(p, &p->s->stacks[i]);
	if (err)
		return err;
	err = pprof_tables_write(&p->tables, &p->text, write_chunk, p);
	if (err)
		return err;
	err = gzip_out_write(&p->gzip, &p->text);
	return err ? err : gzip_out_finish(&p->gzip);
}

/* pprof shows a mapping only by its file; without one it makes up its own, and differences do not cancel. */
static const char *program_name(const struct store_meta *meta)
{
	if (meta->program && *meta->program)
		return meta->program;
	return meta->comm && *meta->comm ? meta->comm : "[unknown]";
}

int export_pprof(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		 const struct export_opts *opts)
{
	_cleanup_(pprof_release) struct pprof p = {.s = s, .meta = meta, .opts = opts};
	int err = pprof_tables_init(&p.tables, s, program_name(meta), opts->line_names);

	if (!err)
		err = gzip_out_open(&p.gzip, out);
	return err ? err : write_profile(&p);
}
