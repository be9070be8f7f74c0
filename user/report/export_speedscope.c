/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * speedscope's own format: frames once, then four profiles that share them. Preferred to pprof there,
 * because speedscope's import of pprof keeps one line a function and one sample type.
 * Source: file-format-schema.json of the npm package speedscope 1.25.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/units.h"
#include "report/export_priv.h"

struct speedscope { /* one file being written */
	FILE *out;
	struct buf text, name; /* of the file; of a frame */
	struct json_writer w;
	const struct snapshot *s;
	struct export_group *groups;
	size_t group_count;
	struct export_frame_ids ids;
};

static const struct {
	enum export_value value;
	const char *name, *unit;
	bool alloc;
} profiles[EXPORT_VALUES] = {
	{EXPORT_INUSE_SPACE, "live bytes", "bytes", false},
	{EXPORT_INUSE_OBJECTS, "live blocks", "none", false},
	{EXPORT_ALLOC_SPACE, "allocated bytes", "bytes", true},
	{EXPORT_ALLOC_OBJECTS, "allocations", "none", true},
};

static void speedscope_release(struct speedscope *o)
{
	buf_release(&o->text);
	buf_release(&o->name);
	free(o->groups);
	export_frame_ids_release(&o->ids);
}

static int write_frame(struct speedscope *o, uint8_t domain, const struct snap_frame *f)
{
	buf_reset(&o->name);
	export_function_text(&o->name, o->s, domain, f);
	if (!o->name.data || o->name.oom)
		return -ENOMEM;
	json_object_begin(&o->w, NULL);
	json_str(&o->w, "name", o->name.data);
	json_str(&o->w, "file", export_file_name(o->s, f));
	if (f->line)
		json_i64(&o->w, "line", f->line);
	json_object_end(&o->w);
	return 0;
}

static int write_frames(struct speedscope *o)
{
	int err = 0;

	json_object_begin(&o->w, "shared");
	json_array_begin(&o->w, "frames");
	for (size_t i = 0; !err && i < o->s->stack_count; i++) {
		struct export_stack st = export_stack_of(o->s, &o->s->stacks[i]);

		for (size_t k = 0; !err && k < st.count; k++) {
			uint32_t id;
			bool is_new = false;

			err = export_frame_id(&o->ids, st.domain, &st.frames[k], &id, &is_new);
			if (!err && is_new)
				err = write_frame(o, st.domain, &st.frames[k]);
		}
		if (!err)
			err = export_flush_some(o->out, &o->text);
	}
	json_array_end(&o->w);
	json_object_end(&o->w);
	return err;
}

/* The frames of one stack, outermost first. */
static int write_sample(struct speedscope *o, const struct export_group *g)
{
	struct export_stack st = export_stack_of(o->s, &o->s->stacks[g->stack]);
	int err = 0;

	json_array_begin(&o->w, NULL);
	for (size_t k = st.count; !err && k > 0; k--) {
		uint32_t id = 0;
		bool is_new;

		err = export_frame_id(&o->ids, st.domain, &st.frames[k - 1], &id, &is_new);
		json_u64(&o->w, NULL, id);
	}
	json_array_end(&o->w);
	return err ? err : export_flush_some(o->out, &o->text);
}

static int write_samples(struct speedscope *o, enum export_value value)
{
	int err = 0;

	json_array_begin(&o->w, "samples");
	for (size_t i = 0; !err && i < o->group_count; i++) {
		if (o->groups[i].values[value])
			err = write_sample(o, &o->groups[i]);
	}
	json_array_end(&o->w);
	json_array_begin(&o->w, "weights");
	for (size_t i = 0; !err && i < o->group_count; i++) {
		if (o->groups[i].values[value])
			json_u64(&o->w, NULL, o->groups[i].values[value]);
		err = export_flush_some(o->out, &o->text);
	}
	json_array_end(&o->w);
	return err;
}

static int write_profile(struct speedscope *o, unsigned which)
{
	enum export_value value = profiles[which].value;
	bool bound = profiles[which].alloc && !export_alloc_is_complete(o->s);
	char name[80];
	uint64_t sum = 0;
	int err;

	for (size_t i = 0; i < o->group_count; i++)
		sum += o->groups[i].values[value];
	snprintf(name, sizeof(name), "%s%s", profiles[which].name,
		 bound ? " (not recorded: at least what is alive)" : "");
	json_object_begin(&o->w, NULL);
	json_str(&o->w, "type", "sampled");
	json_str(&o->w, "name", name);
	json_str(&o->w, "unit", profiles[which].unit);
	json_u64(&o->w, "startValue", 0);
	json_u64(&o->w, "endValue", sum);
	err = write_samples(o, value);
	json_object_end(&o->w);
	return err;
}

static void write_head(struct speedscope *o, const struct store_meta *meta)
{
	char time[UNITS_LEN], name[160];

	units_format_time(time, o->s->time_ns);
	if (meta->comm)
		snprintf(name, sizeof(name), "%s %d %s", meta->comm, meta->pid, time);
	else
		snprintf(name, sizeof(name), "%s", time);
	json_str(&o->w, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_str(&o->w, "exporter", "tmbpf@" TMBPF_VERSION);
	json_str(&o->w, "name", name);
	json_u64(&o->w, "activeProfileIndex", 0);
}

static int write_file(struct speedscope *o, const struct store_meta *meta)
{
	int err;

	json_object_begin(&o->w, NULL);
	write_head(o, meta);
	err = write_frames(o);
	json_array_begin(&o->w, "profiles");
	for (unsigned i = 0; !err && i < EXPORT_VALUES; i++)
		err = write_profile(o, i);
	json_array_end(&o->w);
	json_object_end(&o->w);
	(void)buf_append_str(&o->text, "\n");
	return err ? err : export_flush(o->out, &o->text);
}

int export_speedscope(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		      const struct export_opts *opts)
{
	_cleanup_(speedscope_release) struct speedscope o = {.out = out, .s = s};
	int err;

	(void)opts;
	o.w.out = &o.text;
	err = export_frame_ids_init(&o.ids, s->strings);
	if (!err)
		err = export_group_stacks(s, EXPORT_BY_FRAMES, &o.groups, &o.group_count, NULL);
	return err ? err : write_file(&o, meta);
}
