/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow pools: a slot of 4 bytes for every block of a pymalloc pool, which says the stack that the
 * block was handed out to. Nothing is deleted: the next owner of the address overwrites the slot, and
 * whether a block is alive is read from the heap itself at drain time.
 *
 * One pool is only ever changed under its interpreter's GIL, which the trapped thread holds; different
 * pools meet in a bucket of the directory, so entries are taken by compare-and-swap.
 */
#ifndef TM_POOLS_BPF_H
#define TM_POOLS_BPF_H

#include "stats.bpf.h"

static __always_inline __u32 class_bytes(__u32 szidx)
{
	return (szidx + 1) << cfg_pool_align_shift;
}

static __always_inline struct tm_dir_entry *bucket_find(struct tm_dir_bucket *b, __u64 pool)
{
	int way;

	for (way = 0; way < TM_DIR_WAYS; way++)
		if (TM_DIR_POOL(b->way[way].key) == pool)
			return &b->way[way];
	return NULL;
}

static __always_inline struct tm_dir_entry *pool_find(__u64 pool)
{
	__u64 h = TM_POOL_HASH(pool);
	__u32 idx = TM_HASH_FIRST(h) & cfg_dir_mask;
	struct tm_dir_bucket *b = bpf_map_lookup_elem(&pool_dir, &idx);
	struct tm_dir_entry *e;

	if (!b)
		return NULL;
	e = bucket_find(b, pool);
	if (e)
		return e;
	idx = TM_HASH_SECOND(h) & cfg_dir_mask;
	b = bpf_map_lookup_elem(&pool_dir, &idx);
	return b ? bucket_find(b, pool) : NULL;
}

static __always_inline struct tm_dir_entry *bucket_take(struct tm_dir_bucket *b, __u64 key)
{
	int way;

	for (way = 0; way < TM_DIR_WAYS; way++)
		if (!b->way[way].key && !__sync_val_compare_and_swap(&b->way[way].key, 0, key))
			return &b->way[way];
	return NULL;
}

static __always_inline struct tm_dir_entry *pool_insert(__u64 pool, __u32 szidx)
{
	__u64 h = TM_POOL_HASH(pool), key = pool | (szidx + 1);
	__u32 idx = TM_HASH_FIRST(h) & cfg_dir_mask;
	struct tm_dir_bucket *b = bpf_map_lookup_elem(&pool_dir, &idx);
	struct tm_dir_entry *e = b ? bucket_take(b, key) : NULL;

	if (!e) {
		idx = TM_HASH_SECOND(h) & cfg_dir_mask;
		b = bpf_map_lookup_elem(&pool_dir, &idx);
		e = b ? bucket_take(b, key) : NULL;
	}
	return e;
}

static __always_inline struct tm_chunk *chunk_get(__u32 chunk)
{
	__u32 seg = chunk >> TM_SEG_SHIFT, idx = chunk & (TM_SEG_CHUNKS - 1);
	void *inner = bpf_map_lookup_elem(&slot_segs, &seg);

	return inner ? bpf_map_lookup_elem(inner, &idx) : NULL;
}

static __always_inline __u32 class_chunks(__u32 szidx)
{
	__u32 blocks = ((__u32)cfg_pool_bytes - TM_POOL_HEADER) / class_bytes(szidx);

	return (blocks + TM_CHUNK_SLOTS - 1) / TM_CHUNK_SLOTS;
}

/* A run of n chunks; returns its place in ref form, 0 when the segments are used up. */
static __always_inline __u64 chunks_take(__u32 n)
{
	int attempt;

	for (attempt = 0; attempt < 8; attempt++) {
		__u32 at = chunks_used;

		if (at + n > run_chunks_avail)
			return 0;
		if (__sync_val_compare_and_swap(&chunks_used, at, at + n) == at)
			return (__u64)at << 16 | n;
	}
	return 0;
}

/*
 * A pool that is new to us or has changed its size class: give it slots for that class, all empty.
 * A run that is too short is replaced by one of twice the length, so that what is left behind stays
 * below what is used.
 */
__noinline int pool_setup(__u64 pool, __u32 szidx)
{
	struct tm_dir_entry *e = pool_find(pool);
	__u32 need = run_pools_mode ? 1 : class_chunks(szidx), have, i;
	__u64 ref;

	if (!e)
		e = pool_insert(pool, szidx);
	if (!e) {
		tm_drop(TM_DROP_POOL_DIR);
		return -1;
	}
	ref = e->ref;
	have = TM_DIR_CHUNKS(ref);
	if (have < need) {
		__u32 take = need;

		if (have && take < 2 * have)
			take = 2 * have;
		if (take > TM_POOL_CHUNKS_MAX)
			take = TM_POOL_CHUNKS_MAX;
		ref = chunks_take(take);
		if (!ref) {
			tm_drop(TM_DROP_SLOTS);
			return -1;
		}
	}
	for (i = 0; i < TM_POOL_CHUNKS_MAX && i < need; i++) {
		struct tm_chunk *c = chunk_get(TM_DIR_CHUNK(ref) + i);

		if (c)
			__builtin_memset(c, 0, sizeof(*c));
	}
	e->ref = ref;
	e->key = pool | (szidx + 1);
	return 0;
}

/* The slot of the block that holds addr, NULL when there is none. */
static __always_inline __u32 *slot_get(const struct tm_dir_entry *e, __u64 addr)
{
	__u64 pool = TM_DIR_POOL(e->key), ref = e->ref;
	__u32 off = (__u32)(addr - pool), block;
	struct tm_chunk *c;

	if (off < TM_POOL_HEADER || !ref)
		return NULL;
	block = (off - TM_POOL_HEADER) / class_bytes(TM_DIR_SZIDX(e->key));
	if (block / TM_CHUNK_SLOTS >= TM_DIR_CHUNKS(ref))
		return NULL;
	c = chunk_get(TM_DIR_CHUNK(ref) + block / TM_CHUNK_SLOTS);
	return c ? &c->slot[block % TM_CHUNK_SLOTS] : NULL;
}

/*
 * The slot of a block that was just handed out, with the pool known and of this class; NULL and
 * counted otherwise.
 */
static __always_inline __u32 *slot_claim(__u64 pool, __u64 block, __u32 szidx)
{
	struct tm_dir_entry *e;
	__u32 *slot;

	if (szidx >= TM_SIZE_CLASSES || block - pool < TM_POOL_HEADER ||
	    block - pool >= cfg_pool_bytes) {
		tm_drop(TM_DROP_POOL_BAD);
		return NULL;
	}
	e = pool_find(pool);
	if (!e || TM_DIR_SZIDX(e->key) != szidx || !e->ref) {
		if (pool_setup(pool, szidx))
			return NULL;
		e = pool_find(pool);
		if (!e)
			return NULL;
	}
	slot = slot_get(e, block);
	if (!slot)
		tm_drop(TM_DROP_SLOTS);
	return slot;
}

#endif
