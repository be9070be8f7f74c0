// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Chooses the first mode: before everything is attached, 20 ms on the pop sites and malloc give the event
 * rate, and with the cost of a trap on this machine the cost of exact mode. Because 20 ms of an idle target
 * do not show its load, the governor holds the budget from then on.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/command.h"
#include "target/process_cpu.h"
#include "trace/capture.h"
#include "trace/ledger.h"

#define TRIAL_NS 20000000L
/*
 * Cost of an event in traps: one for the trap itself, one for reading the stack and storing it. The
 * reports measure it; this only has to choose a mode.
 */
#define TRAPS_PER_EVENT 2.0

static uint64_t count_events(const struct tm_cpu_stats *s)
{
	return s->hits[TM_PROG_POP] + s->hits[TM_PROG_MALLOC];
}

static int measure_rate(struct capture *c, struct guard_verdict *v, double *cpu_ns)
{
	uint64_t cpu_before, cpu_after;
	struct timespec wait = {.tv_nsec = TRIAL_NS};
	struct tm_cpu_stats before, after;
	int64_t start;
	int err = probes_set_role(c->probes, PROBE_TRIAL);

	if (!err)
		err = bpf_session_stats(c->session, &before);
	if (err)
		return err;
	cpu_before = process_cpu_ns(c->target->pid);
	start = monotonic_ns();
	while (nanosleep(&wait, &wait) && errno == EINTR)
		;
	err = bpf_session_stats(c->session, &after);
	cpu_after = process_cpu_ns(c->target->pid);
	*cpu_ns = cpu_after > cpu_before ? (double)(cpu_after - cpu_before) : 0;
	v->trial_s = (double)(monotonic_ns() - start) / 1e9;
	v->events_per_s = (double)(count_events(&after) - count_events(&before)) / v->trial_s;
	return err;
}

/* Without uprobe_multi every site is a perf event of its own, and each takes 0.1 s to detach. */
static void choose_without_multi(const struct options *o, bool has_pools, struct guard_verdict *out)
{
	out->pools = o->mode != MODE_EXACT && has_pools;
	if (o->mode == MODE_AUTO && has_pools)
		snprintf(
			out->reason, sizeof(out->reason),
			"probes are perf events here (uprobe_multi needs Linux 6.6), too slow to detach for exact mode; to force it: %s",
			command_with("--mode", "exact"));
}

/* Without pools the mode would only leave out what is small; the governor holds the budget in exact, too. */
static void choose_without_pools(const struct options *o, struct guard_verdict *out)
{
	if (o->mode == MODE_POOLS)
		snprintf(out->reason, sizeof(out->reason),
			 "this process has no pools, so every block is followed while that fits "
			 "--overhead %.3g%%",
			 o->overhead * 100);
}

/* The cost of the span, had it been traced exactly. The trial itself has cost a trap an event. */
static struct ledger_span span_in_exact(const struct guard_verdict *v, double cpu_ns,
					double trap_ns)
{
	double traps_ns = v->events_per_s * v->trial_s * trap_ns;
	double own = cpu_ns > traps_ns ? cpu_ns - traps_ns : 0;

	return (struct ledger_span){
		.wall_ns = v->trial_s * 1e9,
		.cost_ns = traps_ns * TRAPS_PER_EVENT,
		.cpu_ns = own + traps_ns * TRAPS_PER_EVENT,
	};
}

int trial_judge(struct capture *c, struct guard_verdict *out)
{
	const struct options *o = c->opts;
	bool has_pools = alloc_facts(c->alloc).has_pools;
	struct ledger_span span = {0};
	double cpu_ns = 0;
	int err;

	*out = (struct guard_verdict){.projected_ratio = -1, .projected_slowdown = -1};
	if (!c->session->multi) {
		choose_without_multi(o, has_pools, out);
		return 0;
	}
	err = measure_rate(c, out, &cpu_ns);
	if (err)
		return err;
	out->measured = true;
	if (c->trap_ns >= 0) {
		span = span_in_exact(out, cpu_ns, c->trap_ns);
		out->projected_ratio = span.cost_ns / span.wall_ns;
		out->projected_slowdown =
			span.cost_ns > 0 ? ledger_slower(span.cost_ns, span.cpu_ns) : 0;
	}
	if (!has_pools) {
		choose_without_pools(o, out);
		return 0;
	}
	out->pools = o->mode == MODE_POOLS;
	if (o->mode != MODE_AUTO || ledger_affords(o->overhead, &span))
		return 0;
	out->pools = true;
	snprintf(out->reason, sizeof(out->reason),
		 "that is more than --overhead %.3g%%; to force exact: %s", o->overhead * 100,
		 command_with("--mode", "exact"));
	return 0;
}
