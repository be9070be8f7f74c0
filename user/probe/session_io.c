// SPDX-License-Identifier: GPL-2.0-or-later
/* Traffic with loaded programs: counters, knobs, the ring buffer, the overflow map. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "probe/session_priv.h"

#define SPILL_BATCH 4096 /* entries */

int bpf_session_stats(const struct bpf_session *s, struct tm_cpu_stats *sum)
{
	_cleanup_free_ struct tm_cpu_stats *cpus = calloc((size_t)s->cpus, sizeof(*cpus));
	uint32_t zero = 0;

	memset(sum, 0, sizeof(*sum));
	if (!cpus)
		return -ENOMEM;
	if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.cpu_stats), &zero, cpus))
		return -errno;
	for (int c = 0; c < s->cpus; c++) {
		for (int k = 0; k < TM_PROG_COUNT; k++) {
			sum->hits[k] += cpus[c].hits[k];
			sum->timed[k] += cpus[c].timed[k];
			sum->timed_ns[k] += cpus[c].timed_ns[k];
		}
		sum->idle += cpus[c].idle;
		for (int r = 0; r < TM_DROP_COUNT; r++)
			sum->drops[r] += cpus[c].drops[r];
	}
	return 0;
}

struct tm_proc_state bpf_session_process(const struct bpf_session *s)
{
	const struct tm_proc_state *now = &s->skel->bss->proc_state;
	struct tm_proc_state state = {.exit_ns = __atomic_load_n(&now->exit_ns, __ATOMIC_ACQUIRE)};

	/* The rest is written before exit_ns. */
	state.exec_ns = __atomic_load_n(&now->exec_ns, __ATOMIC_RELAXED);
	state.oom_ns = __atomic_load_n(&now->oom_ns, __ATOMIC_RELAXED);
	state.exit_code = now->exit_code;
	state.oom_killed = now->oom_killed;
	return state;
}

uint32_t bpf_session_memory_shared(const struct bpf_session *s)
{
	return __atomic_load_n(&s->skel->bss->memory_shared, __ATOMIC_RELAXED);
}

void bpf_session_set_stop(struct bpf_session *s, enum tm_stop stop)
{
	__atomic_store_n(&s->skel->data->run_stop, stop, __ATOMIC_RELEASE);
}

void bpf_session_set_pools_mode(struct bpf_session *s, bool pools, uint64_t min_bytes)
{
	s->skel->bss->run_min_bytes = min_bytes;
	__atomic_store_n(&s->skel->bss->run_pools_mode, pools, __ATOMIC_RELEASE);
}

void bpf_session_set_epoch(struct bpf_session *s, uint32_t epoch)
{
	__atomic_store_n(&s->skel->data->run_epoch, epoch, __ATOMIC_RELEASE);
}

int bpf_session_ring_open(struct bpf_session *s, ring_record_fn fn, void *ctx)
{
	s->ring = ring_buffer__new(bpf_map__fd(s->skel->maps.ring), fn, ctx, NULL);
	if (!s->ring)
		return log_err(-errno, "cannot open the ring buffer");
	return 0;
}

int bpf_session_ring_consume(struct bpf_session *s)
{
	return ring_buffer__consume(s->ring);
}

int bpf_session_ring_fd(const struct bpf_session *s)
{
	return ring_buffer__epoll_fd(s->ring);
}

void session_ring_close(struct bpf_session *s)
{
	ring_buffer__free(s->ring);
	s->ring = NULL;
}

/* Many entries by one system call, a whole hash bucket at least: none has as many. */
int bpf_session_each_spilled(const struct bpf_session *s,
			     void (*fn)(void *ctx, uint64_t addr, uint64_t meta), void *ctx)
{
	_cleanup_free_ uint64_t *addrs = calloc(SPILL_BATCH, sizeof(*addrs));
	_cleanup_free_ uint64_t *metas = calloc(SPILL_BATCH, sizeof(*metas));
	int fd = bpf_map__fd(s->skel->maps.live_spill), err = 0;
	uint64_t from, next; /* opaque to us: where a batch begins */
	uint32_t bound;
	bool first = true;

	if (!__atomic_load_n(&s->skel->bss->live_spilled, __ATOMIC_ACQUIRE))
		return 0;
	bound = bpf_map__max_entries(s->skel->maps.live_spill);
	if (!addrs || !metas)
		return -ENOMEM;
	/* Entries that come and go under us cannot make it endless: the bound ends it. */
	for (uint32_t seen = 0; !err && seen <= bound; from = next, first = false) {
		uint32_t count = SPILL_BATCH;

		err = bpf_map_lookup_batch(fd, first ? NULL : &from, &next, addrs, metas, &count,
					   NULL);
		if (err && err != -ENOENT) /* with ENOENT: the last ones */
			return err;
		for (uint32_t i = 0; i < count; i++)
			fn(ctx, addrs[i], metas[i]);
		seen += count;
	}
	return 0;
}
