/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes in the memory of the target that are none of its threads: clone with CLONE_VM and without CLONE_THREAD.
 * A probe that is bound to the target does not run in them. vfork(2) and posix_spawn(3) are left out: their child
 * only calls exec.
 */
#ifndef TM_SHARE_WATCH_BPF_H
#define TM_SHARE_WATCH_BPF_H

#include "config.bpf.h"

/* include/uapi/linux/sched.h */
#define TM_CLONE_VM	0x00000100ull
#define TM_CLONE_VFORK	0x00004000ull
#define TM_CLONE_THREAD 0x00010000ull

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define TM_NR_CLONE  56	 /* (flags, ...) */
#define TM_NR_CLONE3 435 /* (struct clone_args *, size): the flags are its first field */

/* regs: of the system call that makes a process. The tracepoint comes before the kernel notes a vfork. */
static __always_inline void share_watch(struct pt_regs *regs)
{
	__u64 flags = 0;

	if (regs->orig_ax == TM_NR_CLONE)
		flags = regs->di;
	else if (regs->orig_ax == TM_NR_CLONE3)
		(void)bpf_probe_read_user(&flags, sizeof(flags), (void *)regs->di);
	if ((flags & (TM_CLONE_VM | TM_CLONE_VFORK | TM_CLONE_THREAD)) == TM_CLONE_VM)
		__sync_fetch_and_add(&memory_shared, 1);
}

#endif
