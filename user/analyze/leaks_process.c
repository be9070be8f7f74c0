/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules for a line, applied once to RSS and once to all traced bytes. */
#include "analyze/leaks_process.h"

#include "base/cleanup.h"

#define UNEXPLAINED_SHARE 0.2 /* of RSS's rate: malloc's headers and rounding are less than that */
#define UNEXPLAINED_MIN	  (1u << 20) /* bytes over the time observed: RSS moves by arenas */

static double span_min(const struct leak_line *l)
{
	return (double)(l->time_ns[l->count - 1] - l->time_ns[0]) / 6e10;
}

/* Traced bytes over the time in which RSS grows. */
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
static void compare_growth(const struct leak_line *rss, const struct leak_line *live,
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

static struct leak_sum growth_of(const struct leak_finding *f)
{
	return (struct leak_sum){
		.lines = f->verdict == LEAK_YES,
		.per_min = f->trend.per_min,
		.per_min_low = f->trend.per_min_low,
		.per_min_high = f->trend.per_min_high,
	};
}

/*
 * The first that keeps growing. RSS is what the limit is about, but its arenas may hide growth. The total
 * of all traced bytes comes before the sum of the leaks, because that sum lacks what was filtered or
 * suppressed.
 */
static void extrapolate_limit(uint64_t room, const struct leak_sum *leaks, struct leak_process *out)
{
	const struct leak_sum rates[] = {
		[LEAK_RATE_RSS] = growth_of(&out->rss),
		[LEAK_RATE_LIVE] = growth_of(&out->live),
		[LEAK_RATE_LEAKS] = *leaks,
	};

	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		const struct leak_sum *r = &rates[i];

		if (!r->lines || r->per_min <= 0)
			continue;
		out->limit_rate = (enum leak_rate)i;
		out->limit_min = (double)room / r->per_min;
		out->limit_min_low = (double)room /
				     (r->per_min_high > r->per_min ? r->per_min_high : r->per_min);
		out->limit_min_high = r->per_min_low > 0 ? (double)room / r->per_min_low : -1;
		return;
	}
}

void leak_process_judge(const struct leak_line *rss, const struct leak_line *live,
			const struct leak_sum *leaks, uint64_t limit_bytes,
			struct leak_process *out)
{
	*out = (struct leak_process){.rss_known = rss != NULL, .limit_min = -1};
	leak_judge(live, &out->live);
	if (!rss)
		return;
	leak_judge(rss, &out->rss);
	compare_growth(rss, live, out);
	if (!limit_bytes)
		return;
	out->limit_reached = rss->last >= limit_bytes;
	if (out->limit_reached)
		out->limit_min = 0;
	else
		extrapolate_limit(limit_bytes - rss->last, leaks, out);
}
