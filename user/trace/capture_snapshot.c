// SPDX-License-Identifier: GPL-2.0-or-later
/* Drained totals + resolved stacks -> snapshot. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "target/proc_fs.h"
#include "trace/capture.h"
#include "trace/target_end.h"

#define FULL_EVERY_NS  60000000000LL /* search for pools nobody told us of */
#define REFRESH_SHARE  50	     /* a refresh may take 1/50 of the time */
#define REFRESH_MIN_NS 1000000000LL

/* The first time that a stack found no room. */
static void warn_stacks_full(const struct capture *c)
{
	char stacks[24];

	if (!c->stats_at_drain.drops[TM_DROP_STACK_TABLE] || !log_ratelimit(1))
		return;
	snprintf(stacks, sizeof(stacks), "%llu", (unsigned long long)c->session->stacks_max * 4);
	log_coded_warn("W106", command_with("--stacks", stacks),
		       "the stack table is full: blocks of stacks that are not among its %llu have "
		       "no line and count as <lost>",
		       (unsigned long long)bpf_session_stacks_used(c->session));
}

static int drain_now(struct capture *c, bool full)
{
	int64_t now = monotonic_ns();
	int err;

	/* After an exec the same addresses hold another program's heap. */
	if (target_end_now(c->target, c->session).state != TARGET_RUNS)
		return -ESRCH;
	err = drain_read(c->drain, full, c->learn ? learn_epoch(c->learn) : 0, &c->result);
	c->last_drain_ns = now;
	if (err)
		return err;
	c->good_drain_ns = now;
	c->unread_at_drain = stack_cache_unresolved(c->stacks);
	err = bpf_session_stats(c->session, &c->stats_at_drain);
	if (err)
		return log_err(err, "cannot read the counters of losses");
	warn_stacks_full(c);
	if (full)
		c->last_full_ns = now;
	return 0;
}

int capture_refresh(struct capture *c)
{
	int64_t since = monotonic_ns() - c->last_drain_ns;

	if (since < REFRESH_MIN_NS ||
	    (c->result && since < (int64_t)c->result->duration_ns * REFRESH_SHARE))
		return 0;
	return drain_now(c, false);
}

/* "worker-3 (4711)"; a thread that is gone is a number only. */
static str_id_t thread_name(struct capture *c, uint32_t tid)
{
	char path[64], name[32] = "", text[64];
	str_id_t id = {0};
	struct buf comm = {0};

	snprintf(path, sizeof(path), "task/%u/comm", tid);
	if (proc_read(c->target->pid, path, &comm) == 0 && comm.len)
		snprintf(name, sizeof(name), "%.*s ", (int)(comm.len < 16 ? comm.len - 1 : 15),
			 comm.data);
	buf_release(&comm);
	snprintf(text, sizeof(text), "%s(%u)", name, tid);
	return intern_str(c->strings, text, &id) ? (str_id_t){0} : id;
}

/* What the stack that was just added has allocated, and who ran it. */
static void add_history(struct capture *c, struct snapshot *s, uint32_t id, uint32_t tid)
{
	struct snap_stack *stack = &s->stacks[s->stack_count - 1];
	const struct tm_stack_allocs *a = bpf_session_allocs(c->session, id);

	if (!a)
		return;
	stack->alloc_blocks = __atomic_load_n(&a->blocks, __ATOMIC_RELAXED);
	stack->alloc_bytes = __atomic_load_n(&a->bytes, __ATOMIC_RELAXED);
	if (c->opts->threads && tid)
		stack->thread = thread_name(c, tid);
}

static int add_frames(struct capture *c, struct snapshot *s, uint32_t id,
		      const struct stack_total *t, uint32_t *tid)
{
	struct snap_frame frames[TM_FRAMES_WALK + 1];
	struct stack_info info;

	if (id == TM_STACK_UNKNOWN)
		return snapshot_add(s, SNAP_PYTHON, NULL, 0, false, t->bytes, t->blocks);
	info = stack_cache_get(c->stacks, id);
	if (!info.known) {
		frames[0] = (struct snap_frame){0};
		if (intern_str(c->strings, id == TM_STACK_GONE ? "<gone>" : "<lost>",
			       &frames[0].file))
			return -ENOMEM;
		return snapshot_add(s, SNAP_PYTHON, frames, 1, true, t->bytes, t->blocks);
	}
	*tid = info.tid;
	for (size_t i = 0; i < info.frame_count; i++)
		frames[i] = (struct snap_frame){.file = info.frames[i].file,
						.function = info.frames[i].function,
						.line = info.frames[i].line};
	return snapshot_add(s, info.domain == TM_DOMAIN_NATIVE ? SNAP_NATIVE : SNAP_PYTHON, frames,
			    info.frame_count, info.truncated, t->bytes, t->blocks);
}

static int add_stack(struct capture *c, struct snapshot *s, uint32_t id,
		     const struct stack_total *t)
{
	uint32_t tid = 0;
	int err = add_frames(c, s, id, t, &tid);

	if (!err)
		add_history(c, s, id, tid);
	return err;
}

/* Stacks whose blocks have all been freed again, for those who ask what was allocated. */
static int add_freed(struct capture *c, struct snapshot *s)
{
	static const struct stack_total nothing;

	for (uint32_t id = TM_STACK_LOST; id < bpf_session_stack_ids(c->session); id++) {
		const struct tm_stack_allocs *a = bpf_session_allocs(c->session, id);
		bool live =
			c->result && id < c->result->stack_cap && c->result->by_stack[id].blocks;

		if (live || !a || !__atomic_load_n(&a->blocks, __ATOMIC_RELAXED))
			continue;
		int err = add_stack(c, s, id, &nothing);

		if (err)
			return err;
	}
	return 0;
}

/* Traps x calibrated cost + the programs' own time, sampled. */
static void fill_cost(const struct capture *c, struct snapshot *s, double seconds)
{
	double ns = 0;

	s->cost_cpu_ratio = -1;
	for (int k = 0; k < TM_PROG_COUNT; k++) {
		uint64_t hits = c->stats.hits[k] - c->stats_before.hits[k];

		s->events += hits;
		if (c->stats.timed[k])
			ns += (double)hits * (double)c->stats.timed_ns[k] /
			      (double)c->stats.timed[k];
	}
	if (c->trap_ns < 0 || seconds <= 0)
		return;
	s->cost_cpu_ratio = (ns + (double)s->events * c->trap_ns) / (seconds * 1e9);
	/* The trap was measured with a hot cache, in a loop of nothing else. */
	s->cost_uncertainty = c->trap_spread + 0.2;
}

static void fill_coverage(const struct capture *c, struct snapshot *s)
{
	const struct drain_result *r = c->result;

	if (!r || !r->coverage_known)
		return;
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){
		.known = true,
		.recorded = r->recorded_small,
		.missed = r->missed_small,
		.moving = r->moving_pools,
	};
}

static int fill_head(struct capture *c, struct snapshot *s, bool gone)
{
	int64_t now = monotonic_ns();
	struct timespec ts;
	int err;

	clock_gettime(CLOCK_REALTIME, &ts);
	s->time_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	s->elapsed_s = (double)(now - c->start_ns) / 1e9;
	s->seq = ++c->seq;
	s->mode = c->pools_mode ? "pools" : "exact";
	(void)target_rss(c->target, &s->rss_bytes);
	err = bpf_session_stats(c->session, &c->stats);
	if (err)
		return log_err(err, "cannot read the counters of losses");
	/* Losses between the last drain and the end (or of the next program) are not of these numbers. */
	memcpy(s->drops, gone ? c->stats_at_drain.drops : c->stats.drops, sizeof(s->drops));
	s->drain_s = c->result ? (double)c->result->duration_ns / 1e9 : 0;
	s->drops[TM_DROP_CODE_UNREAD] +=
		gone ? c->unread_at_drain : stack_cache_unresolved(c->stacks);
	s->drops[TM_DROP_MOVING] += c->result ? c->result->moving_pools : 0;
	fill_cost(c, s, (double)(now - c->last_snapshot_ns) / 1e9);
	c->stats_before = c->stats;
	c->last_snapshot_ns = now;
	return 0;
}

/* The heap cannot be read any more: the last drain counts, and the reader must know how old it is. */
static int say_target_ended(const struct capture *c)
{
	if (!c->good_drain_ns)
		return log_coded_err(-ESRCH, "E301", NULL,
				     "process %d ended before anything was measured",
				     (int)c->target->pid);
	log_coded_warn("W150", NULL, "process %d %s: the last numbers are %.1f s old",
		       (int)c->target->pid,
		       target_end_now(c->target, c->session).state == TARGET_EXECED
			       ? "runs another program now"
			       : "has ended",
		       (double)(monotonic_ns() - c->good_drain_ns) / 1e9);
	return 0;
}

int capture_snapshot(struct capture *c, bool final, struct snapshot **out)
{
	_cleanup_(snapshot_freep) struct snapshot *s = snapshot_new(c->strings);
	bool full = !c->last_full_ns || final || monotonic_ns() - c->last_full_ns > FULL_EVERY_NS;
	bool gone;
	int err;

	if (!s)
		return -ENOMEM;
	err = capture_step(c);
	if (!err)
		err = drain_now(c, full);
	gone = err == -ESRCH;
	if (gone)
		err = say_target_ended(c);
	if (err)
		return err;
	/* Stacks that came in while the heap was read. */
	(void)capture_step(c);
	for (size_t i = 0; c->result && i < c->result->id_count; i++) {
		uint32_t id = c->result->ids[i];

		err = add_stack(c, s, id, &c->result->by_stack[id]);
		if (err)
			return err;
	}
	err = c->keep_freed ? add_freed(c, s) : 0;
	if (!err)
		err = fill_head(c, s, gone);
	fill_coverage(c, s);
	if (err)
		return err;
	*out = take_ptr(s);
	return 0;
}
