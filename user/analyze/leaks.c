/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules. Everything rests on the floor: the least the line held from a window on until the end,
 * that is, what was there and was never given back. Batches, requests and expiring caches go up and
 * down above it; only what stays moves it. docs/leak-verdict.md words each rule and its reason.
 */
#include "analyze/leaks_shape.h"

#define ENOUGH_WINDOWS	 8	   /* fewer rise by chance too often: 1 in 8! against 1 in 3! */
#define KEPT_TO_SWING	 (1.0 / 3) /* the least that counts at all, against how high it swings */
#define LASTING_SHARE	 (1.0 / 3) /* of the time observed */
#define STOPPED_RATIO	 0.05	   /* rate lately against the rate before */
#define EVEN_PACE	 0.6	   /* after a fill: below this it is still the fill */
#define SLOWING_RATIO	 0.3
#define STOPPED_PAUSES	 2    /* a table that doubles pauses twice as long each time */
#define PAUSED_PAUSES	 1.25 /* longer than ever before */
#define SWING_SHARE	 0.25 /* of the peak: more than that is not level */
#define TURNOVER_CHURN	 10.0
#define EARLY_SHARE	 0.1 /* of the time observed: growth that ends within it is warming up */
#define PROVEN_SHARE_MAX (1.0 / 3) /* of the time: flat for longer than that needs no other proof */
#define COVERAGE_GOOD	 0.99

enum growth {
	GROWTH_NONE,  /* none, or not in every third of the time */
	GROWTH_NOISE, /* no more than it gives back */
	GROWTH_STOPPED,
	GROWTH_PAUSED,
	GROWTH_SLOWING,
	GROWTH_FEW,
	GROWTH_LOSSES,
	GROWTH_YES,
	GROWTH_YES_FEW,
};

/* Bytes that may be missing from the line in its worst snapshot. */
static double missing_bytes(const struct shape *s)
{
	return s->line->missing_ratio * (double)shape_most(s->line->high, 0, s->n);
}

static void fit_trend(const struct shape *s, size_t from, bool steady, struct trend *trend)
{
	double minutes = shape_seconds(s, from, s->n - 1) / 60, widen;

	trend_fit(s->line->time_ns + from, s->line->low + from, s->n - from, !steady, trend);
	if (minutes <= 0)
		return;
	widen = missing_bytes(s) / minutes;
	trend->per_min_low -= widen;
	trend->per_min_high += widen;
	trend->certain_low -= widen;
}

static enum growth judge_pace(double standstill, double pause, double pace)
{
	if (standstill > STOPPED_PAUSES || pace < STOPPED_RATIO)
		return GROWTH_STOPPED;
	if (standstill > PAUSED_PAUSES || pause > STOPPED_PAUSES)
		return GROWTH_PAUSED;
	return pace < SLOWING_RATIO ? GROWTH_SLOWING : GROWTH_YES;
}

/* It keeps far more than it usually gives back: no trend needs to be looked for in swings. */
static bool is_steady(const struct shape *s, size_t from)
{
	return (double)shape_kept(s, from) >=
	       SHAPE_KEPT_TO_GIVEN * (double)shape_given_back(s, from);
}

/*
 * It swings: a good part of a swing was kept, and either the slope is beyond its doubt or windows longer
 * than a swing rise one after the other. The first guards against a beat of the swing with the
 * snapshots, which moves the least for long.
 */
static enum growth judge_swinging(const struct shape *s, size_t from)
{
	double swing = (double)shape_usually_above(s, s->line->high, from);
	struct trend trend;
	enum growth g;

	if ((double)shape_kept(s, from) < KEPT_TO_SWING * swing)
		return GROWTH_NOISE;
	fit_trend(s, from, false, &trend);
	if (!(trend.certain_low > 0 && shape_rises_by_thirds(s, from, true)) &&
	    !shape_kept_in_coarse(s, from))
		return GROWTH_NOISE;
	g = judge_pace(0, 0, shape_pace_in_swings(s, from, &trend));
	return g == GROWTH_YES && s->n - from < ENOUGH_WINDOWS ? GROWTH_FEW : g;
}

static enum growth judge_steady(const struct shape *s, size_t from)
{
	enum growth g;

	if (!shape_rises_by_thirds(s, from, false))
		return GROWTH_NONE;
	g = judge_pace(shape_standstill(s, from), shape_pause(s, from), shape_pace(s, from));
	if (g != GROWTH_YES)
		return g;
	if (s->n - from < ENOUGH_WINDOWS)
		return !from && shape_few_but_even(s) ? GROWTH_YES_FEW : GROWTH_FEW;
	if (!shape_many_steps(s, from))
		return GROWTH_FEW;
	/* Few steps up and down look like growth when they come in a lucky order. */
	if (shape_is_lumpy(s, from) &&
	    (double)shape_kept(s, from) <
		    SHAPE_KEPT_TO_GIVEN * (double)shape_ever_given_back(s, from))
		return judge_swinging(s, from);
	return GROWTH_YES;
}

static enum growth judge_growth(const struct shape *s, size_t from)
{
	uint64_t growth = s->floor[s->n - 1] - s->floor[from];
	enum growth g;

	if (growth < s->line->grain_bytes)
		return GROWTH_NONE;
	g = is_steady(s, from) ? judge_steady(s, from) : judge_swinging(s, from);
	if ((g == GROWTH_YES || g == GROWTH_YES_FEW) && (double)growth <= missing_bytes(s))
		return GROWTH_LOSSES;
	return g;
}

/* The window in which the last growth began: the last one still at the level of the first. */
static size_t growth_onset(const struct shape *s)
{
	uint64_t growth = s->floor[s->n - 1] - s->floor[0];
	uint64_t given = shape_given_back(s, 0);
	uint64_t band = shape_max((uint64_t)((double)growth * SHAPE_FLAT), given);
	size_t k = 0;

	while (k + 1 < s->n && s->floor[k + 1] - s->floor[0] <= band)
		k++;
	return k;
}

/* Never before did the line hold even half of what it has grown by since. */
static bool is_unheard_of(const struct shape *s, size_t from)
{
	uint64_t growth = s->floor[s->n - 1] - s->floor[from];

	return shape_most(s->line->high, 0, from + 1) <= s->floor[from] + growth / 2;
}

/*
 * Growth that began after the start: LEAK when it lasts, UNKNOWN until it has lasted long enough.
 */
static enum growth judge_late(const struct shape *s, size_t from, bool *is_short)
{
	double span = shape_seconds(s, 0, s->n - 1), lasting = shape_seconds(s, from, s->n - 1);
	uint64_t growth = s->floor[s->n - 1] - s->floor[from];
	enum growth g;

	*is_short = false;
	if (!from || s->n - from < 3 || !is_unheard_of(s, from) || growth < s->line->grain_bytes)
		return GROWTH_NONE;
	g = judge_growth(s, from);
	if (lasting >= LASTING_SHARE * span)
		return g;
	*is_short = g == GROWTH_YES || g == GROWTH_FEW;
	return GROWTH_NONE;
}

static void set_verdict(struct leak_finding *f, enum leak_verdict verdict, enum leak_why why)
{
	f->verdict = verdict;
	f->why = why;
}

static void settle_as(struct leak_finding *f, const struct shape *s, size_t since,
		      enum leak_why why)
{
	double span = shape_seconds(s, 0, s->n - 1);
	/* With few windows the second may be later than a tenth of the time. */
	bool early = since <= 1 || shape_seconds(s, 0, since) <= EARLY_SHARE * span;

	set_verdict(f, early ? LEAK_WARM_UP : LEAK_PLATEAU, why);
	f->since_ns = s->line->time_ns[since];
}

/* Only fell, or rose and fell once: which is neither growth nor churn. */
static bool is_released(const struct shape *s, uint64_t peak)
{
	const struct leak_line *l = s->line;

	return peak > l->last && (double)(peak - l->last) > SWING_SHARE * (double)peak &&
	       l->fell_bytes <= (1 + SHAPE_FLAT) * (double)(peak - l->last);
}

/* The last window in which it held more than it holds at the end. */
static size_t end_of_release(const struct shape *s, uint64_t peak)
{
	size_t k = s->n - 1;

	while (k && s->line->high[k] <= s->line->last + (uint64_t)((double)peak * SHAPE_FLAT))
		k--;
	return k;
}

/*
 * Does it stand within `band` of its end for longer than its growth needs for so much? Else nothing but
 * the band is seen: it may grow as ever.
 */
static bool is_proven_flat(const struct shape *s, size_t end, uint64_t band)
{
	double growth = (double)(s->floor[s->n - 1] - s->floor[0]);
	double share = growth > 0 ? (double)band / growth : 0;

	if (share > PROVEN_SHARE_MAX)
		share = PROVEN_SHARE_MAX;
	return shape_seconds(s, end, s->n - 1) > share * shape_seconds(s, 0, s->n - 1);
}

/* It came near its end only just now: growth that began, or what turns over and happens to be there. */
static void settle_short(const struct shape *s, struct leak_finding *f, size_t end)
{
	if (f->turnover >= TURNOVER_CHURN) {
		set_verdict(f, LEAK_CHURN, LEAK_WHY_SWINGS);
	} else if (end + 1 == s->n) {
		set_verdict(f, LEAK_UNKNOWN, LEAK_WHY_SHORT);
		f->since_ns = s->line->time_ns[end - 1];
	} else {
		set_verdict(f, LEAK_UNKNOWN, LEAK_WHY_FEW);
	}
}

/* It does not grow (any more). */
static void settle_plateau(const struct shape *s, struct leak_finding *f)
{
	const struct leak_line *l = s->line;
	uint64_t peak = shape_most(l->high, 0, s->n), growth = s->floor[s->n - 1] - s->floor[0];
	uint64_t flat = (uint64_t)(SHAPE_FLAT * (double)shape_max(growth, l->last));
	uint64_t band = shape_max(shape_max(flat, l->grain_bytes), shape_given_back(s, 0));
	size_t end;

	end = shape_end_of_growth(s, 0, s->n - 1, band);
	if (is_released(s, peak) && f->turnover < TURNOVER_CHURN) {
		settle_as(f, s, end_of_release(s, peak), LEAK_WHY_RELEASED);
	} else if ((double)shape_deepest_fall(s) > SWING_SHARE * (double)peak) {
		set_verdict(f, LEAK_CHURN, LEAK_WHY_SWINGS);
	} else if (end && !is_proven_flat(s, end, band)) {
		settle_short(s, f, end);
	} else {
		settle_as(f, s, end, end ? LEAK_WHY_STOPPED : LEAK_WHY_FLAT);
	}
	if (f->verdict == LEAK_WARM_UP &&
	    (f->turnover >= TURNOVER_CHURN || l->fell_bytes >= TURNOVER_CHURN * (double)peak))
		set_verdict(f, LEAK_CHURN, LEAK_WHY_TURNOVER);
}

static bool is_answer(enum growth g)
{
	return g == GROWTH_YES || g == GROWTH_YES_FEW || g == GROWTH_LOSSES;
}

/*
 * The growth that counts: of all the time, or since it began, or, after a one-time fill,
 * of the last two thirds.
 */
static enum growth find_growth(const struct shape *s, size_t *from, bool *is_short)
{
	enum growth all = judge_growth(s, 0), g;

	*from = 0;
	*is_short = false;
	if (is_answer(all))
		return all;
	*from = growth_onset(s);
	g = judge_late(s, *from, is_short);
	if (is_answer(g) || *is_short)
		return g;
	*from = s->n / 3;
	/* A third look at swings would find a trend in them too often; and a fill slows down for long. */
	if (s->n - *from >= ENOUGH_WINDOWS && is_steady(s, *from) &&
	    shape_pace(s, *from) >= EVEN_PACE) {
		g = judge_growth(s, *from);
		if (is_answer(g))
			return g;
	}
	*from = 0;
	return all;
}

static void decide_verdict(const struct shape *s, struct leak_finding *f)
{
	static const struct {
		bool decides;
		enum leak_verdict verdict;
		enum leak_why why;
	} answers[] = {
		[GROWTH_NONE] = {false, LEAK_UNKNOWN, LEAK_WHY_FLAT},
		[GROWTH_NOISE] = {false, LEAK_UNKNOWN, LEAK_WHY_SWINGS},
		[GROWTH_STOPPED] = {false, LEAK_UNKNOWN, LEAK_WHY_STOPPED},
		[GROWTH_PAUSED] = {true, LEAK_UNKNOWN, LEAK_WHY_PAUSED},
		[GROWTH_SLOWING] = {true, LEAK_UNKNOWN, LEAK_WHY_SLOWING},
		[GROWTH_FEW] = {true, LEAK_UNKNOWN, LEAK_WHY_FEW},
		[GROWTH_LOSSES] = {true, LEAK_UNKNOWN, LEAK_WHY_LOSSES},
		[GROWTH_YES] = {true, LEAK_YES, LEAK_WHY_KEEPS_GROWING},
		[GROWTH_YES_FEW] = {true, LEAK_YES, LEAK_WHY_FEW_BUT_EVEN},
	};
	bool is_short;
	size_t from;
	enum growth g = find_growth(s, &from, &is_short);

	f->kept_bytes = s->floor[s->n - 1] - s->floor[from];
	f->since_ns = s->line->time_ns[from];
	if (is_short)
		set_verdict(f, LEAK_UNKNOWN, LEAK_WHY_SHORT);
	else if (!answers[g].decides)
		settle_plateau(s, f);
	else
		set_verdict(f, answers[g].verdict, answers[g].why);
	/* Skip lines that come and go, because a straight line through them would mean nothing. */
	f->trend_known = f->verdict != LEAK_CHURN;
	if (f->trend_known)
		fit_trend(s, from, is_steady(s, from), &f->trend);
}

void leak_judge(const struct leak_line *line, struct leak_finding *out)
{
	struct shape s;
	uint64_t peak;

	*out = (struct leak_finding){
		.verdict = LEAK_UNKNOWN,
		.why = LEAK_WHY_FEW,
		.level_bytes = line->last,
		.turnover = -1,
		.lossy = line->missing_ratio > 1 - COVERAGE_GOOD,
	};
	if (line->count < LEAKS_SNAPSHOTS_MIN || line->count > LEAKS_WINDOWS_MAX)
		return;
	shape_init(&s, line);
	peak = shape_most(line->high, 0, s.n);
	out->peak_bytes = peak;
	out->bottom_bytes = shape_least(line->low, 0, s.n);
	out->span_s = shape_seconds(&s, 0, s.n - 1);
	if (line->alloc_bytes >= 0)
		out->turnover = peak ? line->alloc_bytes / (double)peak : 0;
	decide_verdict(&s, out);
}

const char *leak_verdict_name(enum leak_verdict v)
{
	static const char *const names[LEAK_VERDICTS] = {
		[LEAK_YES] = "LEAK",	[LEAK_UNKNOWN] = "UNKNOWN", [LEAK_PLATEAU] = "PLATEAU",
		[LEAK_CHURN] = "CHURN", [LEAK_WARM_UP] = "WARM-UP",
	};

	return names[v];
}
