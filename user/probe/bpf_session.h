/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The BPF object: open -> configure -> load; owns every map, mapping and program. Nothing is pinned,
 * so that the kernel takes everything down when the process ends, however it ends.
 */
#ifndef TM_PROBE_BPF_SESSION_H
#define TM_PROBE_BPF_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "alloc/alloc.h"
#include "bpf/tmbpf.h"
#include "target/target.h"

struct session_opts {
	unsigned frames;	       /* 1..TM_FRAMES_MAX */
	uint64_t blocks;	       /* expected live blocks (--blocks); 0 = from RSS */
	uint64_t rss_bytes;	       /* of the target now */
	const struct alloc_set *alloc; /* what was found in it; borrowed during the call */
	bool threads;		       /* tell the stacks of threads apart */
	bool perf_links;	       /* perf events even where uprobe_multi exists */
	uint64_t stacks; /* distinct stacks to keep at most; 0 = TM_STACK_LEVELS levels */
};

/* A table that grows, as user space sees it: a view of each level (struct tm_levels). */
struct session_table {
	void *view[TM_LEVELS_MAX];
	uint32_t buckets[TM_LEVELS_MAX];
	uint32_t count;
};

struct tmbpf_bpf; /* the skeleton */
struct ring_buffer;

struct bpf_session {
	struct tmbpf_bpf *skel;
	struct ring_buffer *ring; /* NULL until bpf_session_ring_open() */
	bool multi;		  /* programs are loaded for uprobe_multi */

	/* Views of the maps, read-only in spirit; valid until bpf_session_close(). */
	struct tm_chunk *segments[TM_SEGS_MAX];
	uint32_t segment_count;
	struct session_table dir;    /* struct tm_dir_bucket */
	struct session_table live;   /* struct tm_live_bucket */
	struct session_table stacks; /* struct tm_stack_bucket */
	struct session_table allocs; /* struct tm_stack_allocs; its levels are those of stacks */
	uint32_t stack_mask;	     /* buckets of the first level of stacks, less one */
	uint32_t stack_ids_max;	     /* above every id that there will ever be */
	uint64_t stacks_max;	     /* no level is added that would hold more */
	struct tm_site_count *site_counts;
	int cpus;
	bool sees_end; /* the kernel reports exit and exec (bpf_session_process) */
};

/** Too few descriptors are allowed (E602); logged. Returns: -EMFILE. */
int bpf_session_few_files(void);

/**
 * Open, configure and load. Errors are logged and coded (E401 E404 E501 E601). Returns: 0, -errno.
 */
int bpf_session_open(const struct target *t, const struct session_opts *opts,
		     struct bpf_session **out);
void bpf_session_close(struct bpf_session *s);
DEFINE_CLEANUP(struct bpf_session *, bpf_session_close);

/**
 * Keep storage ahead of use: slot segments, levels of the tables. Call at least every 100 ms while
 * probes are live; costs a few loads when there is nothing to do. Returns: 0, -errno (the losses that follow
 * are counted by BPF).
 */
int bpf_session_maintain(struct bpf_session *s);

/** Where the pool's slots are; NULL: no block of it was seen. Borrowed from the view. */
const struct tm_dir_entry *bpf_session_pool(const struct bpf_session *s, uint64_t pool);

/** Above every id that BPF can have given out so far. */
uint32_t bpf_session_stack_ids(const struct bpf_session *s);

/** Stacks that have an id now. */
uint64_t bpf_session_stacks_used(const struct bpf_session *s);
/** Give the place of a hash in a level (an entry of its view) back to BPF. */
void bpf_session_stack_release(const struct bpf_session *s, uint32_t level, uint64_t *hash);

/** Allocations of a stack since attach; NULL: no such id. Borrowed from the view. */
struct tm_stack_allocs *bpf_session_allocs(const struct bpf_session *s, uint32_t stack_id);

/** Processes that were started in the target's memory without being its threads, vfork left out. */
uint32_t bpf_session_memory_shared(const struct bpf_session *s);

/** End of the target as reported by the kernel; all zero while it runs. Cheap: a mapped page. */
struct tm_proc_state bpf_session_process(const struct bpf_session *s);

/** Sum of the per-CPU counters. Returns: 0, -errno. */
int bpf_session_stats(const struct bpf_session *s, struct tm_cpu_stats *sum);

/** How far a hit goes; programs are loaded with TM_STOP_HIT. */
void bpf_session_set_stop(struct bpf_session *s, enum tm_stop stop);
/** Pools mode: attribute whole pools; malloc blocks below min_bytes are not recorded. */
void bpf_session_set_pools_mode(struct bpf_session *s, bool pools, uint64_t min_bytes);
/** Learning epoch, 1..15. */
void bpf_session_set_epoch(struct bpf_session *s, uint32_t epoch);

/** Ring buffer: each record to fn, in order. Returns: records read, -errno. */
typedef int (*ring_record_fn)(void *ctx, void *data, size_t len);
int bpf_session_ring_open(struct bpf_session *s, ring_record_fn fn, void *ctx);
int bpf_session_ring_consume(struct bpf_session *s);
/** An epoll descriptor that becomes readable when BPF asks for a drain. */
int bpf_session_ring_fd(const struct bpf_session *s);

/** Meta of the blocks in the overflow map: calls fn(ctx, addr, meta) for each. Returns: 0, -errno. */
int bpf_session_each_spilled(const struct bpf_session *s,
			     void (*fn)(void *ctx, uint64_t addr, uint64_t meta), void *ctx);

#endif
