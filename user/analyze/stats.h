/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics as tracemalloc's Snapshot.statistics() gives them: live size and count by line, file or
 * traceback, and by four things it does not know: function, module, thread, domain.
 *
 * Source: Lib/tracemalloc.py of CPython 3.7 to 3.15 (class Snapshot, Statistic, Traceback); the numbers
 * and the order are its own. 3.6 sorts equal tracebacks from the innermost frame on; later ones, and we,
 * from the oldest.
 */
#ifndef TM_ANALYZE_STATS_H
#define TM_ANALYZE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/snapshot.h"

enum stat_key {
	STAT_LINENO = 0,
	STAT_FILENAME,
	STAT_TRACEBACK,
	STAT_FUNCTION,
	STAT_MODULE,
	STAT_THREAD,
	STAT_DOMAIN,
	STAT_KEYS,
};

enum stat_cumulative {
	STAT_OWN = 0,	 /* a block belongs to its innermost frame */
	STAT_EACH_FRAME, /* to every frame of its stack; a frame that is there twice counts twice, as
			  * in tracemalloc */
	STAT_EACH_STACK, /* to every group that is in its stack, once */
};

enum stat_sort {
	STAT_BY_SIZE = 0, /* tracemalloc's: size, count, traceback, all descending */
	STAT_BY_COUNT,	  /* count, size, traceback */
	STAT_UNSORTED,	  /* any order: for comparing */
};

struct stat_opts {
	enum stat_key key;
	enum stat_cumulative cumulative; /* lineno, filename, function, module */
	enum stat_sort sort;
	size_t top; /* groups that must be in order; 0 = all. The others follow in any order */
	bool split_domains;  /* python and native blocks of one place are two groups */
	const uint8_t *skip; /* a byte a stack; those that are not 0 are left out. NULL: none is */
};

struct statistic {
	/*
	 * The name of the group. lineno: file and line, and the function where it is part of the place
	 * (a native frame); filename: file; function: file and function; module, thread, domain: the
	 * name stands in `file`. traceback: the frame of a stack that has none.
	 */
	struct snap_frame top;
	const struct snap_frame *frames;  /* traceback: innermost first; else NULL */
	const struct snap_stack *biggest; /* most bytes, then most blocks, then the first */
	uint16_t frame_count;
	uint8_t domain;	      /* of the biggest stack */
	bool is_native;	      /* top is a frame of native code; not for traceback */
	uint64_t size, count; /* at most INT64_MAX, however much is added */
};

struct statistics {
	const struct snapshot *snap; /* borrowed */
	enum stat_key key;
	bool split_domains;
	struct statistic *items;
	size_t count;
	/* All stacks that were grouped; cumulative groups add up to more. */
	uint64_t total_size, total_count;
};

/**
 * Group what is alive. Stacks without frames are those of `<unknown>`, line 0; stacks that hold no block
 * are left out.
 *
 * Returns: 0; -EINVAL (cumulative with traceback, thread or domain); -ENOMEM.
 * Owns: out until statistics_release(); it points into s, which must stay. Names of modules, threads and
 *       domains are added to the snapshot's strings.
 */
int statistics_make(const struct snapshot *s, const struct stat_opts *opts, struct statistics *out);
void statistics_release(struct statistics *st);

/** The frames of a group's key, innermost first; one, except for traceback. */
const struct snap_frame *statistic_frames(const struct statistic *st, size_t *count);

/** The function of the place: of the group itself or of its biggest stack there; 0 = none. */
str_id_t statistic_function(const struct statistics *in, const struct statistic *st);

/** "lineno" and so on; Returns: 0, -EINVAL. */
const char *stat_key_name(enum stat_key key);
int stat_key_parse(const char *name, enum stat_key *key);
bool stat_key_can_cumulate(enum stat_key key);

#endif
