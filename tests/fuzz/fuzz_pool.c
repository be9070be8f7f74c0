/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: any memory as pymalloc pool. Input: one byte (layout, address), the image; the rest is 0.
 * Links are offsets into the pool in most inputs, or hardly one would stay inside it.
 * Holds: no crash; no block lives beyond those that fit or at or beyond nextoffset; unless the pool
 * is moving, the count and the free list agree with the bitmap.
 */
#include <stdlib.h>
#include <string.h>

#include "alloc/heap_reader.h"
#include "base/cleanup.h"

#define HEADER 48

enum { AT_FREE = 8, AT_SZIDX = 36, AT_NEXT = 40, AT_MAX = 44 }; /* struct pool_header */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct py_offsets layouts[] = {
	{.pool_bytes = 16384, .pool_align_shift = 4},
	{.pool_bytes = 4096, .pool_align_shift = 4},
	{.pool_bytes = 4096, .pool_align_shift = 3},
	{.pool_bytes = 16384, .pool_align_shift = 3},
};

static uint32_t get32(const uint8_t *p, size_t off)
{
	uint32_t v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p, size_t off)
{
	uint64_t v;

	memcpy(&v, p + off, sizeof(v));
	return v;
}

/* freeblock, and every word that could be a link: small numbers become addresses in the pool. */
static void links_to_addresses(uint8_t *image, const struct py_offsets *o, uint64_t addr)
{
	for (size_t off = AT_FREE; off < o->pool_bytes; off += 8) {
		uint64_t v = get64(image, off);

		if (off > AT_FREE && off < HEADER)
			continue;
		if (v && v < 2 * o->pool_bytes) {
			v += addr;
			memcpy(image + off, &v, sizeof(v));
		}
	}
}

static bool alive(const struct pool_state *p, uint64_t block)
{
	return p->live[block / 64] >> (block % 64) & 1;
}

static void check_list(const uint8_t *image, const struct pool_state *p, uint32_t used)
{
	uint32_t count = 0;

	for (uint64_t at = get64(image, AT_FREE); at; count++) {
		uint64_t off = at - p->addr;

		if (count > used || off < HEADER || (off - HEADER) % p->class_bytes ||
		    (off - HEADER) / p->class_bytes >= used ||
		    alive(p, (off - HEADER) / p->class_bytes))
			abort();
		at = get64(image, off);
	}
	if (count + p->ref_count != used)
		abort();
}

static void check(const uint8_t *image, const struct py_offsets *o, const struct pool_state *p)
{
	uint32_t used = (get32(image, AT_NEXT) - HEADER) / p->class_bytes, live = 0;

	if (p->szidx != get32(image, AT_SZIDX) || p->ref_count != get32(image, 0) ||
	    p->class_bytes != (p->szidx + 1) << o->pool_align_shift ||
	    p->blocks != (o->pool_bytes - HEADER) / p->class_bytes || used > p->blocks)
		abort();
	for (uint32_t i = 0; i < TM_POOL_SLOTS_MAX; i++) {
		if (alive(p, i) && i >= used)
			abort();
		live += alive(p, i);
	}
	if (p->ref_count ? !p->moving && live != p->ref_count : live || p->moving)
		abort();
	if (p->ref_count && !p->moving)
		check_list(image, p, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint64_t addrs[] = {0x7f12345f4000, 0, 0ull - 16384, 1ull << 63};
	const struct py_offsets *o;
	struct pool_state p;
	uint8_t *image;
	uint64_t addr;

	if (!len)
		return 0;
	o = &layouts[data[0] & 3];
	addr = addrs[data[0] >> 2 & 3];
	image = calloc(1, o->pool_bytes); /* its very length: ASan sees a read behind it */
	if (!image)
		abort();
	memcpy(image, data + 1, len - 1 < o->pool_bytes ? len - 1 : o->pool_bytes);
	if (!(data[0] & 0x10))
		links_to_addresses(image, o, addr);
	if (!(data[0] & 0x20)) { /* the one field that random bytes never hit */
		uint32_t max =
			o->pool_bytes - ((get32(image, AT_SZIDX) + 1) << o->pool_align_shift);

		memcpy(image + AT_MAX, &max, sizeof(max));
	}
	memset(&p, 0xaa, sizeof(p));
	if (pool_decode(o, addr, image, &p))
		check(image, o, &p);
	free(image);
	return 0;
}
