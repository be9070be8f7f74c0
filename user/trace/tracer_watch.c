// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/tracer_watch.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "probe/link_hold.h"
#include "target/proc_fs.h"
#include "target/target_task.h"
#include "trace/capture.h"
#include "trace/site_guard.h"

#define LOOK_EVERY_NS 1000000000LL

static void tracer_name(pid_t pid, char out[16])
{
	struct proc_stat st;

	snprintf(out, 16, "%s", proc_stat_read(pid, &st) ? "?" : st.comm);
}

bool tracer_sets_breakpoints(const struct capture *c)
{
	return c->tracer.tracer && c->tracer.breakpoints;
}

/* A name can be forged, but only by who traces the target already. */
static void take_tracer(struct capture *c, pid_t pid)
{
	char name[16];

	tracer_name(pid, name);
	c->tracer.tracer = pid;
	c->tracer.breakpoints = strcmp(name, "strace") != 0;
	if (!c->tracer.breakpoints) {
		log_info("%s (%d) traces process %d", name, (int)pid, (int)c->target->pid);
		return;
	}
	log_coded_warn("W141", NULL,
		       "%s (pid %d) is attached to process %d: its breakpoints on probed "
		       "instructions do not stop the process, and when it removes them, tmbpf no "
		       "longer sees what passes there",
		       name, (int)pid, (int)c->target->pid);
}

static void look_at_tracer(struct capture *c, bool all)
{
	pid_t pid = target_tracer(c->target, all);

	if (pid && pid != c->tracer.tracer)
		take_tracer(c, pid);
}

/*
 * A uprobe_multi link belongs to the memory of the main thread. Once that has ended, the kernel takes the breakpoints
 * out as soon as another tool leaves the same instruction (kernel/events/uprobes.c: filter_chain()).
 */
static void look_at_breakpoints(struct capture *c)
{
	bool main_ended;
	unsigned missing;

	(void)target_task_next(c->target);
	main_ended = target_main_thread_ended(c->target);
	if (c->tracer.missing || (!tracer_sets_breakpoints(c) && !main_ended))
		return;
	missing = site_guard_missing(c);
	if (!missing)
		return;
	c->tracer.missing = true;
	log_coded_warn(
		"W144", "start tmbpf again",
		"%u breakpoints of tmbpf in process %d are gone: %s. Blocks that pass there "
		"are no longer seen",
		missing, (int)c->target->pid,
		tracer_sets_breakpoints(c)
			? "the debugger wrote over them"
			: "its main thread has ended, and the kernel took them out when another "
			  "tool left the same file");
}

static void look_at_sharers(struct capture *c)
{
	uint32_t started = c->session ? bpf_session_memory_shared(c->session) : 0;
	char who[32] = "a process";
	unsigned now = 0;
	pid_t first = 0;

	if (c->tracer.shared)
		return;
	if (!started) {
		if (c->tracer.look_ns) /* processes that were there before us: asked once */
			return;
		now = target_memory_sharers(c->target, &first);
	}
	if (!started && !now)
		return;
	c->tracer.shared = true;
	if (now)
		snprintf(who, sizeof(who), "process %d", (int)first);
	log_coded_warn(
		"W145", NULL,
		"%s runs in the memory of %d and is no thread of it (clone with CLONE_VM): "
		"blocks that it allocates are not seen, those that it frees stay in the numbers",
		who, (int)c->target->pid);
}

void tracer_watch_look(struct capture *c, bool all)
{
	int64_t now = monotonic_ns();

	if (!all && now - c->tracer.look_ns < LOOK_EVERY_NS)
		return;
	look_at_tracer(c, all);
	look_at_breakpoints(c);
	look_at_sharers(c);
	c->tracer.look_ns = now;
}

void tracer_watch_hold(struct capture *c)
{
	char name[16];
	pid_t helper;

	if (!c->probes || !c->session || !target_is_alive(c->target))
		return;
	tracer_watch_look(c, true);
	if (!tracer_sets_breakpoints(c) || !target_tracer(c->target, true))
		return;
	bpf_session_set_stop(c->session, TM_STOP_HIT);
	tracer_name(c->tracer.tracer, name);
	helper = link_hold_start(target_task(c->target));
	if (helper < 0) {
		log_coded_warn(
			"W143", "delete the debugger's breakpoints before it detaches",
			"%s (pid %d) is attached and may have taken tmbpf's breakpoints for the "
			"program's code; no process could be started to keep them until it leaves",
			name, (int)c->tracer.tracer);
		return;
	}
	log_coded_warn("W143", NULL,
		       "%s (pid %d) may have taken tmbpf's breakpoints for the program's code: "
		       "process %d keeps them in place, without recording, until it has detached",
		       name, (int)c->tracer.tracer, (int)helper);
}
