/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolize/py_str.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/cursor.h"

/*
 * PyASCIIObject.state, Include/cpython/unicodeobject.h, v3.6 on: interned, then kind:3, compact:1, ascii:1.
 * interned has two bits, in the free-threaded builds from 3.14 on eight (py_offsets: str_kind_shift).
 */
#define STATE_KIND(s) ((s)&7)
#define STATE_COMPACT (1u << 3)
#define STATE_ASCII   (1u << 4)

#define ESCAPE_MAX    7 /* "\udcXX" and its NUL */
#define REPLACEMENT   0xfffd
#define UNICODE_MAX   0x10ffff

size_t py_str_header_len(const struct py_offsets *off)
{
	size_t len = off->str_length + sizeof(uint64_t);

	if (len < off->str_state + sizeof(uint32_t))
		len = off->str_state + sizeof(uint32_t);
	return len <= PY_STR_HEADER_MAX ? len : 0;
}

int py_str_parse(const struct py_offsets *off, uint64_t str_addr, const void *header, size_t len,
		 struct py_str *out)
{
	struct cursor c = cursor_init(header, len);

	cursor_seek(&c, off->str_length);
	uint64_t length = cursor_u64(&c);
	cursor_seek(&c, off->str_state);
	uint32_t state = cursor_u32(&c) >> off->str_kind_shift;
	unsigned kind = STATE_KIND(state);

	if (!cursor_ok(&c) || length > PY_STR_CODEPOINTS_MAX)
		return -EBADMSG;
	if (kind != 1 && kind != 2 && kind != 4)
		return -EBADMSG;
	if ((state & STATE_ASCII) && kind != 1)
		return -EBADMSG;

	*out = (struct py_str){.bytes = (size_t)length * kind, .kind = (uint8_t)kind};
	if (!(state & STATE_COMPACT))
		out->data_ptr_addr = str_addr + off->str_compact_data; /* PyUnicodeObject.data */
	else if (state & STATE_ASCII)
		out->data_addr = str_addr + off->str_ascii_data;
	else
		out->data_addr = str_addr + off->str_compact_data;
	return 0;
}

static uint32_t next_code_point(struct cursor *c, unsigned kind)
{
	if (kind == 1)
		return cursor_u8(c);
	return kind == 2 ? cursor_u16(c) : cursor_u32(c);
}

/* UTF-8, RFC 3629. */
static size_t encode_utf8(char out[4], uint32_t cp)
{
	if (cp < 0x80) {
		out[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (char)(0xc0 | cp >> 6);
		out[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (char)(0xe0 | cp >> 12);
		out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | cp >> 18);
	out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

static int append_code_point(struct buf *b, uint32_t cp)
{
	char text[ESCAPE_MAX];
	size_t len;

	if (cp == 0)
		len = (size_t)snprintf(text, sizeof(text), "\\x00");
	else if (cp >= 0xd800 && cp <= 0xdfff)
		len = (size_t)snprintf(text, sizeof(text), "\\u%04x", cp);
	else
		len = encode_utf8(text, cp <= UNICODE_MAX ? cp : REPLACEMENT);
	return buf_append(b, text, len);
}

int py_str_intern(struct intern *strings, const void *data, size_t bytes, unsigned kind,
		  str_id_t *id)
{
	_cleanup_(buf_release) struct buf b = {0};

	if (kind != 1 && kind != 2 && kind != 4)
		return intern_str(strings, PY_STR_UNKNOWN, id);

	struct cursor c = cursor_init(data, bytes);
	while (cursor_left(&c) >= kind) {
		int err = append_code_point(&b, next_code_point(&c, kind));

		if (err)
			return err;
	}
	return intern_add(strings, b.data ? b.data : "", b.len, id);
}
