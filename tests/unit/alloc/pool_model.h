/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools made by hand, and what must be read from them. */
#ifndef TM_TESTS_DRAIN_POOL_MODEL_H
#define TM_TESTS_DRAIN_POOL_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "alloc/heap_reader.h"

#define HEADER 48u

enum { AT_REF = 0, AT_FREE = 8, AT_SZIDX = 36, AT_NEXT = 40, AT_MAX = 44 }; /* struct pool_header */

struct pool_model {
	uint32_t szidx, class_bytes, blocks;
	uint32_t used;				      /* blocks below nextoffset */
	uint32_t ref_count;			      /* of them, handed out */
	uint32_t free[TM_POOL_SLOTS_MAX], free_count; /* the free list, in its order */
	uint64_t live[POOL_BITMAP_WORDS];
};

/* The same numbers on every run (xorshift64). */
static inline uint32_t rnd(uint64_t *seed, uint32_t below)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 20) % below;
}

static inline void put32(uint8_t *p, size_t off, uint32_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static inline void put64(uint8_t *p, size_t off, uint64_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static inline uint32_t get32(const uint8_t *p, size_t off)
{
	uint32_t v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

static inline size_t block_off(const struct pool_model *m, uint32_t block)
{
	return HEADER + (size_t)block * m->class_bytes;
}

/* A pool whose first `used` blocks were handed out once; live_pct of 100 of them still are. */
static inline void model_init(struct pool_model *m, const struct py_offsets *o, uint32_t szidx,
			      uint32_t used, uint32_t live_pct, uint64_t *seed)
{
	memset(m, 0, sizeof(*m));
	m->szidx = szidx;
	m->class_bytes = (szidx + 1) << o->pool_align_shift;
	m->blocks = (o->pool_bytes - HEADER) / m->class_bytes;
	m->used = used;
	for (uint32_t i = 0; i < used; i++) {
		if (rnd(seed, 100) < live_pct) {
			m->live[i / 64] |= 1ull << (i % 64);
			m->ref_count++;
		} else {
			m->free[m->free_count++] = i;
		}
	}
	for (uint32_t i = m->free_count; i > 1; i--) { /* freed in no order */
		uint32_t k = rnd(seed, i), t = m->free[k];

		m->free[k] = m->free[i - 1];
		m->free[i - 1] = t;
	}
}

static inline void model_write(const struct pool_model *m, const struct py_offsets *o,
			       uint64_t addr, uint8_t *image)
{
	size_t link = AT_FREE;

	memset(image, 0x5a, o->pool_bytes); /* what live objects hold looks like no link */
	memset(image, 0, HEADER);
	put32(image, AT_REF, m->ref_count);
	put32(image, AT_SZIDX, m->szidx);
	put32(image, AT_NEXT, (uint32_t)block_off(m, m->used));
	put32(image, AT_MAX, o->pool_bytes - m->class_bytes);
	for (uint32_t i = 0; i < m->free_count; i++) {
		put64(image, link, addr + block_off(m, m->free[i]));
		link = block_off(m, m->free[i]);
	}
	put64(image, link, 0);
}

static inline bool model_equals(const struct pool_model *m, uint64_t addr,
				const struct pool_state *p)
{
	return p->addr == addr && p->szidx == m->szidx && p->class_bytes == m->class_bytes &&
	       p->blocks == m->blocks && p->ref_count == m->ref_count && !p->moving &&
	       !memcmp(p->live, m->live, sizeof(m->live));
}

#endif
