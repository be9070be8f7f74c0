/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Hit counters, sampled time, and the only way to count a loss. */
#ifndef TM_STATS_BPF_H
#define TM_STATS_BPF_H

#include "config.bpf.h"
#include "maps.bpf.h"

static __always_inline struct tm_cpu_stats *stats_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&cpu_stats, &zero);
}

static __always_inline void tm_drop(enum tm_drop reason)
{
	struct tm_cpu_stats *st = stats_get();

	if (st)
		st->drops[reason]++;
}

/* Count a trap that ends at once, since it has the cost of a trap. */
static __always_inline int stats_idle(void)
{
	struct tm_cpu_stats *st = stats_get();

	if (st)
		st->idle++;
	return 0;
}

/* Count a hit; every TM_TIME_EVERY-th returns the start time, the others 0. */
static __always_inline __u64 stats_begin(enum tm_prog_kind kind)
{
	struct tm_cpu_stats *st = stats_get();

	if (!st)
		return 0;
	if (st->hits[kind]++ & (TM_TIME_EVERY - 1))
		return 0;
	return bpf_ktime_get_ns();
}

static __always_inline void stats_end(enum tm_prog_kind kind, __u64 start_ns)
{
	struct tm_cpu_stats *st;
	__u64 ns;

	if (!start_ns)
		return;
	st = stats_get();
	if (!st)
		return;
	ns = bpf_ktime_get_ns() - start_ns;
	if (ns > TM_TIME_MAX_NS)
		return;
	st->timed[kind]++;
	st->timed_ns[kind] += ns;
}

static __always_inline bool is_target(void)
{
	struct bpf_pidns_info ns = {};

	if (!cfg_pidns_ino)
		return bpf_get_current_pid_tgid() >> 32 == cfg_tgid;
	if (bpf_get_ns_current_pid_tgid(cfg_pidns_dev, cfg_pidns_ino, &ns, sizeof(ns)))
		return false;
	return ns.tgid == cfg_tgid;
}

#endif
