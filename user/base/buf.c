/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growable bytes. The only file of the program that calls realloc(). */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_CAP  64
#define READ_CHUNK 4096

void buf_release(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->oom = false;
	if (b->data)
		b->data[0] = '\0';
}

void *array_grow(void *array, size_t *cap, size_t want, size_t elem_bytes)
{
	size_t new_cap =
		*cap ? *cap : FIRST_CAP / (elem_bytes < FIRST_CAP ? elem_bytes : FIRST_CAP);
	void *grown;

	if (want <= *cap && array)
		return array;
	while (new_cap < want) {
		if (new_cap > SIZE_MAX / 2)
			return NULL;
		new_cap *= 2;
	}
	if (new_cap > (size_t)PTRDIFF_MAX / elem_bytes)
		return NULL;
	grown = realloc(array, new_cap * elem_bytes);
	if (grown)
		*cap = new_cap;
	return grown;
}

/* Room for len bytes and their NUL. A failed buffer stays failed, so that its content has no holes. */
static int reserve_room(struct buf *b, size_t len)
{
	char *data = NULL;

	if (!b->oom && len < SIZE_MAX - b->len)
		data = array_grow(b->data, &b->cap, b->len + len + 1, 1);
	if (!data) {
		b->oom = true;
		return -ENOMEM;
	}
	b->data = data;
	return 0;
}

void *buf_extend(struct buf *b, size_t len)
{
	char *start;

	if (reserve_room(b, len))
		return NULL;
	start = b->data + b->len;
	b->len += len;
	b->data[b->len] = '\0';
	return start;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
	void *room = buf_extend(b, len);

	if (!room)
		return -ENOMEM;
	if (len)
		memcpy(room, data, len);
	return 0;
}

int buf_append_str(struct buf *b, const char *s)
{
	return buf_append(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	char *room;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (len < 0)
		b->oom = true; /* only for a length past INT_MAX */
	room = len < 0 ? NULL : buf_extend(b, (size_t)len);
	if (!room)
		return -ENOMEM;
	va_start(ap, fmt);
	vsnprintf(room, (size_t)len + 1, fmt, ap);
	va_end(ap);
	return 0;
}

int buf_read_fd(struct buf *b, int fd, size_t max)
{
	size_t total = 0;

	for (;;) {
		ssize_t got;

		if (reserve_room(b, READ_CHUNK))
			return -ENOMEM;
		got = read(fd, b->data + b->len, b->cap - b->len - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		b->data[b->len + (size_t)got] = '\0';
		if (got == 0)
			return 0;
		if ((size_t)got > max - total) {
			b->len += max - total;
			b->data[b->len] = '\0';
			return -EFBIG;
		}
		total += (size_t)got;
		b->len += (size_t)got;
	}
}
