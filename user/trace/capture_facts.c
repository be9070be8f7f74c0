/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/capture_facts.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"

const char *capture_libc_text(const struct capture *c, char *out, size_t cap)
{
	const struct libc_target *libc = c->libc;
	const char *kind;

	*out = '\0';
	if (!libc)
		return out;
	kind = libc->kind == LIBC_GLIBC ? "glibc" : libc->kind == LIBC_MUSL ? "musl" : "malloc";
	snprintf(out, cap, "%s%s%s", kind, libc->version[0] ? " " : "", libc->version);
	return out;
}

void capture_hello(const struct capture *c, struct capture_facts *facts, struct report_hello *out)
{
	struct timespec ts;

	*out = (struct report_hello){
		.pid = (int)c->target->pid,
		.comm = c->target->comm,
		.python_version = c->py ? c->py->version : NULL,
		.libc = capture_libc_text(c, facts->libc, sizeof(facts->libc)),
		.mode = c->pools_mode ? TRACE_MODE_POOLS : TRACE_MODE_EXACT,
		.mode_reason = c->guard.reason[0] ? c->guard.reason : NULL,
		.trial = c->guard.measured,
		.trial_s = c->guard.trial_s,
		.trial_events_per_s = c->guard.events_per_s,
		.projected_cost_ratio = c->guard.projected_ratio,
		.projected_slowdown_ratio = c->guard.projected_slowdown,
		.frames = c->opts->frames,
		.domains = {c->py, c->libc},
		.pop_sites = alloc_facts(c->alloc).pop_sites,
		.newref_sites = probes_count(c->probes, TM_PROG_NEWREF),
		.libc_sites = alloc_facts(c->alloc).libc_functions,
	};
	if (process_container(c->target->pid, facts->container)) {
		facts->container[CONTAINER_SHORT] = '\0';
		out->container = facts->container;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	out->time_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void capture_meta(const struct capture *c, double every_s, struct capture_facts *facts,
		  struct store_meta *meta)
{
	const struct target *t = c->target;
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (gethostname(facts->host, sizeof(facts->host)))
		facts->host[0] = '\0';
	facts->host[sizeof(facts->host) - 1] = '\0';
	*meta = (struct store_meta){
		.pid = t->pid,
		.start_ns = process_start_ns(t->start_time_ticks),
		.attach_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec - (monotonic_ns() - c->start_ns),
		.comm = t->comm,
		.command = process_command(t->pid, facts->command, sizeof(facts->command)),
		.program = t->exe,
		.python_version = c->py ? c->py->version : NULL,
		.libc = capture_libc_text(c, facts->libc, sizeof(facts->libc)),
		.container = process_container(t->pid, facts->container) ? facts->container : NULL,
		.host = facts->host,
		.mode = trace_mode_key(c->pools_mode ? TRACE_MODE_POOLS : TRACE_MODE_EXACT),
		.sampling = "none",
		.cgroup_limit_bytes = process_memory_limit(t->pid),
		.frames = c->opts->frames,
		.every_s = every_s,
		.domains = {c->py, c->libc},
		.threads = c->opts->threads,
	};
	if (!*meta->libc)
		meta->libc = NULL;
	if (!*meta->command)
		meta->command = NULL;
}

void capture_warn_cost(const struct capture *c, const struct snapshot *s, bool *said)
{
	/* In the other modes the governor has taken the probes away. */
	if (*said || c->opts->mode != MODE_EXACT || c->opts->overhead_given ||
	    s->slowdown_ratio <= c->opts->overhead ||
	    s->cost_cpu_ratio <= c->opts->overhead * LEDGER_IDLE_SHARE)
		return;
	*said = true;
	log_coded_warn("W140",
		       command_with("--mode", alloc_facts(c->alloc).has_pools ? "pools" : "auto"),
		       "tracing slows the target %s %.0f%%, more than the budget of %.3g%%, which "
		       "--mode exact does not hold unless --overhead is given",
		       s->slowdown_ratio >= SNAP_SLOWDOWN_MAX ? "by more than" : "about",
		       s->slowdown_ratio * 100, c->opts->overhead * 100);
}
