/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report/report_cost.h"

#include <inttypes.h>
#include <time.h>

#include "base/text.h"
#include "base/units.h"

#define IDLE_SHARE	 0.001 /* of elapsed time: not worth a number */
#define NEARLY_IDLE	 0.02  /* of one CPU that the target uses itself */
#define NEARLY_IDLE_COST 0.05  /* of elapsed time: above that it does harm */

bool cost_of_idle_target(double cost_ratio, double slowdown_ratio)
{
	return slowdown_ratio > 0 && cost_ratio >= 0 && cost_ratio < NEARLY_IDLE_COST &&
	       cost_ratio < slowdown_ratio * NEARLY_IDLE;
}

void cost_put_slowdown(struct buf *out, const struct snapshot *s)
{
	/*
	 * Scale the error with the ratio, because it is a difference of two times, whose error
	 * grows where little is left for the target.
	 */
	double error = s->cost_uncertainty * (1 + s->slowdown_ratio);

	if (s->slowdown_ratio < 0) {
		(void)buf_append_str(out, "cost unknown");
		return;
	}
	/* A few traps are many times what an idle target uses itself, and do no harm. */
	if (s->slowdown_ratio > IDLE_SHARE && s->cost_cpu_ratio < IDLE_SHARE) {
		(void)buf_printf(out,
				 "slows the target for less than %.1f%% of the time (it is idle)",
				 IDLE_SHARE * 100);
		return;
	}
	if (cost_of_idle_target(s->cost_cpu_ratio, s->slowdown_ratio)) {
		(void)buf_printf(out,
				 "slows the target for %.1f%% of the time (it is nearly idle; ",
				 s->cost_cpu_ratio * 100);
		if (s->cost_uncertainty > 0 && s->cost_uncertainty < 1)
			(void)buf_printf(out, "+-%.0f%%, ", s->cost_uncertainty * 100);
		(void)buf_append_str(out, "estimated)");
		return;
	}
	if (s->slowdown_ratio >= SNAP_SLOWDOWN_MAX) {
		(void)buf_printf(out, "slows the target by more than %.0f%% (estimated)",
				 SNAP_SLOWDOWN_MAX * 100);
		return;
	}
	(void)buf_printf(out, "slows the target about %.1f%% (", s->slowdown_ratio * 100);
	if (error > 0 && error < 1)
		(void)buf_printf(out, "+-%.0f%%, ", error * 100);
	(void)buf_append_str(out, "estimated)");
}

static const char *clock_of(int64_t time_ns, char out[16])
{
	if (!text_format_time(out, 16, time_ns, TEXT_LOCAL_CLOCK))
		snprintf(out, 16, "--:--:--");
	return out;
}

void cost_write_gap(struct buf *out, const struct snapshot *s)
{
	const struct snap_gap *gap = &s->gap;
	const char *what = gap->malloc_only ? "malloc and free" : "blocks";
	char from[16], to[16], size[UNITS_LEN];

	if (!gap->from_ns)
		return;
	clock_of(gap->from_ns, from);
	if (gap->to_ns)
		(void)buf_printf(out, "%s were not followed from %s to %s", what, from,
				 clock_of(gap->to_ns, to));
	else
		(void)buf_printf(out, "%s are not followed since %s", what, from);
	(void)buf_printf(out, ", to hold --overhead: at most %s (%.0f%%) in %" PRIu64 " blocks",
			 units_format_size(size, (int64_t)gap->bytes, false),
			 s->live_bytes ? 100.0 * (double)gap->bytes / (double)s->live_bytes : 0.0,
			 gap->blocks);
	(void)buf_append_str(out, " are from before and may have been freed since\n");
}
