/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "analyze/stat_group.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "analyze/stat_key.h"

static int domain_name(struct stat_namer *n, uint8_t domain, str_id_t *id)
{
	char text[32];
	int err = 0;

	if (!n->domain_ids[domain].v) {
		snprintf(text, sizeof(text), "domain %u",
			 (unsigned)snapshot_domain_number(n->snap, domain));
		err = intern_str(n->snap->strings,
				 domain == SNAP_PYTHON	 ? "python"
				 : domain == SNAP_NATIVE ? "native"
							 : text,
				 &n->domain_ids[domain]);
	}
	*id = n->domain_ids[domain];
	return err;
}

/* The name of the group that a frame of a stack belongs to. */
static int name_group(struct stat_namer *n, const struct snap_stack *st, const struct snap_frame *f,
		      struct snap_frame *top)
{
	const struct intern *strings = n->snap->strings;

	*top = (struct snap_frame){0};
	switch (n->key) {
	case STAT_FILENAME:
		top->file = f->file;
		return 0;
	case STAT_FUNCTION:
		top->file = f->file;
		top->function = f->function;
		return 0;
	case STAT_MODULE:
		return stat_modules_get(n->modules, f->file,
					stat_frame_is_native(strings, st->domain, f), &top->file);
	case STAT_THREAD:
		top->file = st->thread.v ? st->thread : n->all_threads;
		return 0;
	case STAT_DOMAIN:
		return domain_name(n, st->domain, &top->file);
	default:
		*top = stat_place(strings, st->domain, f);
		return 0;
	}
}

int stat_group_of_frame(struct stat_namer *n, const struct snap_stack *st, size_t i,
			struct statistic *out)
{
	const struct snap_frame *f =
		st->frame_count ? &n->snap->frames[st->first_frame + i] : &n->unknown;

	*out = (struct statistic){
		.biggest = st,
		.domain = st->domain,
		.is_native = stat_frame_is_native(n->snap->strings, st->domain, f),
	};
	return name_group(n, st, f, &out->top);
}

int stat_group_of(struct stat_namer *n, const struct snap_stack *st, struct statistic *out)
{
	if (n->key != STAT_TRACEBACK)
		return stat_group_of_frame(n, st, 0, out);
	*out = (struct statistic){
		.biggest = st,
		.domain = st->domain,
		.top = n->unknown,
		.frames = st->frame_count ? &n->snap->frames[st->first_frame] : NULL,
		.frame_count = st->frame_count,
	};
	return 0;
}

int stat_namer_init(struct stat_namer *n, const struct snapshot *s, enum stat_key key)
{
	int err;

	*n = (struct stat_namer){.snap = s, .key = key};
	err = intern_str(s->strings, "<unknown>", &n->unknown.file);
	if (!err && key == STAT_THREAD)
		err = intern_str(s->strings, "<all threads>", &n->all_threads);
	if (!err && key == STAT_MODULE)
		err = stat_modules_new(s->strings, &n->modules);
	return err;
}

void stat_namer_release(struct stat_namer *n)
{
	stat_modules_free(n->modules);
	n->modules = NULL;
}
