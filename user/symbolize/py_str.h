/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PyUnicodeObject: the fields of its header, and its code points as UTF-8. Private to this room.
 * The bytes come from a process we do not trust; the output is always valid UTF-8 without NUL.
 */
#ifndef TM_SYMBOLIZE_PY_STR_H
#define TM_SYMBOLIZE_PY_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/intern.h"
#include "target/py_offsets.h"

#define PY_STR_UNKNOWN	      "<unknown>" /* as tracemalloc names a file it cannot read */
#define PY_STR_BYTES_MAX      (1u << 20)
#define PY_STR_CODEPOINTS_MAX (PY_STR_BYTES_MAX / 4) /* 4 = the widest kind */
#define PY_STR_HEADER_MAX     128		     /* no build has more before the characters */

struct py_str {			/* one string of the target */
	uint64_t data_addr;	/* of the code points; 0 when data_ptr_addr must be read first */
	uint64_t data_ptr_addr; /* str subclass: where the pointer to the code points is; else 0 */
	size_t bytes;		/* code points * kind */
	uint8_t kind;		/* bytes a code point: 1, 2, 4 */
};

/** Bytes of a str to read for py_str_parse(). At most PY_STR_HEADER_MAX, or 0: offsets are unusable. */
size_t py_str_header_len(const struct py_offsets *off);

/**
 * Parse the first py_str_header_len() bytes of the str at str_addr.
 * Returns: 0, -EBADMSG (no str, or longer than PY_STR_CODEPOINTS_MAX).
 */
int py_str_parse(const struct py_offsets *off, uint64_t str_addr, const void *header, size_t len,
		 struct py_str *out);

/**
 * Add code points to the pool as UTF-8. Lone surrogates become \udcXX and NUL becomes \x00, as
 * Python's own "backslashreplace" writes them; what is no code point becomes U+FFFD. A kind other
 * than 1, 2, 4 gives PY_STR_UNKNOWN; a cut last code point is dropped.
 * Returns: 0, -ENOMEM.
 */
int py_str_intern(struct intern *strings, const void *data, size_t bytes, unsigned kind,
		  str_id_t *id);

#endif
