/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The account of what tracing costs. The target earns a share of its own CPU time (--overhead), every trap
 * spends; probes may stay while the balance holds. Pure arithmetic: no clock, no process. All times in ns.
 */
#ifndef TM_TRACE_LEDGER_H
#define TM_TRACE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "snapshot/snapshot.h"

/*
 * A target that sleeps earns nothing, yet its few traps do no harm: it earns as if it used this share of one
 * CPU.
 */
#define LEDGER_IDLE_SHARE 0.2

struct ledger_span {	 /* what happened between two looks */
	double wall_ns;	 /* elapsed */
	double cpu_ns;	 /* CPU time of the target, the traps included */
	double cost_ns;	 /* of the traps in the target */
	double other_ns; /* cost in other processes: children with copied breakpoints */
};

struct ledger {
	double overhead;   /* 0.05: 5 % of the target's own CPU time */
	double balance_ns; /* may still be spent; < 0: overspent */
	double reserve_ns; /* what is spent from the decision to take probes away until they are gone */
	bool probes_live;

	double live_cost_ns, live_cpu_ns;     /* of the last second while live */
	double leaving_ns;		      /* spent since the decision */
	int64_t live_since_ns, gone_since_ns; /* monotonic */
	int64_t wait_ns;		      /* at least so long away */
	unsigned departures;
};

/** Probes are live from now on. */
void ledger_init(struct ledger *l, double overhead, int64_t now_ns);
void ledger_add(struct ledger *l, const struct ledger_span *span);

/** Live probes cost more than the budget allows: take them away. */
bool ledger_overspent(const struct ledger *l);
/** The decision to take them away, and the end of that: what was added in between becomes the reserve. */
void ledger_leaving(struct ledger *l);
void ledger_gone(struct ledger *l, int64_t now_ns);
/** May the probes come back? They have been away long enough, and the cost of another departure is saved. */
bool ledger_has_room(const struct ledger *l, int64_t now_ns);
void ledger_back(struct ledger *l, int64_t now_ns);

/** Could what happened in this span go on for ever? */
bool ledger_affords(double overhead, const struct ledger_span *span);

/**
 * cost / (cpu - cost): how much slower. The difference of two measured times is useless when the cost is
 * nearly everything, so this ends at LEDGER_SLOWER_MAX, to be printed as "more than". < 0: no CPU time.
 */
#define LEDGER_SLOWER_MAX SNAP_SLOWDOWN_MAX
double ledger_slower(double cost_ns, double cpu_ns);

#endif
