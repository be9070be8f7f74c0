/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hashes of numbers and bytes that we choose, not an attacker (for those: base/keyed_hash.h). hash_mix() and
 * hash_bytes() stand in files (checksums of series and caches): what they give never changes.
 */
#ifndef TM_BASE_HASH_H
#define TM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BYTES_START 0xcbf29ce484222325ull

/** One more number. Source: constants of splitmix64 and of murmur3's finalizer. */
static inline uint64_t hash_mix(uint64_t h, uint64_t v)
{
	h = (h ^ (v + 0x9e3779b97f4a7c15ull)) * 0xff51afd7ed558ccdull;
	return h ^ h >> 32;
}

/** A number whose low bits alone are as good as any, one to one. Source: finalizer of splitmix64. */
static inline uint64_t hash_finish(uint64_t h)
{
	h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ull;
	h = (h ^ h >> 27) * 0x94d049bb133111ebull;
	return h ^ h >> 31;
}

/** FNV-1a, 64 bits; h: HASH_BYTES_START, or the hash of what came before. */
static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h;
}

#endif
