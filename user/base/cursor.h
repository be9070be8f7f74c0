/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bounds-checked reader of bytes we do not trust (ELF files, target memory, line tables).
 * The first read past the end sets the sticky flag `bad`; from then on reads give 0 and do not move.
 * A parser reads freely and checks cursor_ok() before it believes what it read. Little endian only.
 */
#ifndef TM_BASE_CURSOR_H
#define TM_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cursor {
	const uint8_t *data; /* borrowed */
	size_t len;
	size_t pos;
	bool bad;
};

static inline struct cursor cursor_init(const void *data, size_t len)
{
	return (struct cursor){.data = data, .len = len};
}

static inline bool cursor_ok(const struct cursor *c)
{
	return !c->bad;
}

static inline size_t cursor_left(const struct cursor *c)
{
	return c->bad ? 0 : c->len - c->pos;
}

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);

/** Absolute position; past the end sets bad. */
void cursor_seek(struct cursor *c, size_t pos);
void cursor_skip(struct cursor *c, size_t n);

/** The next n bytes, borrowed from the data; NULL (and bad) when there are fewer. */
const uint8_t *cursor_bytes(struct cursor *c, size_t n);

/** A NUL-terminated string inside the data; NULL (and bad) when no NUL follows. */
const char *cursor_str(struct cursor *c);

/** CPython's location-table integers, 6 bits a byte, bit 6 = more (Objects/locations.md, v3.11). */
uint32_t cursor_varint(struct cursor *c);
int32_t cursor_svarint(struct cursor *c);

/** A cursor over [off, off+n) of the same data; bad when the range is not inside. */
struct cursor cursor_sub(const struct cursor *c, size_t off, size_t n);

#endif
