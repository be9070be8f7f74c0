/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers for what pprof samples refer to, and the tables that explain the numbers. */
#include "report/pprof_profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_key.h"

/* Field numbers: message Profile, Mapping, Location, Line, Function of profile.proto. */
enum { PROFILE_MAPPING = 3, PROFILE_LOCATION = 4, PROFILE_FUNCTION = 5, PROFILE_STRING_TABLE = 6 };
enum { MAPPING_ID = 1, MAPPING_FILENAME = 5, MAPPING_HAS_FUNCTIONS = 7, MAPPING_HAS_FILENAMES = 8 };
enum { MAPPING_HAS_LINE_NUMBERS = 9 };
enum { LOCATION_ID = 1, LOCATION_MAPPING_ID = 2, LOCATION_LINE = 4 };
enum { LINE_FUNCTION_ID = 1, LINE_LINE = 2 };
enum { FUNCTION_ID = 1, FUNCTION_NAME = 2, FUNCTION_SYSTEM_NAME = 3, FUNCTION_FILENAME = 4 };

static int add_mapping(struct pprof_tables *t, const char *file, uint32_t *number)
{
	uint32_t name, *mappings;
	int err = pprof_string(t, file, &name);

	if (err || idmap_get(t->mapping_index, name, number))
		return err;
	mappings =
		array_grow(t->mappings, &t->mapping_cap, t->mapping_count + 1, sizeof(*mappings));
	if (!mappings)
		return -ENOMEM;
	t->mappings = mappings;
	mappings[t->mapping_count++] = name;
	*number = (uint32_t)t->mapping_count;
	return idmap_put(t->mapping_index, name, *number);
}

int pprof_tables_init(struct pprof_tables *t, const struct snapshot *s, const char *program,
		      bool line_names)
{
	uint32_t first;

	*t = (struct pprof_tables){.s = s, .line_names = line_names};
	t->strings = intern_new();
	t->mapping_index = idmap_new();
	t->function_index = idmap_new();
	if (!t->strings || !t->mapping_index || !t->function_index ||
	    export_frame_ids_init(&t->frame_ids, s->strings))
		return -ENOMEM;
	return add_mapping(t, program, &first);
}

void pprof_tables_release(struct pprof_tables *t)
{
	buf_release(&t->scratch);
	intern_free(t->strings);
	idmap_free(t->mapping_index);
	idmap_free(t->function_index);
	export_frame_ids_release(&t->frame_ids);
	free(t->mappings);
	free(t->functions);
	free(t->locations);
	*t = (struct pprof_tables){0};
}

int pprof_string(struct pprof_tables *t, const char *text, uint32_t *number)
{
	str_id_t id;
	int err = intern_str(t->strings, text, &id);

	if (!err)
		*number = id.v;
	return err;
}

/* The name in scratch becomes a string. */
static int take_scratch(struct pprof_tables *t, uint32_t *number)
{
	int err = t->scratch.oom ? -ENOMEM
				 : pprof_string(t, t->scratch.data ? t->scratch.data : "", number);

	buf_reset(&t->scratch);
	return err;
}

static int describe_function(struct pprof_tables *t, uint8_t domain, const struct snap_frame *f,
			     struct pprof_function *fn)
{
	const char *file = export_file_name(t->s, f);
	bool native = stat_frame_is_native(t->s->strings, domain, f);
	int err = pprof_string(t, file, &fn->file);

	fn->mapping = 1;
	if (!err && native && file[0] != '<')
		err = add_mapping(t, file, &fn->mapping);
	/*
	 * Give only native names a system name, because pprof demangles a name that equals it, and takes
	 * <module> for template arguments.
	 */
	if (!err && native && f->function.v)
		err = pprof_string(t, intern_get(t->s->strings, f->function), &fn->system_name);
	if (err)
		return err;
	if (t->line_names)
		export_frame_text(&t->scratch, t->s, domain, f, true);
	else
		export_function_text(&t->scratch, t->s, domain, f);
	return take_scratch(t, &fn->name);
}

/* Returns the number of the function by *number. */
static int add_function(struct pprof_tables *t, const struct pprof_function *fn, uint32_t *number)
{
	uint64_t key = (uint64_t)fn->name << 32 | fn->file;
	struct pprof_function *functions;

	if (idmap_get(t->function_index, key, number))
		return 0;
	functions = array_grow(t->functions, &t->function_cap, t->function_count + 1,
			       sizeof(*functions));
	if (!functions)
		return -ENOMEM;
	t->functions = functions;
	functions[t->function_count++] = *fn;
	*number = (uint32_t)t->function_count;
	return idmap_put(t->function_index, key, *number);
}

int pprof_location(struct pprof_tables *t, uint8_t domain, const struct snap_frame *f,
		   uint32_t *number)
{
	struct pprof_location *locations;
	struct pprof_function fn = {0};
	uint32_t id = 0, function = 0;
	bool is_new = false;
	int err = export_frame_id(&t->frame_ids, domain, f, &id, &is_new);

	if (!err && is_new)
		err = describe_function(t, domain, f, &fn);
	if (!err && is_new)
		err = add_function(t, &fn, &function);
	*number = id + 1;
	if (err || !is_new)
		return err;
	locations = array_grow(t->locations, &t->location_cap, t->location_count + 1,
			       sizeof(*locations));
	if (!locations)
		return -ENOMEM;
	t->locations = locations;
	locations[t->location_count++] = (struct pprof_location){function, f->line};
	return 0;
}

static void write_mapping(struct buf *b, struct buf *m, size_t i, uint32_t file)
{
	pb_u64(m, MAPPING_ID, i + 1);
	pb_u64(m, MAPPING_FILENAME, file);
	/* Mark the mapping as symbolized, since no tool needs to look for symbols. */
	pb_bool(m, MAPPING_HAS_FUNCTIONS, true);
	pb_bool(m, MAPPING_HAS_FILENAMES, true);
	pb_bool(m, MAPPING_HAS_LINE_NUMBERS, true);
	pb_message(b, PROFILE_MAPPING, m);
}

static void write_location(struct buf *b, struct buf *m, struct buf *line,
			   const struct pprof_tables *t, size_t i)
{
	const struct pprof_location *l = &t->locations[i];

	pb_u64(line, LINE_FUNCTION_ID, l->function);
	pb_u64(line, LINE_LINE, (uint64_t)l->line);
	pb_u64(m, LOCATION_ID, i + 1);
	pb_u64(m, LOCATION_MAPPING_ID, t->functions[l->function - 1].mapping);
	pb_message(m, LOCATION_LINE, line);
	pb_message(b, PROFILE_LOCATION, m);
}

static void write_function(struct buf *b, struct buf *m, size_t i, const struct pprof_function *fn)
{
	pb_u64(m, FUNCTION_ID, i + 1);
	pb_u64(m, FUNCTION_NAME, fn->name);
	pb_u64(m, FUNCTION_SYSTEM_NAME, fn->system_name);
	pb_u64(m, FUNCTION_FILENAME, fn->file);
	pb_message(b, PROFILE_FUNCTION, m);
}

int pprof_tables_write(const struct pprof_tables *t, struct buf *b,
		       int (*sink)(void *ctx, struct buf *b), void *ctx)
{
	_cleanup_(buf_release) struct buf m = {0};
	_cleanup_(buf_release) struct buf line = {0};
	int err = 0;

	for (size_t i = 0; i < t->mapping_count; i++)
		write_mapping(b, &m, i, t->mappings[i]);
	for (size_t i = 0; !err && i < t->location_count; i++) {
		write_location(b, &m, &line, t, i);
		err = sink(ctx, b);
	}
	for (size_t i = 0; !err && i < t->function_count; i++) {
		write_function(b, &m, i, &t->functions[i]);
		err = sink(ctx, b);
	}
	for (size_t i = 0; !err && i <= intern_count(t->strings); i++) {
		str_id_t id = {(uint32_t)i};

		pb_bytes(b, PROFILE_STRING_TABLE, intern_get(t->strings, id),
			 intern_len(t->strings, id));
		err = sink(ctx, b);
	}
	return err ? err : b->oom ? -ENOMEM : 0;
}
