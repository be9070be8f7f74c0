/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The same rules as for a line, once for RSS and once for everything that is traced. */
#include "analyze/leaks_process.h"

#define UNEXPLAINED_SHARE 0.2 /* of RSS's rate: malloc's headers and rounding are less than that */
#define UNEXPLAINED_MIN	  (1u << 20) /* bytes over the time observed: RSS moves by arenas */

static double span_min(const struct leak_line *l)
{
	return (double)(l->time_ns[l->count - 1] - l->time_ns[0]) / 6e10;
}

/* What is traced, over the time in which RSS grows. */
static struct trend traced_since(const struct leak_line *live, int64_t since_ns)
{
	size_t from = 0;
	struct trend t;

	while (from + 2 < live->count && live->time_ns[from] < since_ns)
		from++;
	trend_fit(live->time_ns + from, live->low + from, live->count - from, true, &t);
	return t;
}

/* RSS's share that the traced lines do not account for, when it is more than a matter of rounding. */
static void compare(const struct leak_line *rss, const struct leak_line *live,
		    struct leak_process *out)
{
	struct trend traced;
	double gap;

	if (out->rss.verdict != LEAK_YES)
		return;
	traced = traced_since(live, out->rss.since_ns);
	gap = out->rss.trend.per_min - (traced.per_min > 0 ? traced.per_min : 0);
	/* the ends of the two intervals that are nearest to each other */
	if (out->rss.trend.per_min_low <= traced.per_min_high)
		return;
	if (gap < UNEXPLAINED_SHARE * out->rss.trend.per_min ||
	    gap * span_min(rss) < UNEXPLAINED_MIN)
		return;
	out->unexplained = true;
	out->unexplained_per_min = gap;
}

static void extrapolate(uint64_t room, double rate, double low, double high,
			struct leak_process *out)
{
	if (rate <= 0)
		return;
	out->limit_min = (double)room / rate;
	out->limit_min_low = (double)room / (high > rate ? high : rate);
	out->limit_min_high = low > 0 ? (double)room / low : -1;
}

void leak_process_judge(const struct leak_line *rss, const struct leak_line *live,
			const struct leak_sum *leaks, uint64_t limit_bytes,
			struct leak_process *out)
{
	uint64_t room;

	*out = (struct leak_process){.rss_known = rss != NULL, .limit_min = -1};
	leak_judge(live, &out->live);
	if (!rss)
		return;
	leak_judge(rss, &out->rss);
	compare(rss, live, out);
	if (!limit_bytes)
		return;
	room = rss->last < limit_bytes ? limit_bytes - rss->last : 0;
	out->limit_from_rss = out->rss.verdict == LEAK_YES;
	if (out->limit_from_rss)
		extrapolate(room, out->rss.trend.per_min, out->rss.trend.per_min_low,
			    out->rss.trend.per_min_high, out);
	else if (leaks->lines)
		extrapolate(room, leaks->per_min, leaks->per_min_low, leaks->per_min_high, out);
}
