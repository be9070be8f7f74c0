/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow pools: a slot of 4 bytes for every block of a pymalloc pool, that names the stack which the
 * block was handed out to. Nothing is deleted, because the next owner of the address overwrites the
 * slot, and whether a block is alive is read from the heap itself at drain time.
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

static __always_inline struct tm_dir_bucket *dir_bucket(__u32 level, __u32 h)
{
	__u32 idx = h & dir_tab.mask[level & (TM_LEVELS_MAX - 1)];
	void *inner;

	if (!level)
		return bpf_map_lookup_elem(&pool_dir, &idx);
	inner = bpf_map_lookup_elem(&dir_levels, &level);
	return inner ? bpf_map_lookup_elem(inner, &idx) : NULL;
}

static __always_inline struct tm_dir_entry *bucket_find(struct tm_dir_bucket *b, __u64 pool)
{
	int way;

	for (way = 0; way < TM_DIR_WAYS; way++)
		if (TM_DIR_POOL(b->way[way].key) == pool)
			return &b->way[way];
	return NULL;
}

static __always_inline struct tm_dir_entry *dir_level_find(__u32 level, __u64 pool)
{
	__u64 h = TM_POOL_HASH(pool);
	struct tm_dir_bucket *b = dir_bucket(level, TM_HASH_FIRST(h));
	struct tm_dir_entry *e = b ? bucket_find(b, pool) : NULL;

	if (e)
		return e;
	b = dir_bucket(level, TM_HASH_SECOND(h));
	return b ? bucket_find(b, pool) : NULL;
}

/*
 * An entry in one word, which a function that the verifier checks once can return:
 * first chunk << 16 | chunks << 8 | szidx + 1. 0: the pool is not known.
 */
#define TM_PLACE_SZIDX(p)  ((__u32)((p)&0xff) - 1)
#define TM_PLACE_CHUNKS(p) ((__u32)((p) >> 8) & 0xff)
#define TM_PLACE_CHUNK(p)  ((__u32)((p) >> 16))

static __always_inline __u64 entry_place(const struct tm_dir_entry *e)
{
	__u64 ref = e->ref;

	return (ref & ~0xffffull) | (ref & 0xff) << 8 | (e->key & 0xff);
}

__noinline __u64 dir_level_place(__u32 level, __u64 pool)
{
	struct tm_dir_entry *e = dir_level_find(level, pool);

	return e ? entry_place(e) : 0;
}

/* Search from the newest level down, because it is as large as all others together. */
__noinline __u64 levels_place(__u64 pool)
{
	__u32 level = dir_tab.count, n;

	for (n = 0; n < TM_DIR_LEVELS && level--; n++) {
		__u64 place = 0;

		if (dir_tab.used[level & (TM_LEVELS_MAX - 1)])
			place = dir_level_place(level, pool);
		if (place)
			return place;
	}
	return 0;
}

/* Most pools are in their first bucket of the first level: found without a call. */
static __always_inline __u64 pool_place(__u64 pool)
{
	__u64 h = TM_POOL_HASH(pool);
	struct tm_dir_bucket *b = dir_bucket(0, TM_HASH_FIRST(h));
	struct tm_dir_entry *e = b ? bucket_find(b, pool) : NULL;

	return e ? entry_place(e) : levels_place(pool);
}

/* Give a known pool its slots and class. False: it is not in this level. */
__noinline int dir_level_set(__u32 level, __u64 pool, __u64 ref, __u32 szidx)
{
	struct tm_dir_entry *e = dir_level_find(level, pool);

	if (!e)
		return 0;
	e->ref = ref;
	e->key = pool | (szidx + 1);
	return 1;
}

static __always_inline __u32 dir_taken_ways(const struct tm_dir_bucket *b)
{
	__u32 n = 0;
	int way;

	for (way = 0; way < TM_DIR_WAYS; way++)
		n += tm_is_set(b->way[way].key);
	return n;
}

static __always_inline bool bucket_take(struct tm_dir_bucket *b, __u64 key)
{
	int way;

	for (way = 0; way < TM_DIR_WAYS; way++)
		if (!b->way[way].key && !__sync_val_compare_and_swap(&b->way[way].key, 0, key))
			return true;
	return false;
}

/* The first bucket while it is nearly empty, since lookups begin there; else the emptier of the two. */
__noinline int dir_level_take(__u32 level, __u64 pool, __u32 szidx)
{
	__u64 h = TM_POOL_HASH(pool), key = pool | (szidx + 1);
	struct tm_dir_bucket *a = dir_bucket(level, TM_HASH_FIRST(h));
	struct tm_dir_bucket *b = dir_bucket(level, TM_HASH_SECOND(h));

	if (!a || !b)
		return 0;
	if (dir_taken_ways(a) > 1 && dir_taken_ways(b) < dir_taken_ways(a)) {
		struct tm_dir_bucket *fuller = a;

		a = b;
		b = fuller;
	}
	if (!bucket_take(a, key) && !bucket_take(b, key))
		return 0;
	__sync_fetch_and_add(&dir_tab.used[level & (TM_LEVELS_MAX - 1)], 1);
	return 1;
}

/* False: no level takes it. */
__noinline int pool_insert(__u64 pool, __u32 szidx)
{
	__u32 level;

	for (level = 0; level < TM_DIR_LEVELS && level < dir_tab.count; level++) {
		__u32 i = level & (TM_LEVELS_MAX - 1);

		if (level + 1 < dir_tab.count && dir_tab.used[i] >= dir_tab.limit[i])
			continue;
		if (dir_level_take(level, pool, szidx))
			return 1;
	}
	return 0;
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
 * A run that is too short is replaced by one of twice the length, so that what is left over stays
 * below what is used.
 */
__noinline int pool_setup(__u64 pool, __u32 szidx)
{
	__u32 need = run_pools_mode ? 1 : class_chunks(szidx), have, first, i, level;
	__u64 place = pool_place(pool), ref;

	if (!place && !pool_insert(pool, szidx)) {
		tm_drop(TM_DROP_POOL_DIR);
		return -1;
	}
	have = TM_PLACE_CHUNKS(place);
	first = TM_PLACE_CHUNK(place);
	ref = (__u64)first << 16 | have;
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
		first = TM_DIR_CHUNK(ref);
	}
	for (i = 0; i < TM_POOL_CHUNKS_MAX && i < need; i++) {
		struct tm_chunk *c = chunk_get(first + i);

		if (c)
			__builtin_memset(c, 0, sizeof(*c));
	}
	for (level = 0; level < TM_DIR_LEVELS && level < dir_tab.count; level++)
		if (dir_level_set(level, pool, ref, szidx))
			return 0;
	return -1;
}

/* The slot of the block that holds addr, NULL when there is none. */
static __always_inline __u32 *slot_get(__u64 place, __u64 pool, __u64 addr)
{
	__u32 off = (__u32)(addr - pool), block;
	struct tm_chunk *c;

	if (off < TM_POOL_HEADER)
		return NULL;
	block = (off - TM_POOL_HEADER) / class_bytes(TM_PLACE_SZIDX(place));
	if (block / TM_CHUNK_SLOTS >= TM_PLACE_CHUNKS(place))
		return NULL;
	c = chunk_get(TM_PLACE_CHUNK(place) + block / TM_CHUNK_SLOTS);
	return c ? &c->slot[block % TM_CHUNK_SLOTS] : NULL;
}

/*
 * The slot of a block that was just handed out, with the pool known and of this class; NULL and
 * counted otherwise.
 */
static __always_inline __u32 *slot_claim(__u64 pool, __u64 block, __u32 szidx)
{
	__u64 place;
	__u32 *slot;

	if (szidx >= TM_SIZE_CLASSES || block - pool < TM_POOL_HEADER ||
	    block - pool >= cfg_pool_bytes) {
		tm_drop(TM_DROP_POOL_BAD);
		return NULL;
	}
	place = pool_place(pool);
	if (!place || TM_PLACE_SZIDX(place) != szidx || !TM_PLACE_CHUNKS(place)) {
		if (pool_setup(pool, szidx))
			return NULL;
		place = pool_place(pool);
	}
	slot = slot_get(place, pool, block);
	if (!slot)
		tm_drop(TM_DROP_SLOTS);
	return slot;
}

#endif
