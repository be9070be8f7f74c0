/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "analyze/completeness.h"

#include <math.h>

#include "snapshot/trace_end.h"

bool completeness_is_measured(const struct snapshot *s)
{
	return trace_mode_of(s->mode) != TRACE_MODE_TRACEMALLOC;
}

double coverage_ratio(const struct snap_coverage *c)
{
	double all = (double)c->recorded + (double)c->missed;

	return c->known && all > 0 ? (double)c->recorded / all : (double)NAN;
}

bool completeness_is_full(const struct snapshot *s)
{
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		if (s->coverage[d].known && s->coverage[d].missed)
			return false;
	}
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		if (s->drops[i])
			return false;
	}
	return true;
}

/* Of all allocations since attach; of live blocks where allocations are not counted. */
static double lost_events_ratio(const struct snapshot *s)
{
	double lost = 0, all = 0;

	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		all += (double)(st->alloc_blocks > st->blocks ? st->alloc_blocks : st->blocks);
	}
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		if (i != TM_DROP_MOVING) /* counted from an older read, not lost */
			lost += (double)s->drops[i];
	}
	return lost > 0 ? lost / (lost + all) : 0;
}

double completeness_lost_ratio(const struct snapshot *s)
{
	double lost = lost_events_ratio(s);

	for (int d = 0; d < SNAP_DOMAINS; d++) {
		double missed = 1 - coverage_ratio(&s->coverage[d]);

		if (missed > lost) /* NaN where nothing is known */
			lost = missed;
	}
	return lost;
}
