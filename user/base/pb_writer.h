/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Protocol buffers, the writing half: fields appended to a struct buf. A nested message is built in a buf
 * of its own and appended as bytes. Zero values are left out, as proto3 does.
 * Source: the encoding chapter of the protocol buffers documentation (wire types 0 and 2).
 */
#ifndef TM_BASE_PB_WRITER_H
#define TM_BASE_PB_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define PB_VARINT_MAX 10 /* bytes of a 64-bit number */

/* Each: out of memory is sticky in the buf, so that callers check once, at the end. */

/** The bare number, as it stands in a packed field. */
void pb_varint(struct buf *b, uint64_t value);
void pb_u64(struct buf *b, unsigned field, uint64_t value);
void pb_bool(struct buf *b, unsigned field, bool value);
/** A string, bytes, a packed field or a message; written even when it is empty. */
void pb_bytes(struct buf *b, unsigned field, const void *data, size_t len);
/** A message or packed field that was built in `inner`, which is emptied. */
void pb_message(struct buf *b, unsigned field, struct buf *inner);

#endif
