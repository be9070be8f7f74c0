// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard for production: before everything is attached, 20 ms on the pop sites and malloc tell the
 * event rate, and with the cost of a trap on this machine the cost of exact mode.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/command.h"
#include "trace/capture.h"

#define TRIAL_NS 20000000L
/*
 * Cost of an event in traps: one for the trap itself, one for reading the stack and storing it. The
 * reports measure it; this only has to choose a mode.
 */
#define TRAPS_PER_EVENT 2.0

static uint64_t events(const struct tm_cpu_stats *s)
{
	return s->hits[TM_PROG_POP] + s->hits[TM_PROG_MALLOC];
}

static int measure(struct capture *c, struct guard_verdict *v)
{
	struct timespec wait = {.tv_nsec = TRIAL_NS};
	struct tm_cpu_stats before, after;
	int64_t start;
	int err = probes_set_role(c->probes, PROBE_TRIAL);

	if (!err)
		err = bpf_session_stats(c->session, &before);
	if (err)
		return err;
	start = monotonic_ns();
	while (nanosleep(&wait, &wait) && errno == EINTR)
		;
	err = bpf_session_stats(c->session, &after);
	v->trial_s = (double)(monotonic_ns() - start) / 1e9;
	v->events_per_s = (double)(events(&after) - events(&before)) / v->trial_s;
	return err;
}

/* Without uprobe_multi every site is a perf event of its own, and each takes 0.1 s to detach. */
static void judge_without_multi(const struct options *o, struct guard_verdict *out)
{
	out->pools = o->mode != MODE_EXACT;
	if (o->mode == MODE_AUTO)
		snprintf(
			out->reason, sizeof(out->reason),
			"probes are perf events here (uprobe_multi needs Linux 6.6), too slow to detach for exact mode; to force it: %s",
			command_with("--mode", "exact"));
}

int guard_judge(struct capture *c, struct guard_verdict *out)
{
	const struct options *o = c->opts;
	int err;

	*out = (struct guard_verdict){.projected_ratio = -1};
	if (!c->session->multi) {
		judge_without_multi(o, out);
		return 0;
	}
	err = measure(c, out);
	if (err)
		return err;
	out->measured = true;
	if (c->trap_ns >= 0)
		out->projected_ratio = out->events_per_s * c->trap_ns * TRAPS_PER_EVENT / 1e9;
	out->pools = o->mode == MODE_POOLS;
	if (o->mode != MODE_AUTO || out->projected_ratio <= o->overhead)
		return 0;
	out->pools = true;
	snprintf(out->reason, sizeof(out->reason),
		 "that is more than --overhead %.3g%%; to force exact: %s", o->overhead * 100,
		 command_with("--mode", "exact"));
	return 0;
}
