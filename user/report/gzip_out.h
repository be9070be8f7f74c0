/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A gzip stream onto a FILE. Without a name or a time in its header: equal data gives equal bytes. */
#ifndef TM_REPORT_GZIP_OUT_H
#define TM_REPORT_GZIP_OUT_H

#include <stdbool.h>
#include <stdio.h>
#include <zlib.h>

#include "base/buf.h"

struct gzip_out {
	FILE *out; /* borrowed */
	z_stream z;
	bool open;
};

/** Returns: 0, -ENOMEM. Zero-initialised is closed. */
int gzip_out_open(struct gzip_out *g, FILE *out);
/** Compress what b holds and empty it; out of memory in b counts. Returns: 0, -ENOMEM, a write error. */
int gzip_out_write(struct gzip_out *g, struct buf *b);
/** Write the end of the stream. Returns: 0, a write error. */
int gzip_out_finish(struct gzip_out *g);
/** In any state; unfinished output is cut short. */
void gzip_out_release(struct gzip_out *g);

#endif
