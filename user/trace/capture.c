// SPDX-License-Identifier: GPL-2.0-or-later
/* From pid to live probes, and back. */
#include "trace/capture.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/process_setup.h"
#include "probe/forks.h"
#include "probe/uprobe_link.h"
#include "target/process_cpu.h"
#include "target/target_task.h"
#include "trace/capture_pause.h"
#include "trace/site_guard.h"

#define OPEN_FILES_MIN 64 /* maps, links, files of the target */

#define LATER_LOOK_NS  300000000LL /* between two looks for an interpreter that comes late */

static int on_record(void *ctx, void *data, size_t len)
{
	const struct tm_rec_hdr *hdr = data;
	struct capture *c = ctx;
	int err;

	if (len >= sizeof(*hdr) && hdr->type == TM_REC_PROCESS) /* it only wakes us up */
		return 0;
	err = stack_cache_feed(c->stacks, data, len);
	/* Skip a record that cannot be read, because it must not stop later ones. */
	if (err == -EBADMSG && log_ratelimit(3))
		log_err(err, "unreadable ring record");
	return err == -ENOMEM ? err : 0;
}

static int consume_ring(void *ctx)
{
	struct capture *c = ctx;
	int n = bpf_session_ring_consume(c->session);

	return n < 0 ? n : 0;
}

/* Facts about the target, for all later users. */
static int find_allocators(struct capture *c)
{
	bool perf_links = c->opts->perf_links || target_main_thread_ended(c->target);
	struct alloc_opts opts = {.few_probes = perf_links || !uprobe_multi_supported(),
				  .python = c->opts->python,
				  .native = c->opts->native,
				  .use_cache = c->opts->use_cache};
	int err = alloc_find(c->target, &opts, &c->alloc);

	if (err)
		return err;
	c->py = c->alloc->python.found ? &c->alloc->python.py : NULL;
	c->libc = c->alloc->libc.object ? &c->alloc->libc : NULL;
	return 0;
}

static int open_session(struct capture *c)
{
	struct session_opts so = {.frames = c->opts->frames,
				  .blocks = c->opts->blocks,
				  .stacks = c->opts->stacks,
				  .alloc = c->alloc,
				  .threads = c->opts->threads,
				  .perf_links = c->opts->perf_links ||
						target_main_thread_ended(c->target)};
	int err;

	(void)target_rss(c->target, &so.rss_bytes);
	err = bpf_session_open(c->target, &so, &c->session);
	if (err)
		return err;
	/* From here on the kernel tells of an exec; one that came before it would go unseen. */
	if (!target_same_image(c->target) && target_is_alive(c->target))
		return log_coded_err(-ESRCH, "E301", "try again",
				     "process %d started another program while tmbpf attached",
				     (int)c->target->pid);
	c->strings = intern_new();
	if (!c->strings)
		return -ENOMEM;
	err = stack_cache_new(c->target, c->py, c->strings, c->opts->frames, &c->stacks);
	if (!err)
		err = bpf_session_ring_open(c->session, on_record, c);
	if (err)
		return err;
	return probes_new(c->session, c->target, &c->alloc->probes, &c->probes);
}

static int start_learning(struct capture *c)
{
	_cleanup_free_ uint64_t *known = NULL;
	size_t count = 0;

	if (!alloc_facts(c->alloc).learns)
		return 0;
	if (c->opts->use_cache && learned_sites_load(c->py->object->image, &known, &count))
		count = 0;
	return learn_new(c->probes, c->session, &c->alloc->probes, known, count, &c->learn);
}

/* Start it before the costly probes, because the census of a large heap takes seconds. */
static int start_governor(struct capture *c)
{
	const struct options *o = c->opts;
	struct governor_opts opts = {
		.session = c->session,
		.probes = c->probes,
		.target = c->target,
		.overhead = o->overhead,
		.trap_ns = c->trap_ns,
		.only_count = (o->mode == MODE_EXACT && !o->overhead_given) || o->stop,
		.malloc_first = c->pools_mode,
	};

	return governor_start(&opts, &c->governor);
}

static int attach_all(struct capture *c)
{
	int err;

	c->trap_ns = -1;
	err = forks_watch(c->session);
	if (err)
		log_info("forks of the target are not seen: %s", strerror(-err));
	err = calibrate_trap(c->session, &c->trap_ns, &c->trap_spread);
	if (err)
		log_info("the cost of a trap could not be measured: %s", strerror(-err));
	err = trial_judge(c, &c->guard);
	if (err)
		return err;
	c->pools_mode = c->guard.pools;
	err = start_governor(c);
	if (err)
		return err;
	if (c->pools_mode)
		bpf_session_set_pools_mode(c->session, true,
					   alloc_facts(c->alloc).growth_min_bytes);
	else
		err = start_learning(c);
	if (!err)
		err = probes_set_role(c->probes, c->pools_mode ? PROBE_GROWTH : PROBE_EXACT);
	/*
	 * Start only now, so that no block is seen before all probes that follow it are attached.
	 */
	bpf_session_set_stop(c->session, c->opts->stop);
	return err;
}

static int open_all(struct capture *c)
{
	struct drain_opts drain = {0};
	int err;

	/* Reading the target takes some as well, and would fail for a reason that misleads. */
	if (process_open_files_max() && process_open_files_max() < OPEN_FILES_MIN)
		return bpf_session_few_files();
	err = target_open(c->opts->pid, &c->target);
	if (err)
		return err;
	err = find_allocators(c);
	if (err)
		return err;
	tracer_watch_look(c, true);
	err = site_guard_check(c);
	if (err)
		return err;
	err = open_session(c);
	if (err)
		return err;
	err = attach_all(c);
	if (err)
		return err;
	memory_group_find(c->target->pid, &c->memory_group);
	c->start_ns = c->last_snapshot_ns = monotonic_ns();
	c->cpu_ns = process_cpu_ns(c->target->pid);
	drain.pools_mode = c->pools_mode;
	err = drain_new(c->session, c->target, c->alloc, &drain, &c->drain);
	if (err)
		return err;
	err = drain_census(c->drain);
	if (err)
		return err;
	err = bpf_session_stats(c->session, &c->stats_before);
	return err;
}

int capture_open(const struct options *opts, struct capture *c)
{
	int err;

	memset(c, 0, sizeof(*c));
	c->opts = opts;
	err = open_all(c);
	if (!err)
		return 0;
	/* If the target exited, report that instead of the secondary error. */
	if ((c->target && !target_is_alive(c->target)) || (err == -ESRCH && !log_exit_status(0)))
		return log_coded_err(-ESRCH, "E301", NULL, "process %d ended while tmbpf attached",
				     (int)opts->pid);
	return err;
}

void capture_detach(struct capture *c)
{
	governor_stop(c->governor);
	c->governor = NULL;
	if (c->learn)
		learn_log(c->learn);
	tracer_watch_hold(c);
	probes_free(c->probes);
	c->probes = NULL;
	learn_free(c->learn); /* it moves probes */
	c->learn = NULL;
}

void capture_close(struct capture *c)
{
	capture_detach(c);
	drain_free(c->drain);
	unfollowed_release(&c->unfollowed);
	bpf_session_close(c->session);
	stack_cache_free(c->stacks);
	intern_free(c->strings);
	alloc_free(c->alloc);
	target_free(c->target);
	memset(c, 0, sizeof(*c));
}

bool capture_python_appeared(struct capture *c)
{
	int64_t now = monotonic_ns();

	if (now - c->python_look_ns < LATER_LOOK_NS)
		return false;
	c->python_look_ns = now;
	return interpreter_appeared(&c->alloc->python, c->target);
}

int capture_step(struct capture *c)
{
	bool changed = false;
	int err;

	(void)bpf_session_maintain(c->session);
	tracer_watch_look(c, false);
	err = consume_ring(c);
	if (!err)
		err = stack_cache_resolve(c->stacks, consume_ring, c);
	if (!err)
		err = capture_pause_step(c);
	if (!err && c->learn && !capture_is_paused(c))
		err = learn_step(c->learn, monotonic_ns(), &changed);
	if (changed && c->opts->use_cache) {
		size_t count;
		const uint64_t *list = learn_fresh_only(c->learn, &count);

		(void)learned_sites_save(c->py->object->image, list, count);
	}
	return err;
}
