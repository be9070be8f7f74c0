/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holds --overhead: looks at the traps 40 times a second and takes probes away when they cost more than the
 * target has earned. Why a thread of its own: a drain, the naming of stacks or the writing of a file may take
 * seconds, and none of them may delay it. It takes away and never attaches; the main thread brings back.
 *
 * While a debugger is attached nothing is taken away: it may have taken our breakpoints for the program's code,
 * and would put them back when it leaves, with no handler for them.
 */
#ifndef TM_TRACE_GOVERNOR_H
#define TM_TRACE_GOVERNOR_H

#include "probe/bpf_session.h"
#include "probe/probes.h"
#include "trace/ledger.h"

struct governor;

struct governor_opts {
	struct bpf_session *session; /* borrowed, as the next two */
	struct probes *probes;
	const struct target *target;
	double overhead;
	double trap_ns;	 /* of this machine; < 0: not known, nothing is ever taken away */
	bool only_count; /* keep the account, take nothing away: --mode exact */
	bool malloc_first; /* take malloc's probes away first, the others when these alone cost too much */
};

struct governor_state {
	bool held_by_debugger; /* the budget is passed, and the probes must stay: a debugger is attached */
	unsigned away;	       /* enum probe_part: taken away by now */
	bool leaving;	       /* being taken away right now: up to 100 ms */
	unsigned departures; /* how many times */
	int64_t gone_ns;     /* the last time; monotonic */
	double slower;	     /* the last time: ledger_slower() of the time that they were live */
	bool has_room;	     /* governor_back() would be granted */
	uint64_t children;   /* forked with our breakpoints */
	double children_ns;  /* CPU time of theirs until they were cleaned */
};

/** Call when the first probe is live. Returns: 0, -errno. Owns: *out, governor_stop(). */
int governor_start(const struct governor_opts *opts, struct governor **out);
/** Before the probes are freed. NULL is fine. */
void governor_stop(struct governor *g);

void governor_get(struct governor *g, struct governor_state *out);
/** Where perf events are used there is no thread (its detach would need locks of malloc): call every 100 ms. */
void governor_poll(struct governor *g);
/** A newer price of a trap. */
void governor_set_trap(struct governor *g, double trap_ns);
/** Allow the probes again; the caller attaches them. */
void governor_back(struct governor *g);

#endif
