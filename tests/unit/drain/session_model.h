/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session without a kernel: the tables as BPF would have filled them, in memory of the test. */
#ifndef TM_TESTS_DRAIN_SESSION_MODEL_H
#define TM_TESTS_DRAIN_SESSION_MODEL_H

#include <stdlib.h>
#include <string.h>

#include "probe/session_priv.h"

#define MODEL_DIR_BUCKETS   32768u
#define MODEL_LIVE_BUCKETS  64u
#define MODEL_STACK_BUCKETS 16u

struct session_model {
	struct bpf_session s;
	struct tmbpf_bpf skel;
	struct tm_chunk *chunks;
	uint32_t chunks_used;
};

static inline struct session_model *session_model_new(void)
{
	struct session_model *m = calloc(1, sizeof(*m));
	const uint32_t stacks = MODEL_STACK_BUCKETS * TM_STACK_WAYS;

	m->skel.bss = calloc(1, sizeof(*m->skel.bss));
	m->s.skel = &m->skel;
	m->chunks = calloc(TM_SEG_CHUNKS, sizeof(*m->chunks));
	for (m->s.segment_count = 0; m->s.segment_count < 8; m->s.segment_count++)
		m->s.segments[m->s.segment_count] = m->chunks;
	m->s.dir.view[0] = calloc(MODEL_DIR_BUCKETS, sizeof(struct tm_dir_bucket));
	m->s.dir.buckets[0] = MODEL_DIR_BUCKETS;
	m->s.live.view[0] = calloc(MODEL_LIVE_BUCKETS, sizeof(struct tm_live_bucket));
	m->s.live.buckets[0] = MODEL_LIVE_BUCKETS;
	m->s.stacks.view[0] = calloc(MODEL_STACK_BUCKETS, sizeof(struct tm_stack_bucket));
	m->s.stacks.buckets[0] = MODEL_STACK_BUCKETS;
	m->s.allocs.view[0] = calloc(stacks + TM_STACK_FIRST, sizeof(struct tm_stack_allocs));
	m->s.allocs.buckets[0] = stacks + TM_STACK_FIRST;
	m->s.dir.count = m->s.live.count = m->s.stacks.count = m->s.allocs.count = 1;
	m->s.stack_mask = MODEL_STACK_BUCKETS - 1;
	m->s.stack_ids_max = TM_STACK_BASE(m->s.stack_mask, 1);
	m->s.stacks_max = stacks;
	/* Never short of anything: nothing asks the kernel for more. */
	m->skel.bss->dir_tab.limit[0] = m->skel.bss->live_tab.limit[0] =
		m->skel.bss->stack_tab.limit[0] = 1ull << 40;
	return m;
}

static inline void session_model_free(struct session_model *m)
{
	free(m->s.dir.view[0]);
	free(m->s.live.view[0]);
	free(m->s.stacks.view[0]);
	free(m->s.allocs.view[0]);
	free(m->skel.bss);
	free(m->chunks);
	free(m);
}

/* Make a pool known. Returns: its slots. */
static inline uint32_t *session_model_pool(struct session_model *m, uint64_t pool, uint32_t szidx,
					   uint32_t chunks)
{
	struct tm_dir_bucket *dir = m->s.dir.view[0];
	uint64_t h = TM_POOL_HASH(pool);
	struct tm_dir_bucket *two[] = {&dir[TM_HASH_FIRST(h) & (MODEL_DIR_BUCKETS - 1)],
				       &dir[TM_HASH_SECOND(h) & (MODEL_DIR_BUCKETS - 1)]};
	uint32_t first = m->chunks_used;

	m->chunks_used += chunks;
	if (m->chunks_used > TM_SEG_CHUNKS)
		abort();
	for (int i = 0; i < 2 * TM_DIR_WAYS; i++) {
		struct tm_dir_entry *e = &two[i / TM_DIR_WAYS]->way[i % TM_DIR_WAYS];

		if (e->key)
			continue;
		e->ref = (uint64_t)first << 16 | chunks;
		e->key = pool | (szidx + 1);
		return m->chunks[first].slot;
	}
	abort();
}

static inline void session_model_block(struct session_model *m, uint64_t addr, uint32_t stack,
				       uint64_t bytes)
{
	struct tm_live_bucket *live = m->s.live.view[0];

	for (uint32_t i = 0; i < MODEL_LIVE_BUCKETS * TM_LIVE_WAYS; i++) {
		struct tm_live_entry *e = &live[i / TM_LIVE_WAYS].way[i % TM_LIVE_WAYS];

		if (e->addr)
			continue;
		*e = (struct tm_live_entry){addr, TM_LIVE_META(stack, bytes)};
		return;
	}
	abort();
}

/* Give a stack the n-th id. Returns: the id. */
static inline uint32_t session_model_stack(struct session_model *m, uint32_t n, uint64_t hash)
{
	struct tm_stack_bucket *b = m->s.stacks.view[0];

	b[n / TM_STACK_WAYS].hash[n % TM_STACK_WAYS] = hash;
	m->skel.bss->stack_tab.used[0]++;
	return TM_STACK_FIRST + n;
}

static inline uint64_t session_model_hash(const struct session_model *m, uint32_t id)
{
	const struct tm_stack_bucket *b = m->s.stacks.view[0];

	return b[(id - TM_STACK_FIRST) / TM_STACK_WAYS].hash[(id - TM_STACK_FIRST) % TM_STACK_WAYS];
}

#endif
