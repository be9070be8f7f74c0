// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Keeps the tables of BPF ahead of use, because a full table loses blocks, and by the time that user space
 * looks again a fast loop has made 100,000 of them. Every table has a reserve that BPF moves into by
 * itself, so that user space only adds to the reserve.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "alloc/alloc.h"
#include "base/command.h"
#include "base/log.h"
#include "probe/session_priv.h"

#define STACK_BUCKETS \
	(1u << 15) /* of the first level: 262,144 stacks, 2 MiB; three levels hold 1,835,008 */
#define STACK_BUCKETS_MAX (1u << 20)
#define DIR_MIN		  (1u << 15) /* buckets: 131,072 pools, 2 GiB of small objects, 2 MiB */
#define DIR_MAX		  (1u << 20)
#define LIVE_MIN	  (1u << 15) /* buckets of the first level: 131,072 blocks, 2 MiB */
#define LIVE_MAX	  (1u << 24)
#define SEG_HEADROOM	  4 /* segments kept ahead: 4 MiB, over a second of the fastest loop */

/* Free entries to be kept at least: what a fast loop takes in about 100 ms (a trap costs 0.6 us). */
#define RESERVE_LIVE   160000
#define RESERVE_POOLS  32768
#define RESERVE_STACKS 32768

static uint32_t pow2_between(uint64_t want, uint32_t lo, uint32_t hi)
{
	uint32_t n = lo;

	while (n < want && n < hi)
		n <<= 1;
	return n;
}

void *session_map_view(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int add_inner(struct bpf_map *outer, const char *name, uint32_t key, uint32_t value_bytes,
		     uint32_t entries, uint32_t extra_flags, void **view)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | extra_flags);
	_cleanup_close_ int fd = -1;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), value_bytes, entries,
			    &opts);
	if (fd < 0)
		return fd;
	*view = session_map_view(fd, (size_t)entries * value_bytes);
	if (!*view)
		return -errno;
	/* The outer map and the mapping hold it from here on. */
	if (bpf_map_update_elem(bpf_map__fd(outer), &key, &fd, BPF_ANY)) {
		int err = -errno;

		munmap(*view, (size_t)entries * value_bytes);
		*view = NULL;
		return err;
	}
	return 0;
}

static int add_segment(struct bpf_session *s)
{
	void *view;
	int err;

	if (s->segment_count >= TM_SEGS_MAX)
		return -ENOSPC;
	err = add_inner(s->skel->maps.slot_segs, "slot_segment", s->segment_count,
			sizeof(struct tm_chunk), TM_SEG_CHUNKS, 0, &view);
	if (err)
		return err;
	s->segments[s->segment_count++] = view;
	/* Only now may BPF take chunks from it. */
	__atomic_store_n(&s->skel->bss->run_chunks_avail, s->segment_count << TM_SEG_SHIFT,
			 __ATOMIC_RELEASE);
	return 0;
}

/* ---- levels ---- */

/* Let BPF see the level that was just mapped. */
static void publish_level(struct session_table *t, struct tm_levels *shared, uint32_t buckets,
			  uint64_t limit)
{
	uint32_t level = t->count++;

	t->buckets[level] = buckets;
	shared->mask[level] = buckets - 1;
	shared->limit[level] = limit;
	__atomic_store_n(&shared->count, t->count, __ATOMIC_RELEASE);
}

static void publish_dir(struct bpf_session *s, uint32_t buckets)
{
	publish_level(&s->dir, &s->skel->bss->dir_tab, buckets,
		      (uint64_t)buckets * TM_DIR_WAYS * TM_FILL_4_WAYS / 100);
}

static int add_dir_level(struct bpf_session *s, uint32_t buckets)
{
	uint32_t level = s->dir.count;
	int err;

	if (level >= TM_DIR_LEVELS)
		return -ENOSPC;
	buckets = buckets > DIR_MAX ? DIR_MAX : buckets;
	err = add_inner(s->skel->maps.dir_levels, "dir_level", level, sizeof(struct tm_dir_bucket),
			buckets, BPF_F_INNER_MAP, &s->dir.view[level]);
	if (!err)
		publish_dir(s, buckets);
	return err;
}

static int add_live_level(struct bpf_session *s, uint32_t buckets)
{
	uint32_t level = s->live.count;
	int err;

	if (level >= TM_LIVE_LEVELS || buckets > LIVE_MAX)
		return -ENOSPC;
	err = add_inner(s->skel->maps.live_levels, "live_level", level,
			sizeof(struct tm_live_bucket), buckets, BPF_F_INNER_MAP,
			&s->live.view[level]);
	if (!err)
		publish_level(&s->live, &s->skel->bss->live_tab, buckets,
			      (uint64_t)buckets * TM_LIVE_WAYS * TM_FILL_4_WAYS / 100);
	return err;
}

static void publish_stacks(struct bpf_session *s, uint32_t buckets)
{
	publish_level(&s->stacks, &s->skel->bss->stack_tab, buckets,
		      (uint64_t)buckets * TM_STACK_WAYS * TM_FILL_8_WAYS / 100);
}

/* The counters first: BPF looks for them as soon as it has given out an id of the level. */
static int add_stack_level(struct bpf_session *s, uint32_t buckets)
{
	uint32_t level = s->stacks.count, entries = buckets * TM_STACK_WAYS;
	int err;

	if (level >= TM_STACK_LEVELS ||
	    bpf_session_stack_ids(s) - TM_STACK_FIRST + entries > s->stacks_max)
		return -ENOSPC;
	err = add_inner(s->skel->maps.alloc_levels, "alloc_level", level,
			sizeof(struct tm_stack_allocs), entries, BPF_F_INNER_MAP,
			&s->allocs.view[level]);
	if (err)
		return err;
	s->allocs.buckets[level] = entries;
	s->allocs.count = level + 1;
	err = add_inner(s->skel->maps.stack_levels, "stack_level", level,
			sizeof(struct tm_stack_bucket), buckets, BPF_F_INNER_MAP,
			&s->stacks.view[level]);
	if (!err)
		publish_stacks(s, buckets);
	return err;
}

/*
 * Entries that BPF can still take without a bucket being full: at least the reserve, and half of what is used
 * now, so that a table that grows fast grows early.
 */
static bool runs_short(const struct session_table *t, const struct tm_levels *shared,
		       uint64_t reserve)
{
	uint64_t used = 0, room = 0;

	for (uint32_t i = 0; i < t->count; i++) {
		uint64_t taken = __atomic_load_n(&shared->used[i], __ATOMIC_RELAXED);

		used += taken;
		room += taken < shared->limit[i] ? shared->limit[i] - taken : 0;
	}
	return room < (used / 2 > reserve ? used / 2 : reserve);
}

static int keep_ahead(struct bpf_session *s, const struct session_table *t,
		      const struct tm_levels *shared, uint64_t reserve,
		      int (*add)(struct bpf_session *s, uint32_t buckets))
{
	int err = 0;

	while (!err && runs_short(t, shared, reserve))
		err = add(s, t->buckets[t->count - 1] * 2);
	return err;
}

/*
 * Log nothing, since a missing level of the size that is due is no loss yet: BPF counts full
 * tables.
 */
static int grow_tables(struct bpf_session *s)
{
	const struct tmbpf_bpf *skel = s->skel;
	int live, dir, stacks;

	live = keep_ahead(s, &s->live, &skel->bss->live_tab, RESERVE_LIVE, add_live_level);
	dir = keep_ahead(s, &s->dir, &skel->bss->dir_tab, RESERVE_POOLS, add_dir_level);
	stacks = keep_ahead(s, &s->stacks, &skel->bss->stack_tab, RESERVE_STACKS, add_stack_level);
	if (stacks == -ENOSPC) /* ids are taken back instead: drain/stack_ids.h */
		stacks = 0;
	return live ? live : dir ? dir : stacks;
}

int bpf_session_maintain(struct bpf_session *s)
{
	uint32_t used = __atomic_load_n(&s->skel->bss->chunks_used, __ATOMIC_RELAXED);
	int err = 0;

	while (!err && (used >> TM_SEG_SHIFT) + SEG_HEADROOM > s->segment_count)
		err = add_segment(s);
	if (!err)
		err = grow_tables(s);
	if (err && log_ratelimit(1))
		log_coded_warn(
			"W103", command_with("--mode", "pools"),
			"tables cannot grow any more: %s. Blocks that do not fit are counted as lost",
			strerror(-err));
	return err;
}

/* ---- first sizes ---- */

/* Most blocks are small objects, which are elsewhere, unless malloc serves them all. */
static uint32_t live_buckets(const struct session_opts *opts)
{
	if (!alloc_facts(opts->alloc).objects_in_live_table)
		return pow2_between(opts->blocks / 16, LIVE_MIN, LIVE_MAX);
	return pow2_between(opts->blocks / TM_LIVE_WAYS, LIVE_MIN * 8, LIVE_MAX);
}

/*
 * Room for twice today's heap, or for --blocks of 64 bytes, instead of more, because every event looks into
 * every level.
 */
static uint32_t dir_buckets(const struct session_opts *opts, uint64_t pool_bytes)
{
	uint64_t heap = opts->blocks ? opts->blocks * 64 : opts->rss_bytes * 2;
	uint64_t pools = heap / pool_bytes;

	return pow2_between(pools * 100 / TM_FILL_4_WAYS / TM_DIR_WAYS, DIR_MIN, DIR_MAX);
}

static uint32_t stack_mask(const struct session_opts *opts)
{
	const uint64_t levels = (1u << TM_STACK_LEVELS) - 1; /* all, in units of the first */
	uint64_t buckets = opts->stacks / TM_STACK_WAYS;

	if (buckets > STACK_BUCKETS * levels)
		return pow2_between((buckets + levels - 1) / levels, STACK_BUCKETS,
				    STACK_BUCKETS_MAX) -
		       1;
	if (!buckets || buckets >= STACK_BUCKETS)
		return STACK_BUCKETS - 1;
	return pow2_between(buckets / 2 + 1, 1, STACK_BUCKETS) -
	       1; /* rounded down: it is a limit */
}

/* How many fit the levels that may be added: never less than one level. */
static uint64_t stacks_in_levels(uint32_t mask, uint64_t limit)
{
	uint32_t levels = TM_STACK_LEVELS;

	while (limit && levels > 1 && TM_STACK_BASE(mask, levels) - TM_STACK_FIRST > limit)
		levels--;
	return TM_STACK_BASE(mask, levels) - TM_STACK_FIRST;
}

int session_tables_size(struct bpf_session *s, const struct session_opts *opts)
{
	struct tmbpf_bpf *skel = s->skel;
	int err;

	s->stack_mask = stack_mask(opts);
	s->stack_ids_max = TM_STACK_BASE(s->stack_mask, TM_STACK_LEVELS);
	s->stacks_max = stacks_in_levels(s->stack_mask, opts->stacks);
	skel->rodata->cfg_stack_mask = s->stack_mask;
	s->stacks.buckets[0] = s->stack_mask + 1;
	s->allocs.buckets[0] = TM_STACK_BASE(s->stack_mask, 1);
	s->dir.buckets[0] = dir_buckets(opts, skel->rodata->cfg_pool_bytes);
	err = bpf_map__set_max_entries(skel->maps.pool_dir, s->dir.buckets[0]);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.stack_table, s->stacks.buckets[0]);
	return err ? err : bpf_map__set_max_entries(skel->maps.stack_allocs, s->allocs.buckets[0]);
}

int session_tables_open(struct bpf_session *s, const struct session_opts *opts)
{
	const struct tmbpf_bpf *skel = s->skel;
	int err;

	s->dir.view[0] = session_map_view(bpf_map__fd(skel->maps.pool_dir),
					  s->dir.buckets[0] * sizeof(struct tm_dir_bucket));
	s->stacks.view[0] = session_map_view(bpf_map__fd(skel->maps.stack_table),
					     s->stacks.buckets[0] * sizeof(struct tm_stack_bucket));
	s->allocs.view[0] = session_map_view(bpf_map__fd(skel->maps.stack_allocs),
					     s->allocs.buckets[0] * sizeof(struct tm_stack_allocs));
	if (!s->dir.view[0] || !s->stacks.view[0] || !s->allocs.view[0])
		return -errno;
	s->allocs.count = 1;
	publish_dir(s, s->dir.buckets[0]);
	publish_stacks(s, s->stacks.buckets[0]);
	err = add_live_level(s, live_buckets(opts));
	return err ? err : bpf_session_maintain(s);
}

static void unmap_table(struct session_table *t, size_t bytes)
{
	for (uint32_t i = 0; i < TM_LEVELS_MAX; i++)
		if (t->view[i])
			munmap(t->view[i], t->buckets[i] * bytes);
}

void session_tables_close(struct bpf_session *s)
{
	for (uint32_t i = 0; i < s->segment_count; i++)
		munmap(s->segments[i], TM_SEG_CHUNKS * sizeof(struct tm_chunk));
	unmap_table(&s->dir, sizeof(struct tm_dir_bucket));
	unmap_table(&s->live, sizeof(struct tm_live_bucket));
	unmap_table(&s->stacks, sizeof(struct tm_stack_bucket));
	unmap_table(&s->allocs, sizeof(struct tm_stack_allocs));
}

/* ---- look-ups ---- */

const struct tm_dir_entry *bpf_session_pool(const struct bpf_session *s, uint64_t pool)
{
	uint64_t h = TM_POOL_HASH(pool);

	for (uint32_t level = s->dir.count; level-- > 0;) {
		const struct tm_dir_bucket *buckets = s->dir.view[level];
		uint32_t mask = s->dir.buckets[level] - 1;
		const struct tm_dir_bucket *two[] = {&buckets[TM_HASH_FIRST(h) & mask],
						     &buckets[TM_HASH_SECOND(h) & mask]};

		for (int i = 0; i < 2 * TM_DIR_WAYS; i++) {
			const struct tm_dir_entry *e = &two[i / TM_DIR_WAYS]->way[i % TM_DIR_WAYS];

			if (TM_DIR_POOL(e->key) == pool)
				return e;
		}
	}
	return NULL;
}

uint32_t bpf_session_stack_ids(const struct bpf_session *s)
{
	return TM_STACK_BASE(s->stack_mask, s->stacks.count);
}

uint64_t bpf_session_stacks_used(const struct bpf_session *s)
{
	uint64_t used = 0;

	for (uint32_t i = 0; i < s->stacks.count; i++)
		used += __atomic_load_n(&s->skel->bss->stack_tab.used[i], __ATOMIC_RELAXED);
	return used;
}

void bpf_session_stack_release(const struct bpf_session *s, uint32_t level, uint64_t *hash)
{
	__atomic_store_n(hash, 0, __ATOMIC_RELEASE);
	__atomic_fetch_sub(&s->skel->bss->stack_tab.used[level], 1, __ATOMIC_RELAXED);
}

struct tm_stack_allocs *bpf_session_allocs(const struct bpf_session *s, uint32_t stack_id)
{
	uint32_t level = tm_stack_level(s->stack_mask, stack_id);
	uint32_t idx = tm_stack_index(s->stack_mask, level, stack_id);
	struct tm_stack_allocs *level_allocs = s->allocs.view[level];

	return level < s->allocs.count && idx < s->allocs.buckets[level] ? &level_allocs[idx]
									 : NULL;
}
