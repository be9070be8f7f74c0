// SPDX-License-Identifier: GPL-2.0-or-later
/* Drained totals + resolved stacks -> snapshot. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "base/units.h"
#include "target/proc_fs.h"
#include "target/process_cpu.h"
#include "trace/capture.h"
#include "trace/target_end.h"
#include "trace/trap_cost.h"

#define CANCEL_STACKS  64	     /* between two looks at the cancel */
#define FULL_EVERY_NS  60000000000LL /* search for pools that no probe reported */
#define REFRESH_SHARE  50	     /* a refresh may take 1/50 of the time */
#define REFRESH_MIN_NS 1000000000LL
#define REFRESH_GROWTH 200 /* near a limit: when it has grown by 1/200 since the last read */

/* How long a process may take to end after it has lost its memory. */
#define EXIT_LOOKS   100 /* 3 s; the end is known much sooner */
#define EXIT_LOOK_MS 30
#define OOM_KILL_NS  3000000000LL /* from the choice of a victim to its end */

/* Limited in time, because a process may be chosen for another's sake and survive. */
static bool is_oom_victim(const struct capture *c)
{
	struct tm_proc_state p = bpf_session_process(c->session);

	return p.oom_ns && monotonic_ns() - (int64_t)p.oom_ns < OOM_KILL_NS;
}

bool capture_ended(struct capture *c)
{
	struct target_end end = c->end;

	if (end.state != TARGET_RUNS)
		return true;
	end = target_end_now(c->target, c->session);
	/*
	 * A process that ends has no image for a moment before the kernel tells how it ended, and one that the
	 * out-of-memory killer has chosen takes a moment to end: look again.
	 */
	for (int i = 0; i < EXIT_LOOKS && !end.ns; i++) {
		if (end.state == TARGET_RUNS && !is_oom_victim(c))
			break;
		(void)poll(NULL, 0, EXIT_LOOK_MS);
		end = target_end_now(c->target, c->session);
	}
	c->end = end;
	return end.state != TARGET_RUNS;
}

/* Memory that is being taken away reads as pools that are gone: such a read is not to be used. */
static bool memory_is_leaving(const struct capture *c)
{
	struct tm_proc_state p = bpf_session_process(c->session);

	return p.exit_ns || p.exec_ns || is_oom_victim(c);
}

static bool drain_is_void(void *ctx)
{
	const struct capture *c = ctx;

	return cancel_asked(c->cancel) || memory_is_leaving(c);
}

void capture_set_cancel(struct capture *c, const struct cancel *cancel)
{
	c->cancel = cancel;
	drain_set_cancel(c->drain, (struct cancel){.asked = drain_is_void, .ctx = c});
	stack_cache_set_cancel(c->stacks, cancel);
}

/* The first time that a stack found no room. */
static void warn_stacks_full(const struct capture *c)
{
	char wanted[24];

	if (!c->stats_at_drain.drops[TM_DROP_STACK_TABLE] || !log_ratelimit(1))
		return;
	snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long)c->session->stacks_max * 4);
	log_coded_warn("W106", command_with("--stacks", wanted),
		       "the stack table is full: blocks of stacks that are not among its %llu have "
		       "no line and count as <lost>",
		       (unsigned long long)bpf_session_stacks_used(c->session));
}

/*
 * A main thread on its way out has no memory any more and does not look dead yet, while other threads run on: a
 * moment later one of them is read instead (target_task_next()).
 */
static int read_living(struct capture *c, bool full)
{
	uint32_t epoch = c->learn ? learn_epoch(c->learn) : 0;
	int err = drain_read(c->drain, full, epoch, &c->result);

	for (int i = 0; err == -ESRCH && i < EXIT_LOOKS && !capture_ended(c); i++) {
		(void)poll(NULL, 0, EXIT_LOOK_MS);
		err = drain_read(c->drain, full, epoch, &c->result);
	}
	return err;
}

int capture_drain(struct capture *c, bool full)
{
	int64_t now = monotonic_ns();
	int err;

	/* After an exec the same addresses hold another program's heap. */
	if (capture_ended(c))
		return -ESRCH;
	/* While nothing is recorded, what dies must not come back as the next owner of its address. */
	if (c->away == PROBE_PART_ALL && !c->pools_mode)
		drain_forget_dead(c->drain);
	err = read_living(c, full);
	c->last_drain_ns = now;
	if (err == -ECANCELED && memory_is_leaving(c) && capture_ended(c))
		return -ESRCH;
	if (err)
		return err;
	log_debug("drain: %.1f ms, %s", (double)c->result->duration_ns / 1e6,
		  c->near_limit ? "near the limit" : "not near a limit");
	c->good_drain_ns = now;
	c->unread_at_drain = stack_cache_unresolved(c->stacks);
	(void)target_rss(c->target, &c->rss_at_drain);
	err = bpf_session_stats(c->session, &c->stats_at_drain);
	if (err)
		return log_err(err, "cannot read the counters of losses");
	warn_stacks_full(c);
	if (full)
		c->last_full_ns = now;
	return 0;
}

/*
 * Limit the age by growth instead of time near the limit, where the process may end at any moment.
 */
static bool refresh_is_due(struct capture *c, int64_t since)
{
	uint64_t rss = 0;

	c->near_limit = memory_group_is_near_limit(&c->memory_group);
	if (!c->near_limit)
		return since >= REFRESH_MIN_NS &&
		       (!c->result || since >= (int64_t)c->result->duration_ns * REFRESH_SHARE);
	(void)target_rss(c->target, &rss);
	return rss > c->rss_at_drain + c->rss_at_drain / REFRESH_GROWTH &&
	       (!c->result || since >= (int64_t)c->result->duration_ns);
}

int capture_refresh(struct capture *c)
{
	return refresh_is_due(c, monotonic_ns() - c->last_drain_ns) ? capture_drain(c, false) : 0;
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

/* Allocations and thread of the stack that was just added. */
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
	struct stack_total shown = *t;
	uint64_t unfollowed = unfollowed_apply(&c->unfollowed, id, &shown);
	uint32_t tid = 0;
	int err = add_frames(c, s, id, &shown, &tid);

	if (err)
		return err;
	s->stacks[s->stack_count - 1].unfollowed_bytes = unfollowed;
	add_history(c, s, id, tid);
	return 0;
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
		if (id % CANCEL_STACKS == 0 && cancel_asked(c->cancel))
			return -ECANCELED;
	}
	return 0;
}

/* Cost of copied breakpoints to children since the last snapshot. */
static double new_children_ns(struct capture *c)
{
	struct governor_state state = {0};
	double before = c->children_ns;

	if (!c->governor)
		return 0;
	governor_get(c->governor, &state);
	c->children_ns = state.children_ns;
	return c->children_ns - before;
}

/* Traps x calibrated cost + the programs' own time, sampled. */
static void fill_cost(struct capture *c, struct snapshot *s, double seconds)
{
	uint64_t cpu_ns = process_cpu_ns(c->target->pid), used_ns = 0;
	double ns, children_ns;

	s->cost_cpu_ratio = s->slowdown_ratio = -1;
	s->events = trap_count(&c->stats_before, &c->stats);
	if (cpu_ns > c->cpu_ns)
		used_ns = cpu_ns - c->cpu_ns;
	if (c->trap_ns < 0 || seconds <= 0)
		return;
	children_ns = new_children_ns(c);
	ns = trap_cost_ns(&c->stats_before, &c->stats, c->trap_ns) + children_ns;
	s->cost_cpu_ratio = ns / (seconds * 1e9);
	s->slowdown_ratio = ns > 0 ? ledger_slower(ns, (double)used_ns + children_ns) : 0;
	/* The trap was measured with a hot cache, in a loop of nothing else. */
	s->cost_uncertainty = c->trap_spread + 0.2;
	c->cpu_ns += used_ns;
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

/* When the numbers were read; the target's end when they are of then. */
static void fill_time(struct capture *c, struct snapshot *s, bool gone)
{
	int64_t now = monotonic_ns(), at = now;
	struct timespec ts;

	if (gone)
		at = c->end_age_s > 0 || !c->end.ns ? c->good_drain_ns : c->end.ns;
	/* Time rises from snapshot to snapshot. */
	if (at <= c->last_time_ns)
		at = c->last_time_ns + 1000000;
	c->last_time_ns = at;
	clock_gettime(CLOCK_REALTIME, &ts);
	s->time_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec - (now - at);
	s->elapsed_s = (double)(at - c->start_ns) / 1e9;
}

static int fill_head(struct capture *c, struct snapshot *s, bool gone)
{
	int64_t now = monotonic_ns();
	int err;

	fill_time(c, s, gone);
	s->seq = ++c->seq;
	s->mode = trace_mode_key(c->pools_mode ? TRACE_MODE_POOLS : TRACE_MODE_EXACT);
	s->rss_bytes = c->rss_at_drain;
	err = bpf_session_stats(c->session, &c->stats);
	if (err)
		return log_err(err, "cannot read the counters of losses");
	/* Losses between the last drain and the end (or of the next program) are not of these numbers. */
	memcpy(s->drops, gone ? c->stats_at_drain.drops : c->stats.drops, sizeof(s->drops));
	s->drain_s = c->result ? (double)c->result->duration_ns / 1e9 : 0;
	s->drops[TM_DROP_CODE_UNREAD] +=
		gone ? c->unread_at_drain : stack_cache_unresolved(c->stacks);
	s->drops[TM_DROP_NAME_LIMIT] += stack_cache_limited(c->stacks);
	s->drops[TM_DROP_MOVING] += c->result ? c->result->moving_pools : 0;
	s->gap = c->unfollowed.gap;
	fill_cost(c, s, (double)(now - c->last_snapshot_ns) / 1e9);
	c->stats_before = c->stats;
	c->last_snapshot_ns = now;
	return 0;
}

static void warn_ended(const struct capture *c)
{
	struct trace_end end = {.reason = target_end_reason(&c->end),
				.code_known = c->end.state != TARGET_ENDED,
				.code = c->end.code};
	char how[96], late[UNITS_LEN];

	trace_end_text(&end, how, sizeof(how));
	units_format_size(late, (int64_t)c->late_bytes, false);
	if (c->late_bytes)
		log_coded_warn(
			"W150", NULL,
			"process %d %s: small objects were read %.1f s before the end; %s that "
			"were handed out since are counted as if all were kept",
			(int)c->target->pid, how, c->end_age_s, late);
	else if (c->end_is_fresh && c->end_age_s > 0)
		log_coded_warn(
			"W150", NULL,
			"process %d %s: small objects are as of %.1f s before the end, blocks "
			"of malloc as of the end",
			(int)c->target->pid, how, c->end_age_s);
	else
		log_coded_warn("W150", NULL,
			       "process %d %s: the numbers are as of %.1f s before the end",
			       (int)c->target->pid, how, c->end_age_s);
}

/*
 * The heap cannot be read any more: the last drain counts, and the reader must know how old it is. What malloc
 * served is in tables of ours: unless the process tidied up first, they are as they were at the end.
 */
static int read_ended(struct capture *c)
{
	int64_t end_ns = c->end.ns ? c->end.ns : monotonic_ns();
	bool tables = c->end.state != TARGET_EXITED && c->end.state != TARGET_ENDED;
	bool late = c->end.state == TARGET_OOM;
	struct drain_ended ended;

	if (tables && !drain_read_ended(c->drain, late, &ended) &&
	    (!ended.has_heap || c->good_drain_ns)) {
		c->result = ended.result;
		c->end_is_fresh = true;
		c->late_bytes = ended.late_bytes;
		c->end_age_s = ended.has_heap ? (double)(end_ns - c->good_drain_ns) / 1e9 : 0;
	} else if (c->good_drain_ns) {
		c->end_age_s = (double)(end_ns - c->good_drain_ns) / 1e9;
	} else {
		return log_coded_err(-ESRCH, "E301", NULL,
				     "process %d ended before anything was measured",
				     (int)c->target->pid);
	}
	if (c->end_age_s < 0)
		c->end_age_s = 0;
	warn_ended(c);
	return 0;
}

static int add_stacks(struct capture *c, struct snapshot *s)
{
	if (c->result)
		unfollowed_restart(&c->unfollowed, c->result);
	for (size_t i = 0; c->result && i < c->result->id_count; i++) {
		uint32_t id = c->result->ids[i];
		int err = add_stack(c, s, id, &c->result->by_stack[id]);

		if (err)
			return err;
		if (i % CANCEL_STACKS == 0 && cancel_asked(c->cancel))
			return -ECANCELED;
	}
	return c->keep_freed ? add_freed(c, s) : 0;
}

static int build_snapshot(struct capture *c, bool gone, struct snapshot **out)
{
	_cleanup_(snapshot_freep) struct snapshot *s = snapshot_new(c->strings);
	int err = s ? add_stacks(c, s) : -ENOMEM;

	if (!err)
		err = fill_head(c, s, gone);
	if (err)
		return err;
	fill_coverage(c, s);
	c->result_used_ns = c->good_drain_ns;
	*out = take_ptr(s);
	return 0;
}

int capture_snapshot(struct capture *c, bool final, struct snapshot **out)
{
	/* No probe tells of the pools that are opened while it is away. */
	bool full = c->away || !c->last_full_ns || final ||
		    monotonic_ns() - c->last_full_ns > FULL_EVERY_NS;
	int err = capture_step(c);
	bool gone;

	*out = NULL;
	if (!err)
		err = capture_drain(c, full);
	gone = err == -ESRCH;
	if (gone)
		err = read_ended(c);
	if (err)
		return err;
	if (gone && !c->end_is_fresh && c->result_used_ns == c->good_drain_ns)
		return 0;
	/* Stacks that came in while the heap was read. */
	(void)capture_step(c);
	return build_snapshot(c, gone, out);
}

int capture_snapshot_of_last(struct capture *c, struct snapshot **out)
{
	const struct cancel *cancel = c->cancel;
	int err;

	*out = NULL;
	if (!c->good_drain_ns)
		return -ECANCELED;
	c->cancel = NULL; /* it has been asked, and this is short */
	err = build_snapshot(c, true,
			     out); /* the time and losses are those of that read, not of now */
	c->cancel = cancel;
	return err;
}
