/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/governor.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/forks.h"
#include "target/proc_fs.h"
#include "target/process_cpu.h"
#include "target/target_task.h"
#include "trace/trap_cost.h"

#define LOOK_MS	     25
#define LOOK_AWAY_MS 100 /* while nothing is live */

struct governor {
	struct governor_opts opts;
	pthread_t thread;
	pthread_mutex_t lock; /* everything below */
	pthread_cond_t wake;  /* stop */
	bool threaded, stop;
	struct ledger ledger;
	struct ledger rest; /* while malloc's probes are away: the account of the others */
	double trap_ns;
	struct governor_state state;

	/* State at the last look; used only by the thread that looks. */
	struct tm_cpu_stats stats;
	uint64_t cpu_ns, forks;
	int64_t look_ns;
	double span_objects_ns;
};

/* ---- one look ---- */

static double objects_cost(const struct tm_cpu_stats *before, const struct tm_cpu_stats *now,
			   double trap_ns)
{
	struct tm_cpu_stats only = *now;

	only.idle = before->idle;
	only.hits[TM_PROG_MALLOC] = before->hits[TM_PROG_MALLOC];
	only.hits[TM_PROG_FREE] = before->hits[TM_PROG_FREE];
	return trap_cost_ns(before, &only, trap_ns);
}

/* Changes since the last look. Returns: false when the counters cannot be read. */
static bool read_span(struct governor *g, struct ledger_span *span)
{
	struct tm_cpu_stats now;
	int64_t now_ns = monotonic_ns();
	uint64_t cpu_ns;

	if (bpf_session_stats(g->opts.session, &now))
		return false;
	cpu_ns = process_cpu_ns(g->opts.target->pid);
	*span = (struct ledger_span){
		.wall_ns = (double)(now_ns - g->look_ns),
		.cpu_ns = cpu_ns > g->cpu_ns ? (double)(cpu_ns - g->cpu_ns) : 0,
		.cost_ns = trap_cost_ns(&g->stats, &now, g->trap_ns),
	};
	g->span_objects_ns = objects_cost(&g->stats, &now, g->trap_ns);
	g->stats = now;
	g->look_ns = now_ns;
	g->cpu_ns = cpu_ns > g->cpu_ns ? cpu_ns : g->cpu_ns;
	return true;
}

/* Take the breakpoints out of children that copied them. What they used until then is the most they paid. */
static double clean_children(struct governor *g)
{
	uint64_t forks = forks_count(g->opts.session);
	double ns = 0;

	if (forks == g->forks)
		return 0;
	/*
	 * A link belongs to the memory of the main thread: when that has ended, a sweep would take the target's
	 * own breakpoints, too.
	 */
	if (g->state.away != PROBE_PART_ALL && !target_main_thread_ended(g->opts.target)) {
		pthread_mutex_unlock(&g->lock);
		(void)probes_sweep_children(g->opts.probes);
		pthread_mutex_lock(&g->lock);
	}
	ns = (double)forks_settle(g->opts.session);
	g->state.children += forks - g->forks;
	g->state.children_ns += ns;
	g->forks = forks;
	return ns;
}

static void add_span(struct governor *g, struct ledger_span span)
{
	ledger_add(&g->ledger, &span);
	span.other_ns = 0;
	span.cost_ns = g->span_objects_ns;
	if (g->state.away == PROBE_PART_MALLOC)
		ledger_add(&g->rest, &span);
}

/* Returns: the parts to take away now, 0 when all is well. */
static unsigned parts_to_take(const struct governor *g, const struct ledger_span *span)
{
	struct ledger_span objects = *span;

	if (g->opts.only_count)
		return 0;
	if (g->state.away == PROBE_PART_MALLOC)
		return ledger_overspent(&g->rest) ? PROBE_PART_ALL : 0;
	if (!ledger_overspent(&g->ledger))
		return 0;
	/* Without malloc's probes the CPU time would have been less by their cost. */
	objects.cpu_ns -= span->cost_ns - g->span_objects_ns;
	objects.cost_ns = g->span_objects_ns;
	return g->opts.malloc_first && ledger_affords(g->opts.overhead, &objects)
		       ? PROBE_PART_MALLOC
		       : PROBE_PART_ALL;
}

/* The lock is not held while the kernel waits out a grace period. */
static void take_away(struct governor *g, unsigned parts)
{
	bool first = !g->state.away;
	struct ledger_span span;

	if (first)
		ledger_leaving(&g->ledger);
	g->state.leaving = true;
	pthread_mutex_unlock(&g->lock);
	probes_take_away(g->opts.probes, parts);
	pthread_mutex_lock(&g->lock);
	g->state.leaving = false;
	if (read_span(g, &span))
		add_span(g, span);
	if (first)
		ledger_gone(&g->ledger, g->look_ns);
	if (parts == PROBE_PART_MALLOC)
		ledger_init(&g->rest, g->opts.overhead, g->look_ns);
	g->state.away = parts;
	g->state.departures++;
	g->state.gone_ns = g->look_ns;
	g->state.slower = ledger_slower(g->ledger.live_cost_ns, g->ledger.live_cpu_ns);
}

/* strace stops at system calls, not at breakpoints. */
static bool has_debugger(const struct governor *g)
{
	pid_t tracer = target_tracer(g->opts.target, true);
	struct proc_stat st;

	return tracer && (proc_stat_read(tracer, &st) || strcmp(st.comm, "strace") != 0);
}

static void look_once(struct governor *g)
{
	struct ledger_span span;
	double children_ns = clean_children(g);
	unsigned parts;

	if (!read_span(g, &span))
		return;
	span.other_ns = children_ns;
	add_span(g, span);
	parts = parts_to_take(g, &span);
	g->state.held_by_debugger = parts && has_debugger(g);
	if (parts && !g->state.held_by_debugger)
		take_away(g, parts);
}

/* ---- the thread ---- */

/* A target that keeps all CPUs busy must not keep us from helping it. */
static void raise_priority(void)
{
	const struct sched_param param = {.sched_priority = 1};

	if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &param))
		(void)setpriority(PRIO_PROCESS, (id_t)gettid(), -20);
}

static void *look_thread(void *arg)
{
	struct governor *g = arg;
	struct timespec until;

	raise_priority();
	pthread_mutex_lock(&g->lock);
	while (!g->stop) {
		int64_t at = monotonic_ns() +
			     (g->state.away == PROBE_PART_ALL ? LOOK_AWAY_MS : LOOK_MS) * 1000000LL;

		until = (struct timespec){.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
		pthread_cond_timedwait(&g->wake, &g->lock, &until);
		if (!g->stop)
			look_once(g);
	}
	pthread_mutex_unlock(&g->lock);
	return NULL;
}

static int start_thread(struct governor *g)
{
	sigset_t all, before;
	int err;

	sigfillset(&all);
	/* Signals are for the main thread. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = -pthread_create(&g->thread, NULL, look_thread, g);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	g->threaded = !err;
	return err;
}

static void init_locks(struct governor *g)
{
	pthread_mutexattr_t mutex;
	pthread_condattr_t cond;

	pthread_mutexattr_init(&mutex);
	/* The main thread, which may starve, holds it now and then. */
	pthread_mutexattr_setprotocol(&mutex, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&g->lock, &mutex);
	pthread_mutexattr_destroy(&mutex);
	pthread_condattr_init(&cond);
	pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
	pthread_cond_init(&g->wake, &cond);
	pthread_condattr_destroy(&cond);
}

int governor_start(const struct governor_opts *opts, struct governor **out)
{
	struct governor *g = calloc(1, sizeof(*g));
	int err = g ? 0 : -ENOMEM;

	if (err)
		return err;
	g->opts = *opts;
	g->trap_ns = opts->trap_ns;
	if (opts->trap_ns < 0) {
		g->trap_ns = 0;
		g->opts.only_count = true;
	}
	g->look_ns = monotonic_ns();
	g->cpu_ns = process_cpu_ns(opts->target->pid);
	g->forks = 0;
	ledger_init(&g->ledger, opts->overhead, g->look_ns);
	init_locks(g);
	err = bpf_session_stats(opts->session, &g->stats);
	if (!err && opts->session->multi)
		err = start_thread(g);
	if (err) {
		governor_stop(g);
		return err;
	}
	*out = g;
	return 0;
}

void governor_stop(struct governor *g)
{
	if (!g)
		return;
	if (g->threaded) {
		pthread_mutex_lock(&g->lock);
		g->stop = true;
		pthread_cond_signal(&g->wake);
		pthread_mutex_unlock(&g->lock);
		pthread_join(g->thread, NULL);
	}
	pthread_cond_destroy(&g->wake);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

/* ---- the main thread ---- */

void governor_get(struct governor *g, struct governor_state *out)
{
	pthread_mutex_lock(&g->lock);
	*out = g->state;
	out->has_room = g->state.away && ledger_has_room(&g->ledger, monotonic_ns());
	pthread_mutex_unlock(&g->lock);
}

void governor_poll(struct governor *g)
{
	if (g->threaded)
		return;
	pthread_mutex_lock(&g->lock);
	look_once(g);
	pthread_mutex_unlock(&g->lock);
}

void governor_set_trap(struct governor *g, double trap_ns)
{
	pthread_mutex_lock(&g->lock);
	g->trap_ns = trap_ns;
	pthread_mutex_unlock(&g->lock);
}

void governor_back(struct governor *g)
{
	pthread_mutex_lock(&g->lock);
	(void)probes_readmit(g->opts.probes);
	ledger_back(&g->ledger, monotonic_ns());
	g->state.away = 0;
	pthread_mutex_unlock(&g->lock);
}
