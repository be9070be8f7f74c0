/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live malloc blocks: address -> size and stack. Levels of cache-line buckets in mmap-able arrays, two
 * choices each; user space reads them without a system call per entry. Entries are taken and given back
 * by compare-and-swap on the address word; meta is written before the address becomes visible to a
 * remover only in the sense that nobody frees a block before its allocation has returned.
 */
#ifndef TM_LIVE_TABLE_BPF_H
#define TM_LIVE_TABLE_BPF_H

#include "stats.bpf.h"

static __always_inline struct tm_live_bucket *live_bucket(__u32 level, __u32 h)
{
	void *inner = bpf_map_lookup_elem(&live_levels, &level);
	__u32 idx;

	if (!inner || level >= TM_LIVE_LEVELS)
		return NULL;
	idx = h & run_live_mask[level & (TM_LIVE_LEVELS - 1)];
	return bpf_map_lookup_elem(inner, &idx);
}

/* Take addr out of one bucket; its meta, or 0 when it is not there. */
static __always_inline __u64 bucket_remove(struct tm_live_bucket *b, __u64 addr)
{
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++) {
		__u64 meta = b->way[way].meta;

		if (b->way[way].addr == addr &&
		    __sync_val_compare_and_swap(&b->way[way].addr, addr, 0) == addr)
			return meta;
	}
	return 0;
}

/* Remove a block; returns its meta, 0 when it was not recorded. */
__noinline __u64 live_remove(__u64 addr)
{
	__u64 h = TM_HASH(addr >> 4), meta = 0, *spilled;
	__u32 level;

	for (level = 0; level < TM_LIVE_LEVELS && level < run_live_levels; level++) {
		struct tm_live_bucket *b = live_bucket(level, TM_HASH_FIRST(h));

		meta = b ? bucket_remove(b, addr) : 0;
		if (!meta) {
			b = live_bucket(level, TM_HASH_SECOND(h));
			meta = b ? bucket_remove(b, addr) : 0;
		}
		if (meta) {
			__sync_fetch_and_add(&live_used[level & (TM_LIVE_LEVELS - 1)], -1);
			return meta;
		}
	}
	spilled = bpf_map_lookup_elem(&live_spill, &addr);
	if (!spilled)
		return 0;
	meta = *spilled;
	bpf_map_delete_elem(&live_spill, &addr);
	return meta;
}

static __always_inline struct tm_live_entry *bucket_find_block(struct tm_live_bucket *b, __u64 addr)
{
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++)
		if (b->way[way].addr == addr)
			return &b->way[way];
	return NULL;
}

/* Book a recorded block to another stack. False: there is no record of it. */
__noinline int live_rebook(__u64 addr, __u32 stack)
{
	__u64 h = TM_HASH(addr >> 4), *spilled;
	__u32 level;

	for (level = 0; level < TM_LIVE_LEVELS && level < run_live_levels; level++) {
		struct tm_live_bucket *b = live_bucket(level, TM_HASH_FIRST(h));
		struct tm_live_entry *e = b ? bucket_find_block(b, addr) : NULL;

		if (!e) {
			b = live_bucket(level, TM_HASH_SECOND(h));
			e = b ? bucket_find_block(b, addr) : NULL;
		}
		if (e) {
			e->meta = TM_LIVE_META(stack, TM_LIVE_BYTES(e->meta));
			return 1;
		}
	}
	spilled = bpf_map_lookup_elem(&live_spill, &addr);
	if (!spilled)
		return 0;
	*spilled = TM_LIVE_META(stack, TM_LIVE_BYTES(*spilled));
	return 1;
}

static __always_inline bool bucket_add(struct tm_live_bucket *b, __u64 addr, __u64 meta)
{
	int way;

	for (way = 0; way < TM_LIVE_WAYS; way++) {
		/* Address 1 reserves the way while meta is written: a reader never pairs old and new. */
		if (b->way[way].addr || __sync_val_compare_and_swap(&b->way[way].addr, 0, 1))
			continue;
		b->way[way].meta = meta;
		__sync_lock_test_and_set(&b->way[way].addr, addr);
		return true;
	}
	return false;
}

__noinline int live_add(__u64 addr, __u64 meta)
{
	__u32 level = run_live_levels - 1;
	__u64 h = TM_HASH(addr >> 4);
	struct tm_live_bucket *b;

	/* An old record of this address belongs to a block whose end we did not see. */
	live_remove(addr);
	b = live_bucket(level, TM_HASH_FIRST(h));
	if (!b || !bucket_add(b, addr, meta)) {
		b = live_bucket(level, TM_HASH_SECOND(h));
		if (!b || !bucket_add(b, addr, meta)) {
			if (!bpf_map_update_elem(&live_spill, &addr, &meta, BPF_ANY))
				return 0;
			tm_drop(TM_DROP_LIVE_TABLE);
			return -1;
		}
	}
	__sync_fetch_and_add(&live_used[level & (TM_LIVE_LEVELS - 1)], 1);
	return 0;
}

#endif
