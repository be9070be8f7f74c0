/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/gzip_out.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define LEVEL	    6
#define WINDOW_GZIP (15 + 16) /* the largest window; + 16: a gzip header, zlib.h: deflateInit2() */
#define MEM_LEVEL   8
#define CHUNK	    16384

int gzip_out_open(struct gzip_out *g, FILE *out)
{
	*g = (struct gzip_out){.out = out};
	if (deflateInit2(&g->z, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return -ENOMEM;
	g->open = true;
	return 0;
}

/* All of the stream's input through the compressor. */
static int run_deflate(struct gzip_out *g, int flush)
{
	unsigned char chunk[CHUNK];

	do {
		size_t len;

		g->z.next_out = chunk;
		g->z.avail_out = sizeof(chunk);
		if (deflate(&g->z, flush) == Z_STREAM_ERROR)
			return -EIO;
		len = sizeof(chunk) - g->z.avail_out;
		errno = 0;
		if (len && fwrite(chunk, 1, len, g->out) != len)
			return errno ? -errno : -EIO;
	} while (!g->z.avail_out); /* room was left: all of it is out */
	return 0;
}

int gzip_out_write(struct gzip_out *g, struct buf *b)
{
	size_t done = 0;
	int err = b->oom ? -ENOMEM : 0;

	while (!err && done < b->len) {
		size_t step = b->len - done < INT_MAX ? b->len - done : INT_MAX;

		g->z.next_in = (unsigned char *)b->data + done;
		g->z.avail_in = (unsigned)step;
		done += step;
		err = run_deflate(g, Z_NO_FLUSH);
	}
	buf_reset(b);
	return err;
}

int gzip_out_finish(struct gzip_out *g)
{
	g->z.next_in = NULL;
	g->z.avail_in = 0;
	return run_deflate(g, Z_FINISH);
}

void gzip_out_release(struct gzip_out *g)
{
	if (g->open)
		deflateEnd(&g->z);
	g->open = false;
}
