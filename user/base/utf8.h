/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is this well-formed UTF-8? Asked because names come from untrusted memory and printed text must
 * be valid.
 */
#ifndef TM_BASE_UTF8_H
#define TM_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/**
 * Bytes of the well-formed character at s, 0 when there is none. s is NUL-terminated.
 * Source: Unicode 15, table 3-7 (no overlong forms, no surrogates, nothing past U+10FFFF).
 */
static inline size_t utf8_char_len(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf; /* range of the second byte */
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return len;
}

/** The code point of the well-formed character of len bytes at s; of a byte that is none, the byte. */
static inline uint32_t utf8_code_point(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s;
	uint32_t cp = len == 1 ? p[0] : p[0] & (0x7fu >> len);

	for (size_t i = 1; i < len; i++)
		cp = cp << 6 | (p[i] & 0x3f);
	return cp;
}

#endif
