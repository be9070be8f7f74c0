/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bpf/ on the host: the programs' own source against maps in plain memory, so that a table can be filled to
 * the last entry and every loss provoked. The helpers do what the kernel's do, no more; what they refuse is
 * set by the test (struct host). Include once per test program, before any header of bpf/.
 */
#ifndef TM_TESTS_BPF_HOST_H
#define TM_TESTS_BPF_HOST_H

#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEC(name)
#define __uint(name, val)  int(*name)[val]
#define __type(name, val)  __typeof__(val) *name
#define __array(name, val) __typeof__(val) *name[]
#define __noinline	   __attribute__((noinline))
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

struct pt_regs { /* what the programs read of it */
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long sp, flags;
};

struct task_struct {
	struct {
		unsigned long fsbase;
	} thread;
};

#define TM_BPF_REGS  /* bpf/regs.bpf.h is BPF assembly */
#define X86_FLAGS_ZF 0x40

static inline __u64 reg_get(const struct pt_regs *ctx, __u32 reg)
{
	const unsigned long by_number[] = {
		ctx->ax, ctx->cx, ctx->dx,  ctx->bx,  ctx->sp,	ctx->bp,  ctx->si,  ctx->di,
		ctx->r8, ctx->r9, ctx->r10, ctx->r11, ctx->r12, ctx->r13, ctx->r14, ctx->r15};

	return by_number[reg & 0xf];
}

/* ---- maps ---- */

#define HOST_MAGIC 0x7a9c1e55u

struct host_map {
	uint32_t magic;
	const void *is; /* the map's variable; NULL: an inner map */
	enum { HOST_ARRAY, HOST_OF_MAPS, HOST_HASH } kind;
	uint32_t value_bytes, entries;
	uint8_t *values;
	uint64_t *keys; /* HOST_HASH; 0 = free */
	struct host_map **inner;
};

#define HOST_MAPS 64

static struct host {
	struct host_map maps[HOST_MAPS];
	size_t map_count;
	uint64_t unreadable_lo, unreadable_hi; /* target memory that no read gets at */
	bool ring_full;
	uint32_t ring_records;
	bool no_task_storage;
	void *task_storage;
	struct task_struct task;
	uint64_t ns;
} host;

static struct host_map *host_map_of(const void *map)
{
	const struct host_map *inner = map;

	for (size_t i = 0; i < host.map_count; i++)
		if (host.maps[i].is == map)
			return &host.maps[i];
	assert_int_equal(inner->magic, HOST_MAGIC);
	return (struct host_map *)(uintptr_t)map;
}

static struct host_map *host_map_add(const void *is, int kind, size_t value_bytes, uint32_t entries)
{
	struct host_map *m = &host.maps[host.map_count++];

	assert_true(host.map_count <= HOST_MAPS);
	*m = (struct host_map){.magic = HOST_MAGIC,
			       .is = is,
			       .kind = kind,
			       .value_bytes = (uint32_t)value_bytes,
			       .entries = entries};
	if (kind == HOST_OF_MAPS)
		m->inner = calloc(entries, sizeof(*m->inner));
	else
		m->values = calloc(entries, value_bytes);
	if (kind == HOST_HASH)
		m->keys = calloc(entries, sizeof(*m->keys));
	assert_true(m->values || m->inner);
	return m;
}

static void *host_hash_find(struct host_map *m, uint64_t key, bool insert)
{
	size_t at = key * 0x9e3779b97f4a7c15ull % m->entries;

	for (uint32_t i = 0; i < m->entries; i++, at = (at + 1) % m->entries) {
		if (m->keys[at] == key || (insert && !m->keys[at])) {
			m->keys[at] = key;
			return m->values + at * m->value_bytes;
		}
	}
	return NULL;
}

static void *bpf_map_lookup_elem(const void *map, const void *key)
{
	struct host_map *m = host_map_of(map);
	uint32_t idx = 0;

	if (m->kind == HOST_HASH)
		return host_hash_find(m, *(const uint64_t *)key, false);
	memcpy(&idx, key, sizeof(idx));
	if (idx >= m->entries)
		return NULL;
	return m->kind == HOST_OF_MAPS ? (void *)m->inner[idx]
				       : m->values + (size_t)idx * m->value_bytes;
}

static __attribute__((unused)) long bpf_map_update_elem(void *map, const void *key,
							const void *value, uint64_t flags)
{
	struct host_map *m = host_map_of(map);
	void *there = host_hash_find(m, *(const uint64_t *)key, false);

	if (there && flags == BPF_NOEXIST)
		return -EEXIST;
	there = host_hash_find(m, *(const uint64_t *)key, true);
	if (!there)
		return -E2BIG;
	memcpy(there, value, m->value_bytes);
	return 0;
}

/* Linear probing leaves a gap: enough for tables that are filled, emptied and looked into by one test. */
static __attribute__((unused)) long bpf_map_delete_elem(void *map, const void *key)
{
	struct host_map *m = host_map_of(map);

	for (uint32_t i = 0; i < m->entries; i++) {
		if (m->keys[i] == *(const uint64_t *)key) {
			m->keys[i] = 0;
			return 0;
		}
	}
	return -ENOENT;
}

/* ---- other helpers ---- */

static __attribute__((unused)) long bpf_probe_read_user(void *dst, uint32_t len, const void *src)
{
	uint64_t at = (uint64_t)(uintptr_t)src;

	if (!at || (at < host.unreadable_hi && at + len > host.unreadable_lo)) {
		memset(dst, 0, len);
		return -EFAULT;
	}
	memcpy(dst, src, len);
	return 0;
}

static __attribute__((unused)) long bpf_ringbuf_output(void *ring_map, void *data, uint64_t len,
						       uint64_t flags)
{
	if (host.ring_full)
		return -EAGAIN;
	host.ring_records++;
	return 0;
}

static __attribute__((unused)) uint64_t bpf_ringbuf_query(void *ring_map, uint64_t flags)
{
	return 0;
}

static __attribute__((unused)) uint64_t bpf_get_current_pid_tgid(void)
{
	return 4711ull << 32 | 4711;
}

static __attribute__((unused)) struct task_struct *bpf_get_current_task_btf(void)
{
	return &host.task;
}

static __attribute__((unused)) long
bpf_get_ns_current_pid_tgid(uint64_t dev, uint64_t ino, struct bpf_pidns_info *ns, uint32_t len)
{
	return -EINVAL;
}

static __attribute__((unused)) uint32_t bpf_get_smp_processor_id(void)
{
	return 0;
}

static __attribute__((unused)) uint64_t bpf_ktime_get_ns(void)
{
	return ++host.ns;
}

static __attribute__((unused)) void *bpf_task_storage_get(void *map, struct task_struct *task,
							  void *value, uint64_t flags)
{
	return host.no_task_storage ? NULL : host.task_storage;
}

/* Constants of the loader are variables here: the test is the loader. */
#define const
#include "bpf/config.bpf.h"
#undef const
#include "bpf/maps.bpf.h"
#include "bpf/stats.bpf.h"

/* ---- tables ---- */

/* first: the map of level 0, where it is one of its own. */
static __attribute__((unused)) void host_level_add(const void *first, const void *levels,
						   struct tm_levels *tab, size_t bucket_bytes,
						   uint32_t buckets, uint32_t ways,
						   uint32_t fill_percent)
{
	struct host_map *outer = host_map_of(levels);
	uint32_t level = tab->count;

	assert_true(level < outer->entries);
	outer->inner[level] = host_map_add(level ? NULL : first, HOST_ARRAY, bucket_bytes, buckets);
	tab->mask[level] = buckets - 1;
	tab->limit[level] = (uint64_t)buckets * ways * fill_percent / 100;
	tab->count++;
}

static __attribute__((unused)) uint64_t host_drops(enum tm_drop reason)
{
	return stats_get()->drops[reason];
}

/* Nothing was lost, except for this reason. TM_DROP_COUNT: nothing at all. */
static __attribute__((unused)) void host_assert_only(enum tm_drop reason, uint64_t count)
{
	for (int i = 0; i < TM_DROP_COUNT; i++)
		assert_int_equal(host_drops((enum tm_drop)i), i == (int)reason ? count : 0);
}

static void host_free(void)
{
	for (size_t i = 0; i < host.map_count; i++) {
		free(host.maps[i].values);
		free(host.maps[i].keys);
		free(host.maps[i].inner);
	}
	free(host.task_storage);
	memset(&host, 0, sizeof(host));
}

/* Everything empty, no level in any table. For every test (setup, teardown: host_close). */
static int host_open(void **state)
{
	host_free();
	memset(&dir_tab, 0, sizeof(dir_tab));
	memset(&live_tab, 0, sizeof(live_tab));
	memset(&stack_tab, 0, sizeof(stack_tab));
	live_spilled = 0;
	chunks_used = 0;
	deaths_lost = 0;
	run_chunks_avail = 0;
	run_stop = TM_STOP_NOT;
	run_pools_mode = 0;
	run_epoch = 1;
	run_min_bytes = 0;
	host_map_add(&cpu_stats, HOST_ARRAY, sizeof(struct tm_cpu_stats), 1);
	host_map_add(&scratch, HOST_ARRAY, sizeof(struct tm_scratch), 2);
	host_map_add(&codes, HOST_HASH, sizeof(__u32), 64);
	host_map_add(&site_counts, HOST_ARRAY, sizeof(struct tm_site_count), 16);
	host_map_add(&slot_segs, HOST_OF_MAPS, 0, 4);
	host_map_add(&dir_levels, HOST_OF_MAPS, 0, TM_DIR_LEVELS);
	host_map_add(&live_levels, HOST_OF_MAPS, 0, TM_LIVE_LEVELS);
	host_map_add(&stack_levels, HOST_OF_MAPS, 0, TM_STACK_LEVELS);
	host_map_add(&alloc_levels, HOST_OF_MAPS, 0, TM_STACK_LEVELS);
	host.task_storage = calloc(1, sizeof(struct tm_call));
	return host.task_storage ? 0 : -1;
}

static int host_close(void **state)
{
	host_free();
	return 0;
}

#endif
