/* SPDX-License-Identifier: GPL-2.0-or-later */
/* docs/budget.md explains the constants. */
#include "trace/ledger.h"

#define SECOND_NS 1e9

/*
 * Own CPU time whose share can be saved up. Bounded, because a longer quiet time must not pay for a
 * storm.
 */
#define CREDIT_NS (2 * SECOND_NS)
/* A target that sleeps can save up this much of LEDGER_IDLE_SHARE. */
#define IDLE_CREDIT_NS (0.5 * SECOND_NS)
/* Income while probes are away and a debt is paid off: small, so that bursts in an idle process pay it. */
#define AWAY_SHARE  0.02

#define WAIT_MIN_NS 1000000000LL  /* away at least so long, twice as long each time ... */
#define WAIT_MAX_NS 60000000000LL /* ... up to this, ... */
#define STABLE_NS   30000000000LL /* ... until they have stayed so long */

void ledger_init(struct ledger *l, double overhead, int64_t now_ns)
{
	*l = (struct ledger){
		.overhead = overhead,
		.balance_ns = overhead * IDLE_CREDIT_NS,
		.probes_live = true,
		.live_since_ns = now_ns,
		.wait_ns = WAIT_MIN_NS,
	};
}

static double least_earned(const struct ledger *l, const struct ledger_span *span)
{
	double room;

	if (!l->probes_live)
		return l->overhead * AWAY_SHARE * span->wall_ns;
	room = l->reserve_ns + l->overhead * IDLE_CREDIT_NS - l->balance_ns;
	if (l->overhead * LEDGER_IDLE_SHARE * span->wall_ns < room)
		return l->overhead * LEDGER_IDLE_SHARE * span->wall_ns;
	return room > 0 ? room : 0;
}

static double most_saved(const struct ledger *l)
{
	double most = l->overhead * CREDIT_NS;
	double comeback = l->reserve_ns + l->overhead * IDLE_CREDIT_NS;

	return comeback > most ? comeback : most;
}

void ledger_add(struct ledger *l, const struct ledger_span *span)
{
	double own = span->cpu_ns > span->cost_ns ? span->cpu_ns - span->cost_ns : 0;
	double earned = l->overhead * own, least = least_earned(l, span), most = most_saved(l);
	double keep;

	l->balance_ns += earned > least ? earned : least;
	if (l->balance_ns > most)
		l->balance_ns = most;
	l->balance_ns -= span->cost_ns + span->other_ns;
	l->leaving_ns += span->cost_ns + span->other_ns;
	if (!l->probes_live)
		return;
	/* Measure the last second or so only, because a quiet hour would hide the storm. */
	keep = SECOND_NS / (SECOND_NS + span->wall_ns);
	l->live_cost_ns = l->live_cost_ns * keep + span->cost_ns + span->other_ns;
	l->live_cpu_ns = l->live_cpu_ns * keep + span->cpu_ns + span->other_ns;
}

bool ledger_overspent(const struct ledger *l)
{
	return l->probes_live && l->balance_ns < l->reserve_ns;
}

void ledger_leaving(struct ledger *l)
{
	l->leaving_ns = 0;
}

void ledger_gone(struct ledger *l, int64_t now_ns)
{
	/* The last one counts, but a cheap one does not reset costly ones at once. */
	l->reserve_ns = l->leaving_ns > l->reserve_ns / 2 ? l->leaving_ns : l->reserve_ns / 2;
	l->wait_ns = !l->departures || now_ns - l->live_since_ns >= STABLE_NS ? WAIT_MIN_NS
									      : l->wait_ns * 2;
	if (l->wait_ns > WAIT_MAX_NS)
		l->wait_ns = WAIT_MAX_NS;
	l->departures++;
	l->probes_live = false;
	l->gone_since_ns = now_ns;
}

bool ledger_has_room(const struct ledger *l, int64_t now_ns)
{
	return !l->probes_live && now_ns - l->gone_since_ns >= l->wait_ns &&
	       l->balance_ns >= l->reserve_ns + l->overhead * IDLE_CREDIT_NS;
}

void ledger_back(struct ledger *l, int64_t now_ns)
{
	l->probes_live = true;
	l->live_since_ns = now_ns;
	l->live_cost_ns = l->live_cpu_ns = 0;
}

bool ledger_affords(double overhead, const struct ledger_span *span)
{
	double own = span->cpu_ns > span->cost_ns ? span->cpu_ns - span->cost_ns : 0;
	double idle = LEDGER_IDLE_SHARE * span->wall_ns;

	return span->cost_ns <= overhead * (own > idle ? own : idle);
}

double ledger_slower(double cost_ns, double cpu_ns)
{
	double own = cpu_ns - cost_ns;

	if (cpu_ns <= 0)
		return cost_ns > 0 ? LEDGER_SLOWER_MAX : -1;
	if (own * LEDGER_SLOWER_MAX <= cost_ns)
		return LEDGER_SLOWER_MAX;
	return cost_ns / own;
}
