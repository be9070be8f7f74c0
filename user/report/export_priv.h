/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the writers of export formats. Private to user/report/. */
#ifndef TM_REPORT_EXPORT_PRIV_H
#define TM_REPORT_EXPORT_PRIV_H

#include "base/buf.h"
#include "base/idmap.h"
#include "base/json_writer.h"
#include "report/export.h"

/* ---- the writers ---- */

#define EXPORT_WRITER(name)                                                                   \
	int export_##name(FILE *out, const struct snapshot *s, const struct store_meta *meta, \
			  const struct export_opts *opts)
EXPORT_WRITER(pprof);
EXPORT_WRITER(tracemalloc);
EXPORT_WRITER(folded);
EXPORT_WRITER(speedscope);
EXPORT_WRITER(ndjson);
EXPORT_WRITER(csv);

/* ---- output (export.c) ---- */

#define EXPORT_FLUSH_BYTES 65536

/** Write what b holds and empty it; out of memory in b counts. Returns: 0, -ENOMEM, a write error. */
int export_flush(FILE *out, struct buf *b);
/* Write and empty b once it is long enough to be worth a write. */
int export_flush_some(FILE *out, struct buf *b);

/* ---- frames (export_frames.c) ---- */

/** The frames of a stack, innermost first; a stack without any has one that is unknown. */
struct export_stack {
	const struct snap_frame *frames;
	size_t count; /* >= 1 */
	uint8_t domain;
	bool unknown; /* the frame is made up */
};
struct export_stack export_stack_of(const struct snapshot *s, const struct snap_stack *st);

/** Its file; "<unknown>" for none. */
const char *export_file_name(const struct snapshot *s, const struct snap_frame *f);

/** "put (/srv/shop/cache.py:88)", "xmlNewNode (libxml2.so.2)", "/srv/a.py:3" without a function. */
void export_frame_text(struct buf *b, const struct snapshot *s, uint8_t domain,
		       const struct snap_frame *f, bool short_paths);
/** A name for its function, even where it has none: "[libxml2.so.2]", "cache.py", "<unknown>". */
void export_function_text(struct buf *b, const struct snapshot *s, uint8_t domain,
			  const struct snap_frame *f);

/* Every distinct function, file and line gets a number, dense from 0. */
struct export_frame_ids {
	struct idmap *pairs; /* function, file -> number of the pair */
	struct idmap *ids;   /* pair, line, native -> number */
	uint32_t pair_count, count;
	const struct intern *strings; /* borrowed: of the frames that are asked for */
};

/** Returns: 0, -ENOMEM. */
int export_frame_ids_init(struct export_frame_ids *t, const struct intern *strings);
void export_frame_ids_release(struct export_frame_ids *t);
/** *is_new: it was not seen before. Returns: 0, -ENOMEM. */
int export_frame_id(struct export_frame_ids *t, uint8_t domain, const struct snap_frame *f,
		    uint32_t *id, bool *is_new);

/** "python", "native", or the number of a foreign domain; text is room for it. */
const char *export_domain_text(char text[16], const struct snapshot *s, uint8_t domain);

/* ---- numbers (export.c) ---- */

/** Is what was allocated known? Without it only what is alive is, and that is a lower bound. */
static inline bool export_alloc_known(const struct snap_stack *st)
{
	return st->alloc_blocks >= st->blocks && st->alloc_bytes >= st->bytes;
}

/** All four; what was allocated is at least what is alive. */
void export_values(const struct snap_stack *st, uint64_t values[EXPORT_VALUES]);
/** Where it comes from and how complete it is: lines, each with its newline, for a comment. */
void export_describe(struct buf *b, const struct snapshot *s, const struct store_meta *meta,
		     const struct export_opts *opts);

/* ---- equal stacks (export_groups.c) ---- */

struct export_group {	/* stacks that no field tells apart */
	uint32_t stack; /* the first of them */
	uint64_t values[EXPORT_VALUES];
	bool alloc_known; /* of all of them */
};

enum export_grouping {
	EXPORT_BY_FRAMES, /* equal frames, whatever the domain and thread */
	EXPORT_BY_SITE,	  /* equal innermost frame and domain */
};

/**
 * Merge stacks and sort them by what they are merged by: one snapshot, one order. group_of takes the
 * group of every stack, by position; or it is NULL.
 * Returns: 0, -ENOMEM. Owns: *groups is the caller's.
 */
int export_group_stacks(const struct snapshot *s, enum export_grouping by,
			struct export_group **groups, size_t *count, uint32_t *group_of);

#endif
