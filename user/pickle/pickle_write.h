/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Append the opcodes of a pickle of protocol 4 to a buffer. An out of memory shows in the buffer. */
#ifndef TM_PICKLE_PICKLE_WRITE_H
#define TM_PICKLE_PICKLE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Source: Lib/pickletools.py of CPython 3.13; all are in protocol 4. */
enum pickle_op {
	PICKLE_MARK = '(',
	PICKLE_STOP = '.',
	PICKLE_BININT = 'J',
	PICKLE_BININT1 = 'K',
	PICKLE_BININT2 = 'M',
	PICKLE_LONG1 = 0x8a,
	PICKLE_SHORT_BINUNICODE = 0x8c,
	PICKLE_BINUNICODE = 'X',
	PICKLE_EMPTY_TUPLE = ')',
	PICKLE_TUPLE = 't',
	PICKLE_TUPLE1 = 0x85,
	PICKLE_EMPTY_LIST = ']',
	PICKLE_APPENDS = 'e',
	PICKLE_EMPTY_DICT = '}',
	PICKLE_SETITEM = 's',
	PICKLE_SETITEMS = 'u',
	PICKLE_BINGET = 'h',
	PICKLE_LONG_BINGET = 'j',
	PICKLE_MEMOIZE = 0x94,
	PICKLE_STACK_GLOBAL = 0x93,
	PICKLE_NEWOBJ = 0x81,
	PICKLE_BUILD = 'b',
	PICKLE_PROTO = 0x80,
};

struct pickle_writer {
	struct buf out; /* flushed and released by the caller */
	uint32_t memo_count;
};

void pickle_put_op(struct pickle_writer *w, uint8_t op);
void pickle_put_int(struct pickle_writer *w, uint64_t value);
/** s is UTF-8, at most UINT32_MAX bytes. */
void pickle_put_str(struct pickle_writer *w, const char *s, size_t len);
/** A string that ends in NUL, such as the key of an attribute. */
void pickle_put_key(struct pickle_writer *w, const char *key);
/** An instance without its state. */
void pickle_put_object(struct pickle_writer *w, const char *module, const char *class_name);
/** Memoize the value that was written last. Returns: its number, for pickle_put_memo(). */
uint32_t pickle_memoize(struct pickle_writer *w);
void pickle_put_memo(struct pickle_writer *w, uint32_t number);

#endif
