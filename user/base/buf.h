/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growable bytes and string builder. Zero-initialised is empty; buf_release() frees. */
#ifndef TM_BASE_BUF_H
#define TM_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* owned; NUL-terminated after every buf_append*, NULL while empty */
	size_t len;
	size_t cap;
	bool oom; /* sticky: an append failed, the content is incomplete */
};

void buf_release(struct buf *b);
void buf_reset(struct buf *b);

/** Returns: 0, -ENOMEM (also sets oom). */
int buf_append(struct buf *b, const void *data, size_t len);
int buf_append_str(struct buf *b, const char *s);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Room for len more bytes at the end; the pointer is valid until the next call. NULL: out of memory. */
void *buf_extend(struct buf *b, size_t len);

/**
 * Make room for `want` elements in an array that grows by doubling.
 * Returns: the array (maybe moved) or NULL with the old one untouched; *cap is updated.
 */
void *array_grow(void *array, size_t *cap, size_t want, size_t elem_bytes);

/** Whole file into b (bounded). Returns: 0, -errno, -EFBIG past max bytes. */
int buf_read_fd(struct buf *b, int fd, size_t max);

#endif
