/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hash without predictable collisions, since untrusted files choose the keys: a polynomial modulo
 * 2^61 - 1 whose coefficients are the words, at a point drawn at random in every process. Two different
 * inputs of n words collide with a probability of n / 2^61 (Carter and Wegman 1979, polynomial form).
 */
#ifndef TM_BASE_KEYED_HASH_H
#define TM_BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

#define KEYED_HASH_START 1 /* the leading coefficient: inputs of different lengths differ */
#define KEYED_HASH_PRIME ((1ull << 61) - 1)

/** The secret point of this process. */
uint64_t keyed_hash_point(void);

/** One more word, below 2^61. */
static inline uint64_t keyed_hash_step(uint64_t h, uint64_t word, uint64_t point)
{
	__uint128_t product = (__uint128_t)h * point + word;
	uint64_t sum = (uint64_t)(product & KEYED_HASH_PRIME) + (uint64_t)(product >> 61);

	return sum >= KEYED_HASH_PRIME ? sum - KEYED_HASH_PRIME : sum;
}

/* Mix the sum so that its low bits alone can be used. */
static inline uint64_t keyed_hash_end(uint64_t h)
{
	return hash_finish(h);
}

/* Hash of len bytes. */
uint64_t keyed_hash_bytes(const char *s, size_t len);

#endif
