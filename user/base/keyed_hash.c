/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/keyed_hash.h"

#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"

#define WORD_BYTES 7 /* 56 bits: below the prime */

uint64_t keyed_hash_point(void)
{
	static uint64_t point;

	if (point)
		return point;
	if (getrandom(&point, sizeof(point), GRND_NONBLOCK) != (ssize_t)sizeof(point))
		/* Early at boot: what a file's author cannot know either. */
		point = keyed_hash_end((uint64_t)monotonic_ns() ^ (uint64_t)getpid() << 40);
	point = (point & (KEYED_HASH_PRIME >> 1)) + (KEYED_HASH_PRIME >> 2); /* not a small one */
	return point;
}

uint64_t keyed_hash_bytes(const char *s, size_t len)
{
	uint64_t h = KEYED_HASH_START, point = keyed_hash_point(), word;

	for (; len >= WORD_BYTES; s += WORD_BYTES, len -= WORD_BYTES) {
		word = 0;
		memcpy(&word, s, WORD_BYTES);
		h = keyed_hash_step(h, word, point);
	}
	word = 0;
	memcpy(&word, s, len);
	h = keyed_hash_step(h, word, point);
	/* "a" and "a\0" have the same last word. */
	return keyed_hash_end(keyed_hash_step(h, len, point));
}
