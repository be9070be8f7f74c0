/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Children that the target forks. fork() copies the pages with our breakpoints in them; the kernel runs no
 * program for a hit of such a child (the link's process filter), but the child pays for the trap. User space
 * removes the breakpoints and counts what the children spent until then as overhead.
 */
#ifndef TM_FORKS_BPF_H
#define TM_FORKS_BPF_H

#include "config.bpf.h"
#include "maps.bpf.h"
#include "stats.bpf.h"

#define TM_PIDNS_DEPTH 31 /* include/linux/pid_namespace.h: MAX_PID_NS_LEVEL is 32 */

/*
 * Children with breakpoints: number of the process as the kernel counts -> as its own pid namespace does.
 * BPF adds and deletes, user space deletes what it has settled. Full: the child's traps are not counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u32);
} children SEC(".maps");

/* In its innermost pid namespace, which is ours wherever the target shares ours. */
static __always_inline __u32 inner_tgid(struct task_struct *p)
{
	struct pid *pid = BPF_CORE_READ(p, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid upid;

	if (level > TM_PIDNS_DEPTH ||
	    bpf_core_read(&upid, sizeof(upid), &pid->numbers[level & TM_PIDNS_DEPTH]))
		return 0;
	return (__u32)upid.nr;
}

/*
 * Runs in the parent. Skips threads and vfork(), because they share the memory instead of copying
 * it.
 */
static __always_inline void fork_seen(struct task_struct *parent, struct task_struct *child)
{
	__u32 key = BPF_CORE_READ(parent, tgid), nr;

	if (BPF_CORE_READ(child, mm) == BPF_CORE_READ(parent, mm))
		return;
	/* A child that has not been cleaned yet passes the breakpoints on. */
	if (!is_target() && !bpf_map_lookup_elem(&children, &key))
		return;
	key = BPF_CORE_READ(child, tgid);
	nr = inner_tgid(child);
	bpf_map_update_elem(&children, &key, &nr, BPF_ANY);
	__sync_fetch_and_add(&children_forked, 1);
}

/* Count what the child has used so far: it exits or execs, which drops the breakpoints. */
static __always_inline void child_gone(struct task_struct *p)
{
	__u32 key = BPF_CORE_READ(p, tgid);

	if (BPF_CORE_READ(p, pid) != (int)key || !bpf_map_lookup_elem(&children, &key))
		return;
	if (!bpf_map_delete_elem(&children, &key))
		__sync_fetch_and_add(&children_ns, BPF_CORE_READ(p, se.sum_exec_runtime));
}

#endif
