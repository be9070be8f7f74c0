/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every map: what a key and a value are, who sizes it, who writes and reads, what happens when full. */
#ifndef TM_MAPS_BPF_H
#define TM_MAPS_BPF_H

#include "tmbpf.h"

/*
 * pool address -> where its slots are: first level of dir_tab, a map of its own because a lookup in it is three
 * instructions, in an inner map of any size a call. Sized from RSS or --blocks; BPF inserts, user space reads
 * through mmap. Full: POOL_DIR.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tm_dir_bucket);
} pool_dir SEC(".maps");

struct dir_level {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP); /* INNER_MAP: levels differ in size */
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct tm_dir_bucket));
};

/* level, from 1 on -> as pool_dir, twice the size of the level before. User space adds them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TM_DIR_LEVELS);
	__type(key, __u32);
	__array(values, struct dir_level);
} dir_levels SEC(".maps");

struct slot_segment {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TM_SEG_CHUNKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct tm_chunk));
};

/*
 * segment number -> 1 MiB of slots. User space adds segments ahead of use; BPF takes chunks with
 * chunks_used. Full: SLOTS.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TM_SEGS_MAX);
	__type(key, __u32);
	__array(values, struct slot_segment);
} slot_segs SEC(".maps");

struct live_level {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct tm_live_bucket));
};

/* level -> table of malloc blocks (live_tab). User space adds levels. Full: live_spill, then LIVE_TABLE. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TM_LIVE_LEVELS);
	__type(key, __u32);
	__array(values, struct live_level);
} live_levels SEC(".maps");

/* address -> meta, for blocks whose two buckets of the last level are full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} live_spill SEC(".maps");

/*
 * Hashes of known stacks, first level of stack_tab; the position is the id. User space adds levels, and takes
 * ids back from stacks that hold nothing when the table gets short. Full: STACK_TABLE.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tm_stack_bucket);
} stack_table SEC(".maps");

/*
 * Allocated so far by stack id of the first level. BPF adds, user space reads through mmap.
 * Never full.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tm_stack_allocs);
} stack_allocs SEC(".maps");

struct stack_level {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct tm_stack_bucket));
};

/* level, from 1 on -> as stack_table. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TM_STACK_LEVELS);
	__type(key, __u32);
	__array(values, struct stack_level);
} stack_levels SEC(".maps");

struct alloc_level {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct tm_stack_allocs));
};

/* level, from 1 on -> as stack_allocs, by tm_stack_index(). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, TM_STACK_LEVELS);
	__type(key, __u32);
	__array(values, struct alloc_level);
} alloc_levels SEC(".maps");

/* Code objects that stand in a known stack, since only their deaths matter. Full: CODE_TABLE. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, __u32); /* 1 */
} codes SEC(".maps");

/* New stacks and dying code objects, in the order they happened. Full: RING_FULL, CODE_DEATH. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

#define TM_WINDOW_BYTES 1024 /* of frames read at once; see stack_python.bpf.h */
#define TM_WINDOW_ROOM \
	2048 /* TM_WINDOW_BYTES + a frame, rounded so that a mask bounds the offset */

/*
 * Working area of one hit. Two per CPU: an area is claimed, because a handler may be preempted by
 * another thread of the target that then runs a handler on the same CPU. None free: SCRATCH_BUSY.
 */
struct tm_scratch {
	__u32 busy;
	__u32 frame_count;
	__u64 hash;
	__u64 win_lo, win_hi;
	struct tm_stack_rec rec;
	__u8 window[TM_WINDOW_ROOM + 256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct tm_scratch);
} scratch SEC(".maps");

struct tm_death_scratch {
	__u64 busy;
	struct tm_code_death rec;
};

/* As scratch, for the big records of dying code objects; all busy: CODE_DEATH. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct tm_death_scratch);
} death_scratch SEC(".maps");

/* Counters; user space sums the CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tm_cpu_stats);
} cpu_stats SEC(".maps");

/* Fresh and re-used objects by new-reference site. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, TM_SITES_MAX);
	__type(key, __u32);
	__type(value, struct tm_site_count);
} site_counts SEC(".maps");

/*
 * The outermost allocator call of a thread. In task storage because a call may never return (longjmp,
 * pthread_exit): a table by tid would leak.
 */
struct tm_call {
	__u64 sp; /* address of the return address; 0 = no call under way */
	__u64 bytes;
	__u64 old_addr, old_meta; /* realloc: the record taken out at entry */
	__u64 out;		  /* posix_memalign: where the result goes */
	__u64 caller;		  /* return address */
	__u64 forwarded_sp;	  /* sp of the last call that went on in another function */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tm_call);
} calls SEC(".maps");

#endif
