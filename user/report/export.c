/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of formats, and what their writers share. */
#include "report/export.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "report/export_priv.h"
#include "report/report_completeness.h"

const struct export_format export_formats[] = {
	{"pprof", ".pb.gz", "gzipped profile.proto, four sample types as Go has them", true,
	 export_pprof},
	{"tracemalloc", ".pickle", "what tracemalloc.Snapshot.load() opens", true,
	 export_tracemalloc},
	{"folded", ".folded", "one line a stack, for flamegraph.pl and others; see --value", false,
	 export_folded},
	{"speedscope", ".speedscope.json", "for speedscope.app, four profiles", false,
	 export_speedscope},
	{"ndjson", ".ndjson", "one JSON object a line, schema tmbpf/1", false, export_ndjson},
	{"csv", ".csv", "one line a source line and domain", false, export_csv},
	{NULL, NULL, NULL, false, NULL},
};

const struct export_format *export_format_by_name(const char *name)
{
	for (const struct export_format *f = export_formats; f->name; f++) {
		if (!strcmp(f->name, name))
			return f;
	}
	return NULL;
}

const struct export_format *export_format_by_suffix(const char *path)
{
	size_t len = strlen(path);

	for (const struct export_format *f = export_formats; f->name; f++) {
		size_t suffix = strlen(f->suffix);

		if (len > suffix && !strcmp(path + len - suffix, f->suffix))
			return f;
	}
	return NULL;
}

static const char *const value_names[EXPORT_VALUES] = {
	[EXPORT_ALLOC_OBJECTS] = "alloc_objects",
	[EXPORT_ALLOC_SPACE] = "alloc_space",
	[EXPORT_INUSE_OBJECTS] = "inuse_objects",
	[EXPORT_INUSE_SPACE] = "inuse_space",
};

const char *export_value_name(enum export_value value)
{
	return value_names[value];
}

int export_value_parse(const char *name, enum export_value *value)
{
	for (int v = 0; v < EXPORT_VALUES; v++) {
		if (!strcmp(name, value_names[v])) {
			*value = (enum export_value)v;
			return 0;
		}
	}
	return -EINVAL;
}

int export_flush(FILE *out, struct buf *b)
{
	if (b->oom)
		return -ENOMEM;
	errno = 0;
	if (b->len && fwrite(b->data, 1, b->len, out) != b->len)
		return errno ? -errno : -EIO;
	buf_reset(b);
	return 0;
}

int export_flush_some(FILE *out, struct buf *b)
{
	return b->oom || b->len >= EXPORT_FLUSH_BYTES ? export_flush(out, b) : 0;
}

void export_values(const struct snap_stack *st, uint64_t values[EXPORT_VALUES])
{
	values[EXPORT_INUSE_OBJECTS] = st->blocks;
	values[EXPORT_INUSE_SPACE] = st->bytes;
	values[EXPORT_ALLOC_OBJECTS] =
		st->alloc_blocks > st->blocks ? st->alloc_blocks : st->blocks;
	values[EXPORT_ALLOC_SPACE] = st->alloc_bytes > st->bytes ? st->alloc_bytes : st->bytes;
}

bool export_alloc_is_complete(const struct snapshot *s)
{
	for (size_t i = 0; i < s->stack_count; i++) {
		if (!export_alloc_known(&s->stacks[i]))
			return false;
	}
	return true;
}

void export_describe(struct buf *b, const struct snapshot *s, const struct store_meta *meta,
		     const struct export_opts *opts)
{
	char time[UNITS_LEN];

	units_format_time(time, s->time_ns);
	(void)buf_printf(b, "tmbpf %s, %s, %u frames%s%s\n", TMBPF_VERSION,
			 s->mode ? s->mode : "mode not known", meta->frames, *time ? ", " : "",
			 time);
	if (meta->comm)
		(void)buf_printf(b, "%s, pid %d%s%s\n", meta->comm, meta->pid,
				 meta->python_version ? ", CPython " : "",
				 meta->python_version ? meta->python_version : "");
	completeness_write(b, s, meta->frames);
	if (opts->filtered.stacks)
		(void)buf_printf(b,
				 "filters left out %" PRIu64 " stacks, %" PRIu64
				 " bytes in %" PRIu64 " blocks\n",
				 opts->filtered.stacks, opts->filtered.bytes,
				 opts->filtered.blocks);
	if (!export_alloc_is_complete(s))
		(void)buf_append_str(b, EXPORT_ALLOC_NOTE "\n");
}
