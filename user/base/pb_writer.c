/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/pb_writer.h"

#define WIRE_VARINT 0
#define WIRE_BYTES  2

void pb_varint(struct buf *b, uint64_t value)
{
	uint8_t bytes[PB_VARINT_MAX];
	size_t len = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[len++] = (uint8_t)(value | 0x80);
	bytes[len++] = (uint8_t)value;
	(void)buf_append(b, bytes, len);
}

static void put_key(struct buf *b, unsigned field, unsigned wire)
{
	pb_varint(b, (uint64_t)field << 3 | wire);
}

void pb_u64(struct buf *b, unsigned field, uint64_t value)
{
	if (!value)
		return;
	put_key(b, field, WIRE_VARINT);
	pb_varint(b, value);
}

void pb_bool(struct buf *b, unsigned field, bool value)
{
	pb_u64(b, field, value);
}

void pb_bytes(struct buf *b, unsigned field, const void *data, size_t len)
{
	put_key(b, field, WIRE_BYTES);
	pb_varint(b, len);
	(void)buf_append(b, data, len);
}

void pb_message(struct buf *b, unsigned field, struct buf *inner)
{
	if (inner->oom)
		b->oom = true;
	else
		pb_bytes(b, field, inner->data, inner->len);
	buf_reset(inner);
}
