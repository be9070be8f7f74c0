// SPDX-License-Identifier: GPL-2.0-or-later
#include "drain/late_blocks.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/search.h"

void late_blocks_reset(struct late_blocks *l)
{
	l->count = 0;
}

void late_blocks_release(struct late_blocks *l)
{
	free(l->items);
	*l = (struct late_blocks){0};
}

int late_blocks_note(struct late_blocks *l, const struct pool_state *p)
{
	struct seen_pool *grown = array_grow(l->items, &l->cap, l->count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	l->items = grown;
	l->items[l->count++] = (struct seen_pool){
		.addr = p->addr, .szidx = p->szidx, .used = p->ref_count ? p->used : 0};
	l->class_unit = p->class_bytes / (p->szidx + 1);
	if (p->szidx < TM_SIZE_CLASSES)
		l->blocks[p->szidx] = p->blocks;
	return 0;
}

uint32_t *pool_slot_at(const struct bpf_session *s, uint64_t ref, uint32_t block)
{
	uint32_t chunk = TM_DIR_CHUNK(ref) + block / TM_CHUNK_SLOTS;

	if (block / TM_CHUNK_SLOTS >= TM_DIR_CHUNKS(ref) ||
	    chunk >> TM_SEG_SHIFT >= s->segment_count)
		return NULL;
	return &s->segments[chunk >> TM_SEG_SHIFT][chunk & (TM_SEG_CHUNKS - 1)]
			.slot[block % TM_CHUNK_SLOTS];
}

static const struct seen_pool *find_seen(const struct late_blocks *l, uint64_t addr)
{
	size_t at = first_index(i, l->count, l->items[i].addr >= addr);

	return at < l->count && l->items[at].addr == addr ? &l->items[at] : NULL;
}

/*
 * Assume a full pool, because a class whose first pool is later than the last read has no known number of
 * blocks.
 */
static uint32_t blocks_of(const struct late_blocks *l, uint32_t szidx)
{
	return szidx < TM_SIZE_CLASSES && l->blocks[szidx] ? l->blocks[szidx] : UINT32_MAX;
}

struct late_visit {
	const struct late_blocks *known;
	const struct bpf_session *session;
	void (*fn)(void *ctx, uint32_t stack_id, uint32_t bytes);
	void *ctx;
};

static void visit_pool(const struct late_visit *v, const struct tm_dir_entry *e)
{
	const struct seen_pool *seen = find_seen(v->known, TM_DIR_POOL(e->key));
	uint32_t szidx = TM_DIR_SZIDX(e->key), block = 0, *slot;

	/* A pool that stands in two levels counts once, as the reader of the heap finds it. */
	if (bpf_session_pool(v->session, TM_DIR_POOL(e->key)) != e)
		return;
	if (seen && seen->szidx == szidx)
		block = seen->used;
	for (;
	     block < blocks_of(v->known, szidx) && (slot = pool_slot_at(v->session, e->ref, block));
	     block++) {
		uint32_t id = *slot & TM_STACK_ID_MASK;

		if (id)
			v->fn(v->ctx, id, (szidx + 1) * v->known->class_unit);
	}
}

void late_blocks_each(const struct late_blocks *l, const struct bpf_session *s,
		      void (*fn)(void *ctx, uint32_t stack_id, uint32_t bytes), void *ctx)
{
	const struct late_visit v = {l, s, fn, ctx};

	for (uint32_t level = 0; level < s->dir.count; level++) {
		const struct tm_dir_bucket *buckets = s->dir.view[level];

		for (uint32_t i = 0; i < s->dir.buckets[level] * TM_DIR_WAYS; i++) {
			const struct tm_dir_entry *e =
				&buckets[i / TM_DIR_WAYS].way[i % TM_DIR_WAYS];

			if (e->key)
				visit_pool(&v, e);
		}
	}
}
