/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "analyze/completeness.h"

#include <string.h>

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

struct lost_lines completeness_without_line(const struct snapshot *s)
{
	struct lost_lines lost = {0};

	/* A file of that name in a pickle of tracemalloc is a file. */
	if (!completeness_is_measured(s))
		return lost;
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		if (!st->frame_count ||
		    strcmp(intern_get(s->strings, s->frames[st->first_frame].file), "<lost>") != 0)
			continue;
		lost.bytes += st->bytes;
		lost.blocks += st->blocks;
	}
	return lost;
}

const char *completeness_lost_reason(const struct snapshot *s)
{
	if (s->drops[TM_DROP_STACK_TABLE])
		return "the stack table was full (stack_table_full)";
	if (s->drops[TM_DROP_RING_FULL])
		return "the ring buffer was full (ring_full)";
	return "their stacks were lost";
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
	return !s->gap.from_ns && !completeness_without_line(s).blocks;
}

bool completeness_leaves_out(const struct snapshot *s)
{
	return s->gap.from_ns || trace_mode_of(s->mode) == TRACE_MODE_POOLS;
}

/* The share among allocations since attach, or among live blocks where allocations are not counted. */
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
	double lost = lost_events_ratio(s), without_line = 0;

	if (s->live_blocks)
		without_line = (double)completeness_without_line(s).blocks / (double)s->live_blocks;
	if (without_line > lost)
		lost = without_line;
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		double missed = 1 - coverage_ratio(&s->coverage[d]);

		if (missed > lost) /* NaN where nothing is known */
			lost = missed;
	}
	/* Recorded, but unknown whether it is still alive. */
	if (s->live_blocks && (double)s->gap.blocks / (double)s->live_blocks > lost)
		lost = (double)s->gap.blocks / (double)s->live_blocks;
	return lost;
}
