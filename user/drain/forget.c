/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "drain/forget.h"

#include "base/search.h"

static void clear_slot(const struct bpf_session *s, uint64_t ref, uint32_t block)
{
	uint32_t *slot = pool_slot_at(s, ref, block);

	if (slot)
		__atomic_store_n(slot, 0, __ATOMIC_RELAXED);
}

void forget_dead_blocks(const struct bpf_session *s, const struct pool_state *p,
			const struct tm_dir_entry *e)
{
	/* In a pool that moves it is not known which blocks are dead. */
	if (!e || p->moving || TM_DIR_SZIDX(e->key) != p->szidx)
		return;
	for (uint32_t i = 0; i < p->blocks; i++)
		if (!(p->live[i / 64] >> (i % 64) & 1))
			clear_slot(s, e->ref, i);
}

static bool was_seen(const struct late_blocks *seen, uint64_t pool)
{
	size_t at = first_index(i, seen->count, seen->items[i].addr >= pool);

	return at < seen->count && seen->items[at].addr == pool;
}

static void forget_entry(const struct bpf_session *s, const struct late_blocks *seen,
			 const struct tm_dir_entry *e)
{
	if (!e->key || was_seen(seen, TM_DIR_POOL(e->key)))
		return;
	for (uint32_t block = 0; block < TM_DIR_CHUNKS(e->ref) * TM_CHUNK_SLOTS; block++)
		clear_slot(s, e->ref, block);
}

void forget_unseen_pools(const struct bpf_session *s, const struct late_blocks *seen)
{
	for (uint32_t level = 0; level < s->dir.count; level++) {
		const struct tm_dir_bucket *buckets = s->dir.view[level];

		for (uint32_t b = 0; b < s->dir.buckets[level]; b++)
			for (int way = 0; way < TM_DIR_WAYS; way++)
				forget_entry(s, seen, &buckets[b].way[way]);
	}
}
