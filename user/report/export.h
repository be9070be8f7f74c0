/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot in the formats of other tools. One writer a format, all in one table; a writer streams,
 * and the same snapshot gives the same bytes.
 */
#ifndef TM_REPORT_EXPORT_H
#define TM_REPORT_EXPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "store/store.h"

/* In Go's order, which is the order of the values of a pprof sample. */
enum export_value {
	EXPORT_ALLOC_OBJECTS = 0,
	EXPORT_ALLOC_SPACE = 1,
	EXPORT_INUSE_OBJECTS = 2,
	EXPORT_INUSE_SPACE = 3,
	EXPORT_VALUES = 4,
};

struct export_opts {
	enum export_value value; /* folded: which one */
	unsigned python_minor;	 /* tracemalloc: who reads it, 3.N; 0: as the target */
	uint64_t max_blocks;	 /* tracemalloc: entries of the file; 0: no limit */
	bool line_names;	 /* pprof: function names are "put (cache.py:88)" */
	struct {		 /* what filters took out of the snapshot, to be printed */
		uint64_t stacks, bytes, blocks;
	} filtered;
};

#define EXPORT_MAX_BLOCKS 2000000 /* elements that CPython unpickles in seconds */

struct export_format {
	const char *name;
	const char *suffix; /* of a file name, with its dot */
	const char *help;
	bool binary; /* not for a terminal */
	/**
	 * Write all of it to out (borrowed, not closed). Of meta, what is not known may be missing.
	 * Returns: 0, -ENOMEM, -EIO and other write errors.
	 */
	int (*write)(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		     const struct export_opts *opts);
};

/** The formats, ending with one whose name is NULL. */
extern const struct export_format export_formats[];

/** By its name; NULL: there is none. */
const struct export_format *export_format_by_name(const char *name);
/** By the end of a file name; NULL: no suffix fits. */
const struct export_format *export_format_by_suffix(const char *path);

/** "inuse_space" and so on. */
const char *export_value_name(enum export_value value);
/** Returns: 0, -EINVAL. */
int export_value_parse(const char *name, enum export_value *value);

/** Does every stack know what was allocated? */
bool export_alloc_is_complete(const struct snapshot *s);
/* Note for an output whose alloc values are lower bounds. */
#define EXPORT_ALLOC_NOTE \
	"alloc_space and alloc_objects were not recorded: they are what is alive, a lower bound"

#endif
