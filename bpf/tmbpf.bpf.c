// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs that run at a hit. Each sits on an instruction that the kernel emulates (a conditional
 * jump, a push), chosen by decoding the target's files; which register holds what rides in the cookie.
 *
 *   record_site   attributes a block to the current stack:
 *                   pop: a pymalloc block is handed out
 *                   refill: the first block of a pool that was just opened, at the jump that looks at
 *                     what the refill function returned, up to 3.8 at a jump inside the allocator
 *                   new reference: an object is born in a block, fresh or from a free list
 *                   result of an outermost call of libc's malloc family
 *   alloc_enter   a call of that family begins
 *   free_enter    a malloc block ends
 *   code_dealloc  a code object dies: keep its name
 *
 *   sweep_site    nothing: its links come and go to take inherited breakpoints out of children (forks.bpf.h)
 *
 * And, not on instructions of the target: process_exit, process_exec, process_oom (proc_events.bpf.h),
 * process_fork (forks.bpf.h).
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "code_death.bpf.h"
#include "config.bpf.h"
#include "forks.bpf.h"
#include "maps.bpf.h"
#include "proc_events.bpf.h"
#include "share_watch.bpf.h"
#include "stats.bpf.h"
#include "tmbpf.h"

#define TM_ALLOCATOR_PARTS
#include "allocators.h"

char LICENSE[] SEC("license") = "GPL";

SEC("uprobe")
int alloc_enter(struct pt_regs *ctx)
{
	__u64 cookie, t;

	if (!is_target())
		return stats_idle();
	t = stats_begin(TM_PROG_MALLOC);
	if (run_stop != TM_STOP_HIT) {
		cookie = bpf_get_attach_cookie(ctx);
		alloc_begin(ctx, cookie & 0xff, TM_COOKIE_FLAGS(cookie));
	}
	stats_end(TM_PROG_MALLOC, t);
	return 0;
}

/*
 * Attribute a block to the current stack. One program serves all kinds of site, because the verifier
 * checks the stack walk, which is slow, once a program.
 */
SEC("uprobe")
int record_site(struct pt_regs *ctx)
{
	__u32 alloc, prog;
	__u64 cookie, t;

	if (!is_target())
		return stats_idle();
	cookie = bpf_get_attach_cookie(ctx);
	alloc = TM_COOKIE_ALLOC(cookie);
	prog = TM_COOKIE_PROG(cookie);
	if (prog >= TM_PROG_COUNT)
		return 0;
	t = stats_begin(prog);
	if (run_stop == TM_STOP_HIT)
		return 0;
#define X(name)                                                                 \
	if (cfg_allocators & 1u << TM_ALLOC_##name && alloc == TM_ALLOC_##name) \
		name##_record(ctx, cookie);
	TM_ALLOCATOR_LIST(X)
#undef X
	stats_end(prog, t);
	return 0;
}

SEC("uprobe")
int free_enter(struct pt_regs *ctx)
{
	__u64 t;

	if (!is_target() || !ctx->di)
		return stats_idle();
	t = stats_begin(TM_PROG_FREE);
	if (run_stop != TM_STOP_HIT)
		live_remove(ctx->di);
	stats_end(TM_PROG_FREE, t);
	return 0;
}

SEC("uprobe")
int code_dealloc(struct pt_regs *ctx)
{
	__u64 code = ctx->di, t;

	if (!is_target() || !bpf_map_lookup_elem(&codes, &code))
		return stats_idle();
	t = stats_begin(TM_PROG_DEATH);
	death_record(code);
	stats_end(TM_PROG_DEATH, t);
	return 0;
}

/*
 * Second consumer of a site, so that its removal makes the kernel drop the breakpoint where no other consumer
 * wants it.
 */
SEC("uprobe")
int sweep_site(struct pt_regs *ctx)
{
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	fork_seen(parent, child);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *p)
{
	if (task_is_target(p))
		proc_exited(p);
	child_gone(p);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *p)
{
	if (task_is_target(p))
		proc_execed();
	child_gone(p);
	return 0;
}

/* Without types: the argument changed with Linux 6.9. */
SEC("raw_tp/mark_victim")
int process_oom(struct bpf_raw_tracepoint_args *ctx)
{
	proc_oom_victim(ctx->args[0]);
	return 0;
}

/* Loaded where the kernel has bpf_task_pt_regs() (5.15). */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(memory_share, struct task_struct *parent)
{
	if (is_target())
		share_watch((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()));
	return 0;
}
