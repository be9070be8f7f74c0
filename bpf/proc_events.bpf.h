/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the traced process ends, from the kernel itself: exit status, signal, out-of-memory kill, exec. A
 * process that is not our child cannot be waited for, and /proc is empty by the time that its end is seen.
 */
#ifndef TM_PROC_EVENTS_BPF_H
#define TM_PROC_EVENTS_BPF_H

#include "config.bpf.h"
#include "maps.bpf.h"
#include "stats.bpf.h"

#define TM_PIDNS_LEVEL_MAX   31	 /* include/linux/pid_namespace.h: MAX_PID_NS_LEVEL is 32 */
#define TM_SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */

/* As is_target(), for a task that need not be the current one. */
static __always_inline bool task_is_target(struct task_struct *p)
{
	struct task_struct *leader;
	struct pid *pid;
	struct upid upid;
	__u32 level;

	if (!cfg_pidns_ino)
		return (__u32)BPF_CORE_READ(p, tgid) == cfg_tgid;
	leader = BPF_CORE_READ(p, group_leader);
	pid = BPF_CORE_READ(leader, thread_pid);
	level = BPF_CORE_READ(pid, level);
	if (level > TM_PIDNS_LEVEL_MAX ||
	    bpf_core_read(&upid, sizeof(upid), &pid->numbers[level & TM_PIDNS_LEVEL_MAX]))
		return false;
	return (__u32)upid.nr == cfg_tgid && BPF_CORE_READ(upid.ns, ns.inum) == cfg_pidns_ino;
}

/* Wake up user space, because it sleeps on the ring buffer. A full ring is read anyway. */
static __always_inline void proc_wake(void)
{
	struct tm_rec_hdr hdr = {.type = TM_REC_PROCESS, .len = sizeof(hdr)};

	(void)bpf_ringbuf_output(&ring, &hdr, sizeof(hdr), BPF_RB_FORCE_WAKEUP);
}

/*
 * The wait status, by the rule of kernel/exit.c: wait_task_zombie(): the group's code when exit_group(2) or
 * a signal ended it, else that of the leader, which may have ended long before the last thread.
 */
static __always_inline void proc_exited(struct task_struct *p)
{
	struct signal_struct *sig = BPF_CORE_READ(p, signal);
	__u32 flags = BPF_CORE_READ(sig, flags);

	if (BPF_CORE_READ(sig, live.counter) > 0)
		return;
	proc_state.exit_code = flags & TM_SIGNAL_GROUP_EXIT
				       ? BPF_CORE_READ(sig, group_exit_code)
				       : BPF_CORE_READ(p, group_leader, exit_code);
	/* mm/oom_kill.c: mark_oom_victim() keeps the memory of what it kills. */
	if (BPF_CORE_READ(sig, oom_mm))
		proc_state.oom_killed = 1;
	/*
	 * Use an exchange to order the writes before it, because clang 14 has no store with release
	 * for BPF.
	 */
	(void)__sync_val_compare_and_swap(&proc_state.exit_ns, 0, bpf_ktime_get_ns());
	proc_wake();
}

/* Stop recording, because from here on the same addresses belong to another program. */
static __always_inline void proc_execed(void)
{
	run_stop = TM_STOP_HIT;
	proc_state.exec_ns = bpf_ktime_get_ns();
	proc_wake();
}

/*
 * The kernel is about to kill it for memory. The argument was the pid up to Linux 6.8, later the task; the
 * upper half tells them apart. A pid is the one of a thread: unless it is the main one, the exit reports it.
 */
static __always_inline void proc_oom_victim(__u64 arg)
{
	bool hit = arg >> 32 ? task_is_target((struct task_struct *)arg)
			     : !cfg_pidns_ino && (__u32)arg == cfg_tgid;

	if (!hit)
		return;
	proc_state.oom_ns = bpf_ktime_get_ns();
	proc_wake();
}

#endif
