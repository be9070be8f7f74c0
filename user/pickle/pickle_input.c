/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A window that slides over a file; what is read from it goes through base/cursor. */
#include "pickle/pickle_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES (4 * PICKLE_INPUT_MAX)

int pickle_input_open_fd(struct pickle_input *in, int fd)
{
	uint8_t *window = malloc(WINDOW_BYTES);

	if (!window)
		return -ENOMEM;
	*in = (struct pickle_input){.fd = fd, .window = window, .cur = cursor_init(window, 0)};
	return 0;
}

void pickle_input_open_mem(struct pickle_input *in, const void *data, size_t len)
{
	*in = (struct pickle_input){.fd = -1, .cur = cursor_init(data, len)};
}

void pickle_input_release(struct pickle_input *in)
{
	free(in->window);
	*in = (struct pickle_input){.fd = -1};
}

uint64_t pickle_input_pos(const struct pickle_input *in)
{
	return in->window_off + in->cur.pos;
}

/* Move the rest to the front and append until n bytes are there. */
static int slide_window(struct pickle_input *in, size_t n)
{
	size_t left = cursor_left(&in->cur);

	if (!in->window)
		return -ENODATA;
	memmove(in->window, in->window + in->cur.pos, left);
	in->window_off += in->cur.pos;
	in->cur = cursor_init(in->window, left);
	while (left < n) {
		ssize_t got = read(in->fd, in->window + left, WINDOW_BYTES - left);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -ENODATA;
		left += (size_t)got;
		in->cur.len = left;
	}
	return 0;
}

static int need_bytes(struct pickle_input *in, size_t n)
{
	return cursor_left(&in->cur) >= n ? 0 : slide_window(in, n);
}

int pickle_input_number(struct pickle_input *in, unsigned bytes, uint64_t *value)
{
	int err = need_bytes(in, bytes);

	if (err)
		return err;
	switch (bytes) {
	case 1:
		*value = cursor_u8(&in->cur);
		return 0;
	case 2:
		*value = cursor_u16(&in->cur);
		return 0;
	case 4:
		*value = cursor_u32(&in->cur);
		return 0;
	default:
		*value = cursor_u64(&in->cur);
		return 0;
	}
}

int pickle_input_bytes(struct pickle_input *in, size_t n, const uint8_t **bytes)
{
	int err = n <= PICKLE_INPUT_MAX ? need_bytes(in, n) : -EFBIG;

	if (!err)
		*bytes = cursor_bytes(&in->cur, n);
	return err;
}

int pickle_input_skip(struct pickle_input *in, uint64_t n)
{
	while (n) {
		size_t step = n < PICKLE_INPUT_MAX ? (size_t)n : PICKLE_INPUT_MAX;
		int err = need_bytes(in, step);

		if (err)
			return err;
		cursor_skip(&in->cur, step);
		n -= step;
	}
	return 0;
}
