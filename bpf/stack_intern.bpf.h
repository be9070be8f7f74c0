/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stack -> id. The id is the position of the stack's 64-bit hash in levels of cache-line buckets;
 * only a stack seen for the first time goes through the ring buffer.
 *
 * The hash contains how many code objects have died at the addresses of its frames: a new code object at an
 * old address would otherwise hit the id of the dead one.
 */
#ifndef TM_STACK_INTERN_BPF_H
#define TM_STACK_INTERN_BPF_H

#include "stack_python.bpf.h"

#define TM_RING_WAKE_BYTES \
	(1u << 20) /* data waiting in the ring from which a record wakes user space */

static __always_inline __u64 ring_flags(void)
{
	return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > TM_RING_WAKE_BYTES
		       ? BPF_RB_FORCE_WAKEUP
		       : BPF_RB_NO_WAKEUP;
}

/* Remember the code objects of a new stack, so that their deaths are reported. */
static __always_inline void codes_remember(struct tm_scratch *s, __u32 n)
{
	__u32 i, seen = 1;
	__u64 failed = 0;

	for (i = 0; i < cfg_frames + 1 && i < TM_FRAMES_WALK && i < n; i++) {
		__u64 code = s->rec.frames[i].code & TM_FRAME_CODE_MASK;
		long err = bpf_map_update_elem(&codes, &code, &seen, BPF_NOEXIST);

		/* Without a branch: one in a loop of 129 rounds multiplies the verifier's states. */
		failed |= err + 17 /* EEXIST */ && err ? 1 : 0;
	}
	if (failed)
		tm_drop(TM_DROP_CODE_TABLE);
}

/* Global functions are verified once, by themselves, instead of at every call. */
__noinline int stack_publish(struct tm_scratch *s, __u32 id)
{
	__u32 n;

	if (!s)
		return -1;
	n = s->frame_count;
	if (n > TM_FRAMES_WALK)
		n = TM_FRAMES_WALK;
	codes_remember(s, n);
	s->rec.hdr.type = TM_REC_STACK;
	s->rec.hdr.len = sizeof(s->rec) - sizeof(s->rec.frames) + n * sizeof(struct tm_frame);
	s->rec.stack_id = id;
	s->rec.frame_count = n;
	s->rec.tid = (__u32)bpf_get_current_pid_tgid();
	return bpf_ringbuf_output(
		&ring, &s->rec,
		sizeof(s->rec) - sizeof(s->rec.frames) + n * sizeof(struct tm_frame), ring_flags());
}

static __always_inline struct tm_stack_bucket *stack_bucket(__u32 level, __u32 idx)
{
	void *inner;

	if (!level)
		return bpf_map_lookup_elem(&stack_table, &idx);
	inner = bpf_map_lookup_elem(&stack_levels, &level);
	return inner ? bpf_map_lookup_elem(inner, &idx) : NULL;
}

static __always_inline __u32 stack_find(struct tm_stack_bucket *b, __u32 first_id, __u64 hash)
{
	int way;

	for (way = 0; way < TM_STACK_WAYS; way++)
		if (b->hash[way] == hash)
			return first_id + way;
	return TM_STACK_NONE;
}

/* Id of a known stack in one level, or TM_STACK_NONE. */
__noinline __u32 stack_level_find(__u32 level, __u64 hash)
{
	__u32 mask = stack_tab.mask[level & (TM_LEVELS_MAX - 1)];
	__u32 base = TM_STACK_BASE(cfg_stack_mask, level & (TM_LEVELS_MAX - 1));
	__u32 first = TM_HASH_FIRST(hash) & mask, second = TM_HASH_SECOND(hash) & mask, id;
	struct tm_stack_bucket *b = stack_bucket(level, first);

	id = b ? stack_find(b, base + first * TM_STACK_WAYS, hash) : TM_STACK_NONE;
	if (id)
		return id;
	b = stack_bucket(level, second);
	return b ? stack_find(b, base + second * TM_STACK_WAYS, hash) : TM_STACK_NONE;
}

static __always_inline __u32 stack_lookup(__u64 hash)
{
	__u32 first = TM_HASH_FIRST(hash) & cfg_stack_mask, level, id;
	struct tm_stack_bucket *b = bpf_map_lookup_elem(&stack_table, &first);

	id = b ? stack_find(b, TM_STACK_FIRST + first * TM_STACK_WAYS, hash) : TM_STACK_NONE;
	if (id)
		return id;
	for (level = 0; level < TM_STACK_LEVELS && level < stack_tab.count; level++) {
		id = stack_level_find(level, hash);
		if (id)
			return id;
	}
	return TM_STACK_NONE;
}

static __always_inline __u32 stack_insert(struct tm_scratch *s, struct tm_stack_bucket *b,
					  __u32 first_id, __u64 hash)
{
	int way;

	for (way = 0; way < TM_STACK_WAYS; way++) {
		if (b->hash[way] || __sync_val_compare_and_swap(&b->hash[way], 0, hash))
			continue;
		if (stack_publish(s, first_id + way)) {
			/* Free it again, so that the next hit of this stack tries once more. */
			b->hash[way] = 0;
			tm_drop(TM_DROP_RING_FULL);
			return TM_STACK_LOST;
		}
		return first_id + way;
	}
	return TM_STACK_NONE;
}

static __always_inline __u32 stack_taken_ways(const struct tm_stack_bucket *b)
{
	__u32 n = 0;
	int way;

	for (way = 0; way < TM_STACK_WAYS; way++)
		n += tm_is_set(b->hash[way]);
	return n;
}

/* Into the first bucket up to half, since lookups begin there; else into the emptier of the two. */
__noinline __u32 stack_level_add(struct tm_scratch *s, __u32 level, __u64 hash)
{
	__u32 mask = stack_tab.mask[level & (TM_LEVELS_MAX - 1)];
	__u32 base = TM_STACK_BASE(cfg_stack_mask, level & (TM_LEVELS_MAX - 1));
	__u32 idx = TM_HASH_FIRST(hash) & mask, second = TM_HASH_SECOND(hash) & mask, id;
	struct tm_stack_bucket *a = stack_bucket(level, idx), *b = stack_bucket(level, second);

	if (!s || !a || !b)
		return TM_STACK_NONE;
	if (stack_taken_ways(a) > TM_STACK_WAYS / 2 && stack_taken_ways(b) < stack_taken_ways(a)) {
		a = b;
		idx = second;
	}
	id = stack_insert(s, a, base + idx * TM_STACK_WAYS, hash);
	if (id >= TM_STACK_FIRST)
		__sync_fetch_and_add(&stack_tab.used[level & (TM_LEVELS_MAX - 1)], 1);
	return id;
}

__noinline __u32 stack_add(struct tm_scratch *s, __u64 hash)
{
	__u32 level, id;

	if (!s)
		return TM_STACK_LOST;
	for (level = 0; level < TM_STACK_LEVELS && level < stack_tab.count; level++) {
		__u32 i = level & (TM_LEVELS_MAX - 1);

		if (level + 1 < stack_tab.count && stack_tab.used[i] >= stack_tab.limit[i])
			continue;
		id = stack_level_add(s, level, hash);
		if (id)
			return id;
	}
	tm_drop(TM_DROP_STACK_TABLE);
	return TM_STACK_LOST;
}

/*
 * Id of the current stack. native_ip: the allocator's caller where the block belongs to the native
 * domain, else 0.
 */
__noinline __u32 stack_current(__u32 domain, __u64 native_ip)
{
	struct tm_scratch *s = scratch_claim();
	__u64 hash;
	__u32 id;

	if (!s)
		return TM_STACK_NONE;
	s->frame_count = 0;
	s->rec.truncated = 0;
	s->rec.domain = domain;
	s->rec.native_ip = native_ip;
	s->rec.deaths_lost = deaths_lost;
	s->hash = hash_mix(0x243f6a8885a308d3ull + domain, native_ip);
	if (cfg_threads)
		s->hash = hash_mix(s->hash, (__u32)bpf_get_current_pid_tgid());
	if (cfg_python)
		python_walk(s);
	if (run_stop == TM_STOP_WALK) {
		scratch_release(s);
		return TM_STACK_NONE;
	}
	hash = s->hash < TM_STACK_HASH_MIN ? TM_STACK_HASH_MIN : s->hash;
	if (!s->frame_count && !native_ip) {
		scratch_release(s);
		return TM_STACK_UNKNOWN;
	}
	id = stack_lookup(hash);
	if (!id)
		id = stack_add(s, hash);
	scratch_release(s);
	return id;
}

static __always_inline struct tm_stack_allocs *level_allocs(__u32 stack)
{
	__u32 level = tm_stack_level(cfg_stack_mask, stack);
	__u32 idx = tm_stack_index(cfg_stack_mask, level, stack);
	void *inner = bpf_map_lookup_elem(&alloc_levels, &level);

	return inner ? bpf_map_lookup_elem(inner, &idx) : NULL;
}

/* Attribute an allocation to a stack, even if the block is freed later. */
static __always_inline void stack_count(__u32 stack, __u64 bytes)
{
	struct tm_stack_allocs *a = bpf_map_lookup_elem(&stack_allocs, &stack);

	if (!a)
		a = level_allocs(stack);
	if (!a)
		return;
	__sync_fetch_and_add(&a->blocks, 1);
	__sync_fetch_and_add(&a->bytes, bytes);
}

#endif
