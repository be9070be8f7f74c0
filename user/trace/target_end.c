// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/target_end.h"

#include <signal.h>
#include <sys/wait.h>

/* As BPF recorded it (bpf/proc_events.bpf.h). */
static struct target_end end_from_kernel(const struct bpf_session *s)
{
	struct tm_proc_state p = bpf_session_process(s);
	struct target_end end = {.state = TARGET_RUNS};

	if (p.exec_ns) {
		end.state = TARGET_EXECED;
		end.ns = (int64_t)p.exec_ns;
		return end;
	}
	if (!p.exit_ns)
		return end;
	end.ns = (int64_t)p.exit_ns;
	if (WIFSIGNALED(p.exit_code)) {
		end.code = WTERMSIG(p.exit_code);
		end.state = end.code == SIGKILL && p.oom_killed ? TARGET_OOM : TARGET_SIGNALED;
	} else {
		end.code = WEXITSTATUS(p.exit_code);
		end.state = TARGET_EXITED;
	}
	return end;
}

struct target_end target_end_now(const struct target *t, const struct bpf_session *s)
{
	struct target_end end = {.state = TARGET_RUNS};

	if (s)
		end = end_from_kernel(s);
	if (end.state != TARGET_RUNS)
		return end;
	/*
	 * Ask the image in /proc only where the kernel does not report an exec, because it can look changed.
	 */
	if (!target_is_alive(t))
		end.state = TARGET_ENDED;
	else if ((!s || !s->sees_end) && !target_same_image(t))
		end.state = TARGET_EXECED;
	return end;
}

enum trace_end_reason target_end_reason(const struct target_end *end)
{
	switch (end->state) {
	case TARGET_EXITED:
	case TARGET_ENDED:
		return TRACE_END_TARGET_EXIT;
	case TARGET_SIGNALED:
		return TRACE_END_TARGET_SIGNAL;
	case TARGET_OOM:
		return TRACE_END_TARGET_OOM;
	case TARGET_EXECED:
		return TRACE_END_TARGET_EXEC;
	case TARGET_RUNS:
		break;
	}
	return TRACE_END_NONE;
}
