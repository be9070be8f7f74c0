/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of frames, for formats in which every frame needs one. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "base/text.h"
#include "report/export_priv.h"
#include "report/report_paths.h"

#define UNKNOWN "<unknown>" /* tracemalloc's file name of a frame it does not know */

struct export_stack export_stack_of(const struct snapshot *s, const struct snap_stack *st)
{
	static const struct snap_frame unknown;

	if (!st->frame_count)
		return (struct export_stack){&unknown, 1, st->domain, true};
	return (struct export_stack){s->frames + st->first_frame, st->frame_count, st->domain,
				     false};
}

const char *export_file_name(const struct snapshot *s, const struct snap_frame *f)
{
	return f->file.v ? intern_get(s->strings, f->file) : UNKNOWN;
}

void export_function_text(struct buf *b, const struct snapshot *s, uint8_t domain,
			  const struct snap_frame *f)
{
	const char *file = export_file_name(s, f);

	if (f->function.v)
		(void)buf_append_str(b, intern_get(s->strings, f->function));
	else if (stat_frame_is_native(s->strings, domain, f))
		(void)buf_printf(b, "[%s]", text_base_name(file));
	else
		(void)buf_append_str(b, text_base_name(file));
}

void export_frame_text(struct buf *b, const struct snapshot *s, uint8_t domain,
		       const struct snap_frame *f, bool short_paths)
{
	const char *file = export_file_name(s, f);

	if (short_paths)
		file = text_base_name(file);
	if (stat_frame_is_native(s->strings, domain, f)) {
		export_function_text(b, s, domain, f);
		if (f->function.v)
			(void)buf_printf(b, " (%s)", file);
	} else if (f->function.v) {
		(void)buf_printf(b, "%s (%s:%" PRId32 ")", intern_get(s->strings, f->function),
				 file, f->line);
	} else if (f->line) {
		(void)buf_printf(b, "%s:%" PRId32, file, f->line);
	} else {
		(void)buf_append_str(b, file);
	}
}

const char *export_domain_text(char text[16], const struct snapshot *s, uint8_t domain)
{
	if (domain < SNAP_DOMAINS)
		return snapshot_domain_name((enum snap_domain)domain);
	snprintf(text, 16, "%" PRIu32, snapshot_domain_number(s, domain));
	return text;
}

int export_frame_ids_init(struct export_frame_ids *t, const struct intern *strings)
{
	*t = (struct export_frame_ids){
		.pairs = idmap_new(), .ids = idmap_new(), .strings = strings};
	if (t->pairs && t->ids)
		return 0;
	export_frame_ids_release(t);
	return -ENOMEM;
}

void export_frame_ids_release(struct export_frame_ids *t)
{
	idmap_free(t->pairs);
	idmap_free(t->ids);
	*t = (struct export_frame_ids){0};
}

int export_frame_id(struct export_frame_ids *t, uint8_t domain, const struct snap_frame *f,
		    uint32_t *id, bool *is_new)
{
	uint64_t pair_key = (uint64_t)f->function.v << 32 | f->file.v, key;
	uint32_t pair;

	if (!idmap_get(t->pairs, pair_key, &pair)) {
		pair = t->pair_count;
		if (idmap_put(t->pairs, pair_key, pair))
			return -ENOMEM;
		t->pair_count++;
	}
	/* A line has 31 bits; the 32nd tells a library from a file whose line is not known. */
	key = (uint64_t)pair << 32 | (uint32_t)f->line |
	      (stat_frame_is_native(t->strings, domain, f) ? 1u << 31 : 0);
	*is_new = !idmap_get(t->ids, key, id);
	if (!*is_new)
		return 0;
	if (idmap_put(t->ids, key, t->count))
		return -ENOMEM;
	*id = t->count++;
	return 0;
}
