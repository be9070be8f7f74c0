/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of a profile.proto while it is being written: strings, functions, locations, mappings, each
 * known by a number that the samples refer to. Private to the pprof writer.
 * Source: proto/profile.proto of google/pprof.
 */
#ifndef TM_REPORT_PPROF_PROFILE_H
#define TM_REPORT_PPROF_PROFILE_H

#include "base/idmap.h"
#include "base/pb_writer.h"
#include "report/export_priv.h"

struct pprof_function {
	uint32_t name, system_name, file; /* strings */
	uint32_t mapping;		  /* that its locations belong to */
};

struct pprof_location {	   /* its number is that of the frame, + 1 */
	uint32_t function; /* number: index + 1 */
	int32_t line;
};

struct pprof_tables {
	const struct snapshot *s;
	bool line_names;
	struct buf scratch;
	struct intern *strings; /* number = id; 0 = "", as the string table wants it */
	uint32_t *mappings;	/* file names of the libraries: strings */
	size_t mapping_count, mapping_cap;
	struct idmap *mapping_index; /* string -> number */
	struct pprof_function *functions;
	size_t function_count, function_cap;
	struct idmap *function_index; /* name, file -> number */
	struct pprof_location *locations;
	size_t location_count, location_cap;
	struct export_frame_ids frame_ids;
};

/** Returns: 0, -ENOMEM. `program` is the first mapping; there always is one. */
int pprof_tables_init(struct pprof_tables *t, const struct snapshot *s, const char *program,
		      bool line_names);
void pprof_tables_release(struct pprof_tables *t);

/** The number of a string. Returns: 0, -ENOMEM. */
int pprof_string(struct pprof_tables *t, const char *text, uint32_t *number);
/** The number of a frame's location. Returns: 0, -ENOMEM. */
int pprof_location(struct pprof_tables *t, uint8_t domain, const struct snap_frame *f,
		   uint32_t *number);

/**
 * Append the tables to b, `sink` is called now and then to empty it.
 * Returns: 0, -ENOMEM, what sink gives.
 */
int pprof_tables_write(const struct pprof_tables *t, struct buf *b,
		       int (*sink)(void *ctx, struct buf *b), void *ctx);

#endif
