/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live malloc blocks: address -> size and stack. Levels of cache-line buckets in mmap-able arrays, two
 * choices each; user space reads them without a system call per entry. Entries are taken and given back
 * by compare-and-swap on the address word; meta is written before the address becomes visible to a
 * remover only in the sense that no code frees a block before its allocation has returned.
 *
 * Lookups go from the newest level down: it is as large as all others together.
 */
#ifndef TM_LIVE_TABLE_BPF_H
#define TM_LIVE_TABLE_BPF_H

#include "stats.bpf.h"

static __always_inline struct tm_live_bucket *live_bucket(__u32 level, __u32 h)
{
	void *inner = bpf_map_lookup_elem(&live_levels, &level);
	__u32 idx = h & live_tab.mask[level & (TM_LEVELS_MAX - 1)];

	return inner ? bpf_map_lookup_elem(inner, &idx) : NULL;
}

static __always_inline struct tm_live_entry *bucket_find_block(struct tm_live_bucket *b, __u64 addr)
{
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++)
		if (b->way[way].addr == addr)
			return &b->way[way];
	return NULL;
}

static __always_inline struct tm_live_entry *level_find(__u32 level, __u64 addr)
{
	__u64 h = TM_LIVE_HASH(addr);
	struct tm_live_bucket *b = live_bucket(level, TM_HASH_FIRST(h));
	struct tm_live_entry *e = b ? bucket_find_block(b, addr) : NULL;

	if (e)
		return e;
	b = live_bucket(level, TM_HASH_SECOND(h));
	return b ? bucket_find_block(b, addr) : NULL;
}

/*
 * One level each: the verifier would follow every way of every level of a loop, and gives up.
 * Returns the block's meta, 0 when it is not in this level.
 */
__noinline __u64 live_level_remove(__u32 level, __u64 addr)
{
	struct tm_live_entry *e = level_find(level, addr);
	__u64 meta;

	if (!e)
		return 0;
	meta = e->meta;
	if (__sync_val_compare_and_swap(&e->addr, addr, 0) != addr)
		return 0;
	__sync_fetch_and_add(&live_tab.used[level & (TM_LEVELS_MAX - 1)], -1);
	return meta;
}

__noinline int live_level_rebook(__u32 level, __u64 addr, __u32 stack)
{
	struct tm_live_entry *e = level_find(level, addr);

	if (!e)
		return 0;
	e->meta = TM_LIVE_META(stack, TM_LIVE_BYTES(e->meta));
	return 1;
}

static __always_inline bool level_is_empty(__u32 level)
{
	return !live_tab.used[level & (TM_LEVELS_MAX - 1)];
}

/* Remove a block; returns its meta, 0 when it was not recorded. */
__noinline __u64 live_remove(__u64 addr)
{
	__u32 level = live_tab.count, n;
	__u64 meta, *spilled;

	for (n = 0; n < TM_LIVE_LEVELS && level--; n++) {
		meta = level_is_empty(level) ? 0 : live_level_remove(level, addr);
		if (meta)
			return meta;
	}
	spilled = live_spilled ? bpf_map_lookup_elem(&live_spill, &addr) : NULL;
	if (!spilled)
		return 0;
	meta = *spilled;
	if (!bpf_map_delete_elem(&live_spill, &addr))
		__sync_fetch_and_add(&live_spilled, -1);
	return meta;
}

/* Attribute a recorded block to another stack. False: there is no record of it. */
__noinline int live_rebook(__u64 addr, __u32 stack)
{
	__u32 level = live_tab.count, n;
	__u64 *spilled;

	for (n = 0; n < TM_LIVE_LEVELS && level--; n++)
		if (!level_is_empty(level) && live_level_rebook(level, addr, stack))
			return 1;
	spilled = live_spilled ? bpf_map_lookup_elem(&live_spill, &addr) : NULL;
	if (!spilled)
		return 0;
	*spilled = TM_LIVE_META(stack, TM_LIVE_BYTES(*spilled));
	return 1;
}

static __always_inline __u32 bucket_taken_ways(const struct tm_live_bucket *b)
{
	__u32 n = 0;
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++)
		n += tm_is_set(b->way[way].addr);
	return n;
}

static __always_inline bool bucket_add(struct tm_live_bucket *b, __u64 addr, __u64 meta)
{
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++) {
		/*
		 * Reserve the way with address 1 while meta is written, so that a reader never pairs old
		 * and new.
		 */
		if (b->way[way].addr || __sync_val_compare_and_swap(&b->way[way].addr, 0, 1))
			continue;
		b->way[way].meta = meta;
		__sync_lock_test_and_set(&b->way[way].addr, addr);
		return true;
	}
	return false;
}

/*
 * Into the first bucket while it is nearly empty, since lookups begin there; else into the emptier of the two:
 * first fit would fill the first ones and leave no choice.
 */
__noinline int live_level_add(__u32 level, __u64 addr, __u64 meta)
{
	__u64 h = TM_LIVE_HASH(addr);
	struct tm_live_bucket *a = live_bucket(level, TM_HASH_FIRST(h));
	struct tm_live_bucket *b = live_bucket(level, TM_HASH_SECOND(h));

	if (!a || !b)
		return 0;
	if (bucket_taken_ways(a) > 1 && bucket_taken_ways(b) < bucket_taken_ways(a)) {
		struct tm_live_bucket *fuller = a;

		a = b;
		b = fuller;
	}
	if (!bucket_add(a, addr, meta) && !bucket_add(b, addr, meta))
		return 0;
	__sync_fetch_and_add(&live_tab.used[level & (TM_LEVELS_MAX - 1)], 1);
	return 1;
}

__noinline int live_add(__u64 addr, __u64 meta)
{
	__u32 level;

	/* An old record of this address belongs to a block whose end we did not see. */
	live_remove(addr);
	for (level = 0; level < TM_LIVE_LEVELS && level < live_tab.count; level++) {
		__u32 i = level & (TM_LEVELS_MAX - 1);

		if (level + 1 < live_tab.count && live_tab.used[i] >= live_tab.limit[i])
			continue;
		if (live_level_add(level, addr, meta))
			return 0;
	}
	if (!bpf_map_update_elem(&live_spill, &addr, &meta, BPF_ANY)) {
		__sync_fetch_and_add(&live_spilled, 1);
		return 0;
	}
	tm_drop(TM_DROP_LIVE_TABLE);
	return -1;
}

#endif
