/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a pickle, through a window over a file of any length. Every read returns whether the
 * bytes were there. Private to the pickle reader.
 */
#ifndef TM_PICKLE_PICKLE_INPUT_H
#define TM_PICKLE_PICKLE_INPUT_H

#include "base/cursor.h"

struct pickle_input {
	struct cursor cur;   /* over the window */
	uint64_t window_off; /* of the window's first byte in the input */
	uint8_t *window;     /* owned; NULL: the whole input is in memory */
	int fd;		     /* borrowed; -1: none */
};

/** Returns: 0, -ENOMEM. */
int pickle_input_open_fd(struct pickle_input *in, int fd);
void pickle_input_open_mem(struct pickle_input *in, const void *data, size_t len);
void pickle_input_release(struct pickle_input *in);

/* Consume the next byte. */
uint64_t pickle_input_pos(const struct pickle_input *in);

/* Each Returns: 0, -ENODATA (the input ends before), what read(2) gives. */

/** An unsigned little-endian number of 1, 2, 4 or 8 bytes. */
int pickle_input_number(struct pickle_input *in, unsigned bytes, uint64_t *value);

#define PICKLE_INPUT_MAX 65536 /* bytes that can be had in one piece */

/** The next n bytes, n <= PICKLE_INPUT_MAX; good until the next read. */
int pickle_input_bytes(struct pickle_input *in, size_t n, const uint8_t **bytes);
int pickle_input_skip(struct pickle_input *in, uint64_t n);

#endif
