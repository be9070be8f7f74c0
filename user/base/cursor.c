/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bounds-checked reads; every one goes through cursor_bytes(), the only place that compares lengths. */
#include "base/cursor.h"

#include <endian.h>
#include <string.h>

#define VARINT_BITS 6	 /* payload of a byte, CPython v3.11 Objects/locations.md */
#define VARINT_MORE 0x40 /* "another byte follows", same source */
#define VARINT_MASK 0x3f

const uint8_t *cursor_bytes(struct cursor *c, size_t n)
{
	static const uint8_t nothing;
	const uint8_t *p;

	if (c->bad || n > c->len - c->pos) {
		c->bad = true;
		return NULL;
	}
	/* Return a valid pointer for zero bytes of no data, because NULL would mean "bad". */
	p = c->data ? c->data + c->pos : &nothing;
	c->pos += n;
	return p;
}

uint8_t cursor_u8(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, 1);

	return p ? *p : 0;
}

uint16_t cursor_u16(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, sizeof(uint16_t));
	uint16_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t cursor_u32(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, sizeof(uint32_t));
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t cursor_u64(struct cursor *c)
{
	const uint8_t *p = cursor_bytes(c, sizeof(uint64_t));
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void cursor_seek(struct cursor *c, size_t pos)
{
	if (c->bad || pos > c->len)
		c->bad = true;
	else
		c->pos = pos;
}

void cursor_skip(struct cursor *c, size_t n)
{
	(void)cursor_bytes(c, n);
}

const char *cursor_str(struct cursor *c)
{
	size_t left = cursor_left(c);
	const uint8_t *nul = left ? memchr(c->data + c->pos, 0, left) : NULL;

	if (!nul) {
		c->bad = true;
		return NULL;
	}
	return (const char *)cursor_bytes(c, (size_t)(nul - (c->data + c->pos)) + 1);
}

uint32_t cursor_varint(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = cursor_u8(c);
		/* Shift is at most 30 here, so that the sum of all payloads fits 36 bits. */
		value |= (uint64_t)(byte & VARINT_MASK) << shift;
		shift += VARINT_BITS;
		if (value > UINT32_MAX || (shift > 30 && (byte & VARINT_MORE)))
			c->bad = true;
	} while (!c->bad && (byte & VARINT_MORE));
	return c->bad ? 0 : (uint32_t)value;
}

int32_t cursor_svarint(struct cursor *c)
{
	uint32_t value = cursor_varint(c);
	int32_t magnitude = (int32_t)(value >> 1);

	return value & 1 ? -magnitude : magnitude;
}

struct cursor cursor_sub(const struct cursor *c, size_t off, size_t n)
{
	struct cursor sub = {0};

	if (c->bad || off > c->len || n > c->len - off) {
		sub.bad = true;
		return sub;
	}
	if (c->data)
		sub.data = c->data + off;
	sub.len = n;
	return sub;
}
