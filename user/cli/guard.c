// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard for production: before everything is attached, 20 ms on the pop sites and malloc tell the
 * event rate, and with the cost of a trap on this machine the cost of exact mode.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "cli/capture.h"

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

static int measure(struct capture *c, double *per_s)
{
	struct timespec wait = {.tv_nsec = TRIAL_NS};
	struct tm_cpu_stats before, after;
	int64_t start;
	int err = probes_attach_trial(c->probes);

	if (!err)
		err = bpf_session_stats(c->session, &before);
	if (err)
		return err;
	start = monotonic_ns();
	while (nanosleep(&wait, &wait) && errno == EINTR)
		;
	err = bpf_session_stats(c->session, &after);
	*per_s =
		(double)(events(&after) - events(&before)) * 1e9 / (double)(monotonic_ns() - start);
	return err;
}

int guard_judge(struct capture *c, struct guard_verdict *out)
{
	const struct options *o = c->opts;
	int err = measure(c, &out->events_per_s);

	if (err)
		return err;
	out->projected_ratio =
		c->trap_ns < 0 ? -1 : out->events_per_s * c->trap_ns * TRAPS_PER_EVENT / 1e9;
	log_info(
		"trial window: %.0f allocations/s, exact mode is projected to cost %.1f %% of one CPU",
		out->events_per_s, out->projected_ratio * 100);
	out->pools = o->mode == MODE_POOLS;
	if (o->mode != MODE_AUTO || out->projected_ratio <= o->overhead)
		return 0;
	out->pools = true;
	snprintf(
		out->reason, sizeof(out->reason),
		"exact mode is projected to cost %.0f%% of one CPU (%.0f allocations/s in a trial of 20 ms), more than --overhead %.3g%%; to force it: tmbpf -p %d --mode exact",
		out->projected_ratio * 100, out->events_per_s, o->overhead * 100, (int)o->pid);
	return 0;
}
