// SPDX-License-Identifier: GPL-2.0-or-later
/* Bitmaps by pool, only as long as the pool's class needs. */
#include "drain/census.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/idmap.h"

struct entry {
	uint32_t szidx, words;
	size_t first;	/* into bits */
	uint32_t round; /* of the last census_prune() */
};

struct census {
	struct idmap *by_pool;
	struct entry *entries;
	size_t count, cap;
	uint64_t *bits;
	size_t bit_words, bit_cap;
	uint32_t round; /* reads of the whole heap so far */
};

int census_new(struct census **out)
{
	struct census *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->by_pool = idmap_new();
	if (!c->by_pool) {
		free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}

void census_free(struct census *c)
{
	if (!c)
		return;
	idmap_free(c->by_pool);
	free(c->entries);
	free(c->bits);
	free(c);
}

int census_add(struct census *c, const struct pool_state *pool, const uint64_t *blocks)
{
	uint32_t words = (pool->blocks + 63) / 64;
	struct entry *entries = array_grow(c->entries, &c->cap, c->count + 1, sizeof(*entries));
	uint64_t *bits;

	if (!entries)
		return -ENOMEM;
	c->entries = entries;
	bits = array_grow(c->bits, &c->bit_cap, c->bit_words + words, sizeof(*bits));
	if (!bits)
		return -ENOMEM;
	c->bits = bits;
	memcpy(c->bits + c->bit_words, blocks, words * sizeof(*bits));
	c->entries[c->count] =
		(struct entry){.szidx = pool->szidx, .words = words, .first = c->bit_words};
	c->bit_words += words;
	return idmap_put(c->by_pool, pool->addr, (uint32_t)c->count++);
}

static struct entry *find_pool(const struct census *c, const struct pool_state *pool)
{
	uint32_t i;

	return idmap_get(c->by_pool, pool->addr, &i) ? &c->entries[i] : NULL;
}

void census_get(const struct census *c, const struct pool_state *pool, uint64_t *out)
{
	const struct entry *e = find_pool(c, pool);

	memset(out, 0, POOL_BITMAP_WORDS * sizeof(*out));
	if (e && e->szidx == pool->szidx)
		memcpy(out, c->bits + e->first, e->words * sizeof(*out));
}

void census_prune(struct census *c, const struct pool_state *pool)
{
	struct entry *e = find_pool(c, pool);

	if (!e)
		return;
	e->round = c->round;
	/* A pool changes its class only when all its blocks are dead; it may change back, too. */
	if (e->szidx != pool->szidx) {
		idmap_del(c->by_pool, pool->addr);
		return;
	}
	for (uint32_t i = 0; !pool->moving && i < e->words; i++)
		c->bits[e->first + i] &= pool->live[i];
}

void census_sweep(struct census *c)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->entries[i].round != c->round)
			memset(c->bits + c->entries[i].first, 0,
			       c->entries[i].words * sizeof(*c->bits));
	c->round++;
}
