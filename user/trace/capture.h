/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One capture of one process, from pid to snapshots: finds the sites, loads and attaches, drains,
 * resolves. Knows nothing of how it is shown.
 */
#ifndef TM_TRACE_CAPTURE_H
#define TM_TRACE_CAPTURE_H

#include "alloc/alloc.h"
#include "base/cancel.h"
#include "drain/drain.h"
#include "probe/calibrate.h"
#include "probe/learn.h"
#include "probe/probes.h"
#include "report/report.h"
#include "snapshot/trace_end.h"
#include "symbolize/stack_cache.h"
#include "target/memory_group.h"
#include "trace/governor.h"
#include "trace/options.h"
#include "trace/tracer_watch.h"
#include "trace/unfollowed.h"

struct guard_verdict {		   /* result of the trial window; input of the governor */
	bool pools;		   /* run in pools mode */
	bool measured;		   /* there was a trial */
	double trial_s;		   /* its length */
	double events_per_s;	   /* at pop sites and malloc */
	double projected_ratio;	   /* of one CPU; < 0 unknown */
	double projected_slowdown; /* as snapshot.h: slowdown_ratio */
	char reason[256];	   /* cause, for the header; "" = none */
};

struct capture {
	const struct options *opts;
	struct target *target;
	struct alloc_set *alloc;	/* its allocators */
	const struct python_target *py; /* of alloc; NULL: none, or not ready */
	const struct libc_target *libc; /* of alloc; NULL: no malloc to probe */
	int64_t python_look_ns;		/* when an interpreter was last looked for; monotonic */
	struct bpf_session *session;
	struct probes *probes;
	struct learn *learn; /* NULL without python or in pools mode */
	struct tracer_watch tracer;
	struct drain *drain;
	struct intern *strings;
	struct stack_cache *stacks;
	struct guard_verdict guard;
	struct governor *governor; /* NULL before the first probe */
	struct unfollowed unfollowed;
	unsigned away, departures; /* of the governor, as far as they are dealt with */
	bool children_reported, debugger_reported;
	double children_ns;			 /* of governor_state, at the last snapshot */
	uint64_t cpu_ns;			 /* of the target at the last snapshot */
	double trap_ns, trap_spread;		 /* trap_ns < 0: unknown */
	const struct drain_result *result;	 /* of the last drain; NULL before the first */
	struct tm_cpu_stats stats, stats_before; /* now, and at the last snapshot */
	int64_t start_ns, last_snapshot_ns, last_drain_ns, last_full_ns,
		good_drain_ns;		    /* monotonic */
	struct tm_cpu_stats stats_at_drain; /* of the last good drain */
	uint64_t unread_at_drain;	    /* code objects that could not be read, then */
	uint64_t rss_at_drain;		    /* bytes, of the last good drain */
	int64_t result_used_ns;		    /* good_drain_ns of the last snapshot */
	int64_t last_time_ns;		    /* monotonic, of the last snapshot */
	const struct cancel *cancel;	    /* borrowed; NULL: never */
	struct memory_group memory_group;   /* whose limit ends it */
	bool near_limit;		    /* it may end any moment */
	struct target_end end;		    /* TARGET_RUNS until capture_ended() */
	double end_age_s;		    /* numbers at the end: so much older than that */
	bool end_is_fresh;		    /* malloc's blocks are those of the end */
	uint64_t late_bytes;		    /* of small objects, counted as kept (late_blocks.h) */
	uint32_t seq;
	bool pools_mode;
	bool keep_freed; /* snapshots also have the stacks that hold nothing any more; set after opening */
};

/** Attach. Errors are logged and coded. On return everything is live. Returns: 0, -errno. */
int capture_open(const struct options *opts, struct capture *c);
/** Detach and free; fine at every stage of opening. */
void capture_close(struct capture *c);
/** The target is free again, before the last words are written; nothing new is recorded. */
void capture_detach(struct capture *c);

/* Periodic work, every 100 ms: storage, ring, names, learning. Returns: 0, -errno. */
int capture_step(struct capture *c);
/**
 * Has an interpreter appeared, or become ready, in a target that had none, or started again with other thread
 * data? Then the capture must be closed and opened again. Cheap: looks once in a while.
 */
bool capture_python_appeared(struct capture *c);
/** For all work that takes long; borrowed until capture_close(). */
void capture_set_cancel(struct capture *c, const struct cancel *cancel);
/** Has the target ended, or does it run another program? c->end tells. Waits up to 3 s to know how it ended. */
bool capture_ended(struct capture *c);
/**
 * A drain when the last one is a while ago, so that the end of the target finds fresh numbers: cheap, and
 * close to a memory limit as often as the target grows.
 */
int capture_refresh(struct capture *c);
/**
 * Drain and build a snapshot. final: the target may be gone; then the last drain counts (W150), and *out is
 * NULL when that was in a snapshot already.
 * Returns: 0, -ECANCELED, -ESRCH (nothing was measured: E301), -ENOMEM. Owns: *out.
 */
int capture_snapshot(struct capture *c, bool final, struct snapshot **out);
/*
 * Snapshot of the last drain, without reading the target. Returns: 0, -ECANCELED (there is none),
 * -ENOMEM.
 */
int capture_snapshot_of_last(struct capture *c, struct snapshot **out);

/**
 * Read the heap and the tables into c->result. Returns: 0; -ESRCH, the target has ended or will in a moment;
 * -ECANCELED; -errno (logged).
 */
int capture_drain(struct capture *c, bool full);

/** Trial: how many events a second, and does exact mode fit the budget. */
int trial_judge(struct capture *c, struct guard_verdict *out);

#endif
