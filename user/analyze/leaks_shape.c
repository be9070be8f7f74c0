/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures of one line, all on its floor. Orders and sums only, because fits belong to leaks_trend.c.
 */
#include "analyze/leaks_shape.h"

#include <math.h>

#define COARSE_WINDOWS 12   /* a bounded line rises through all by chance 1 in 12! */
#define COARSE_RISES   8    /* of the eleven */
#define RISES_MIN      6    /* steps of growth; a few single events are no trend */
#define LONGEST_PAUSE  0.25 /* of the time: standing still for longer is no steady growth */
#define RISE_SHARE     0.25 /* of an even step: less than that is no step */
#define BIGGEST_STEP   0.6  /* of the growth; a table that doubles makes steps of a half */
#define JUMP_PACE      2.0  /* against the mean rate: what a gap holds is no jump below that */
#define THIRD_SHARE    0.1  /* of the growth, from each third of the time to the next */
#define FEW_EVEN       3.0  /* each of few steps within this factor of the mean rate */
#define FEW_GROWTH     2    /* and the line at least doubled */
#define SMOOTH_SHARE   0.01 /* of the growth: giving back less is no swing */

double shape_seconds(const struct shape *s, size_t from, size_t to)
{
	return (double)(s->line->time_ns[to] - s->line->time_ns[from]) / 1e9;
}

void shape_init(struct shape *s, const struct leak_line *line)
{
	s->line = line;
	s->n = line->count;
	for (size_t k = s->n; k-- > 0;) {
		s->floor[k] = line->low[k];
		if (k + 1 < s->n && s->floor[k + 1] < s->floor[k])
			s->floor[k] = s->floor[k + 1];
	}
}

uint64_t shape_least(const uint64_t *v, size_t from, size_t to)
{
	uint64_t m = v[from];

	for (size_t k = from + 1; k < to; k++)
		m = v[k] < m ? v[k] : m;
	return m;
}

uint64_t shape_most(const uint64_t *v, size_t from, size_t to)
{
	uint64_t m = 0;

	for (size_t k = from; k < to; k++)
		m = shape_max(m, v[k]);
	return m;
}

static void insert_sorted(uint64_t *sorted, size_t *count, uint64_t value)
{
	size_t i = (*count)++;

	for (; i && sorted[i - 1] > value; i--)
		sorted[i] = sorted[i - 1];
	sorted[i] = value;
}

/* How far it is above the floor, in all but one of ten windows since `from`. */
uint64_t shape_usually_above(const struct shape *s, const uint64_t *v, size_t from)
{
	uint64_t sorted[LEAKS_WINDOWS_MAX];
	size_t count = 0;

	for (size_t k = from; k < s->n; k++)
		insert_sorted(sorted, &count, v[k] - s->floor[k]);
	return sorted[(count * 9 - 1) / 10];
}

/* Bytes that the line usually gives back from one window to a later one. */
uint64_t shape_given_back(const struct shape *s, size_t from)
{
	return shape_usually_above(s, s->line->low, from);
}

/*
 * Where the floor ends. Where the line swings, the last twelfth counts as one window, because the end of
 * a swing looks like growth.
 */
static size_t end_window(const struct shape *s, size_t from)
{
	uint64_t growth = s->floor[s->n - 1] - s->floor[from];

	if ((double)shape_given_back(s, from) <= SMOOTH_SHARE * (double)growth)
		return s->n - 1;
	return s->n - 1 - (s->n - from) / COARSE_WINDOWS;
}

uint64_t shape_kept(const struct shape *s, size_t from)
{
	return s->floor[end_window(s, from)] - s->floor[from];
}

static uint64_t median_value(const uint64_t *v, size_t from, size_t to)
{
	uint64_t sorted[LEAKS_WINDOWS_MAX];
	size_t count = 0;

	for (size_t k = from; k < to; k++)
		insert_sorted(sorted, &count, v[k]);
	return sorted[count / 2];
}

/* Bytes that the line would have held before window k, in a gap, had it gone straight on. */
static uint64_t value_between(const struct shape *s, size_t from, size_t k, int64_t at_ns)
{
	const struct leak_line *l = s->line;
	double step, share;

	if (k == from || k == s->n)
		return l->low[k == from ? k : k - 1];
	step = (double)(l->time_ns[k] - l->time_ns[k - 1]);
	share = step > 0 ? (double)(at_ns - l->time_ns[k - 1]) / step : 1;
	return (uint64_t)((double)l->low[k - 1] +
			  share * ((double)l->low[k] - (double)l->low[k - 1]));
}

/* Every third of the time held more than the third before: at its least, or (`in_noise`) usually. */
bool shape_rises_by_thirds(const struct shape *s, size_t from, bool in_noise)
{
	uint64_t (*of)(const uint64_t *, size_t, size_t) = in_noise ? median_value : shape_least;
	const struct leak_line *l = s->line;
	int64_t start = l->time_ns[from], span = l->time_ns[s->n - 1] - start;
	uint64_t held[3];
	size_t k = from;

	for (int third = 0; third < 3; third++) {
		int64_t until = start + span / 3 * (third + 1);
		size_t first = k;

		while (k < s->n && (l->time_ns[k] < until || third == 2))
			k++;
		held[third] = k > first ? of(l->low, first, k)
					: value_between(s, from, k, start + span / 3 * third);
	}
	if (held[1] <= held[0] || held[2] <= held[1])
		return false;
	return (double)(held[1] - held[0]) >= THIRD_SHARE * (double)(held[2] - held[0]) &&
	       (double)(held[2] - held[1]) >= THIRD_SHARE * (double)(held[2] - held[0]);
}

/* The first window from which the floor is within `band` of where it is at window `to`. */
size_t shape_end_of_growth(const struct shape *s, size_t from, size_t to, uint64_t band)
{
	size_t k = from;

	while (s->floor[to] - s->floor[k] > band)
		k++;
	return k;
}

/* The share of the time since `from` that ends with window k; a gap asks for no more than the others. */
static double time_share(const struct shape *s, size_t from, size_t k)
{
	double windows = (double)(s->n - from), span = shape_seconds(s, from, s->n - 1);
	double even = 1 / windows, own;

	if (span <= 0)
		return even;
	own = shape_seconds(s, k - 1, k) / span * (windows - 1) / windows;
	return own < even ? own : even;
}

/* A step of the floor at window k that counts. */
static uint64_t step_min(const struct shape *s, size_t from, size_t k)
{
	double growth = (double)(s->floor[s->n - 1] - s->floor[from]);

	return (uint64_t)(growth * time_share(s, from, k) * RISE_SHARE);
}

/*
 * The longest time that the floor stood still before window `to`. Where there were no snapshots for a
 * while, it is not the floor that stood still.
 */
static double longest_pause_s(const struct shape *s, size_t from, size_t to)
{
	double usual = 2 * shape_seconds(s, from, s->n - 1) / (double)(s->n - from), longest = 0;
	size_t risen = from;

	for (size_t k = from + 1; k <= to; k++) {
		double pause, last = shape_seconds(s, k - 1, k);

		if (s->floor[k] - s->floor[risen] <= step_min(s, from, k))
			continue;
		pause = shape_seconds(s, risen, k - 1) + (last < usual ? last : usual);
		longest = pause > longest ? pause : longest;
		risen = k;
	}
	return longest;
}

/*
 * For how long does it stand still, against its longest pause before, and against the time in which it
 * grows by what counts as flat? 0: it does not stand still.
 */
double shape_standstill(const struct shape *s, size_t from)
{
	size_t to = end_window(s, from), end;
	uint64_t growth = s->floor[to] - s->floor[from], given = shape_given_back(s, from);
	uint64_t flat = (uint64_t)((double)growth * SHAPE_FLAT);
	double due, tail, pause;

	if (!growth)
		return HUGE_VAL;
	end = shape_end_of_growth(s, from, to, shape_max(flat, given));
	tail = shape_seconds(s, end, to);
	pause = longest_pause_s(s, from, end);
	due = (double)shape_max(3 * flat, 2 * given) / (double)growth;
	if (tail <= due * shape_seconds(s, from, s->n - 1))
		return 0;
	return pause > 0 ? tail / pause : HUGE_VAL;
}

/* The rate of the last third of the time against that before. */
double shape_pace(const struct shape *s, size_t from)
{
	double span = shape_seconds(s, from, s->n - 1), before, after;
	size_t k = s->n - 2, to = end_window(s, from);

	while (k > from && shape_seconds(s, from, k) > span * 2 / 3)
		k--;
	if (k == from || k >= to)
		return 1;
	before = (double)(s->floor[k] - s->floor[from]) / shape_seconds(s, from, k);
	after = (double)(s->floor[to] - s->floor[k]) / shape_seconds(s, k, to);
	return before > 0 ? after / before : HUGE_VAL;
}

/* Slope of the last half against that of all, where swings hide the floor. */
double shape_pace_in_swings(const struct shape *s, size_t from, const struct trend *all)
{
	size_t half = from + (s->n - from) / 2;
	struct trend late;

	trend_fit(s->line->time_ns + half, s->line->low + half, s->n - half, true, &late);
	return all->per_min > 0 ? late.per_min / all->per_min : 0;
}

/* With few windows: every step up, evenly in time, and the line at least doubled. */
bool shape_few_but_even(const struct shape *s)
{
	const uint64_t *low = s->line->low;
	double mean = (double)(s->floor[s->n - 1] - s->floor[0]) / shape_seconds(s, 0, s->n - 1);

	for (size_t k = 1; k < s->n; k++) {
		double seconds = shape_seconds(s, k - 1, k), rate;

		if (low[k] <= low[k - 1] || seconds <= 0)
			return false;
		rate = (double)(low[k] - low[k - 1]) / seconds;
		if (rate > mean * FEW_EVEN || rate < mean / FEW_EVEN)
			return false;
	}
	return low[s->n - 1] >= FEW_GROWTH * low[0];
}

uint64_t shape_ever_given_back(const struct shape *s, size_t from)
{
	uint64_t given = 0;

	for (size_t k = from; k < s->n; k++)
		given = shape_max(given, s->line->low[k] - s->floor[k]);
	return given;
}

static bool rises_at(const struct shape *s, size_t from, size_t k)
{
	return s->floor[k] - s->floor[k - 1] > step_min(s, from, k);
}

bool shape_is_lumpy(const struct shape *s, size_t from)
{
	size_t rises = 0;

	for (size_t k = from + 1; k < s->n; k++)
		rises += rises_at(s, from, k);
	return 2 * rises < s->n - from;
}

/* For how long it has made no step that counts. */
static double tail_s(const struct shape *s, size_t from)
{
	size_t k = s->n - 1;

	while (k > from && !rises_at(s, from, k))
		k--;
	return shape_seconds(s, k, s->n - 1);
}

double shape_pause(const struct shape *s, size_t from)
{
	double span = shape_seconds(s, from, s->n - 1), tail = tail_s(s, from), before;
	size_t to = s->n - 1;

	if (tail <= SHAPE_FLAT * span || end_window(s, from) != to)
		return 0;
	while (to > from && shape_seconds(s, to, s->n - 1) < tail)
		to--;
	before = longest_pause_s(s, from, to);
	return before > 0 ? tail / before : HUGE_VAL;
}

/* One step that is most of the growth, and not because it took most of the time. */
static bool is_one_jump(const struct shape *s, size_t from)
{
	double growth = (double)(s->floor[s->n - 1] - s->floor[from]);
	double span = shape_seconds(s, from, s->n - 1);

	for (size_t k = from + 1; k < s->n; k++) {
		double step = (double)(s->floor[k] - s->floor[k - 1]);

		if (step > BIGGEST_STEP * growth &&
		    step * span > JUMP_PACE * growth * shape_seconds(s, k - 1, k))
			return true;
	}
	return false;
}

bool shape_many_steps(const struct shape *s, size_t from)
{
	double pause = longest_pause_s(s, from, s->n - 1), tail = tail_s(s, from);
	bool lumpy = shape_is_lumpy(s, from);
	unsigned steps = 0;

	for (size_t k = from + 1; k < s->n; k++) {
		/* where it mostly stands still, a step over several windows is one step */
		steps += rises_at(s, from, k) &&
			 !(lumpy && k > from + 1 && rises_at(s, from, k - 1));
	}
	if (is_one_jump(s, from) ||
	    (pause > tail ? pause : tail) > LONGEST_PAUSE * shape_seconds(s, from, s->n - 1))
		return false;
	return steps >= RISES_MIN;
}

/* Ask again with twelve coarse windows, because a swing shorter than one of them vanishes. */
bool shape_kept_in_coarse(const struct shape *s, size_t from)
{
	uint64_t low[COARSE_WINDOWS], floor[COARSE_WINDOWS], given = 0;
	double kept;
	size_t m = s->n - from;
	unsigned rises = 0;

	if (m < 2 * COARSE_WINDOWS)
		return false;
	for (size_t c = COARSE_WINDOWS; c-- > 0;) {
		low[c] = shape_least(s->line->low, from + m * c / COARSE_WINDOWS,
				     from + m * (c + 1) / COARSE_WINDOWS);
		floor[c] = c + 1 < COARSE_WINDOWS && floor[c + 1] < low[c] ? floor[c + 1] : low[c];
	}
	for (size_t c = 0; c < COARSE_WINDOWS; c++) {
		rises += c && floor[c] > floor[c - 1];
		given = shape_max(given, low[c] - floor[c]);
	}
	kept = (double)(floor[COARSE_WINDOWS - 1] - floor[0]);
	return rises >= COARSE_RISES && kept >= SHAPE_KEPT_TO_GIVEN * (double)given &&
	       shape_rises_by_thirds(s, from, false);
}

/* The most it gave back at once: the deepest fall from any height it had before. */
uint64_t shape_deepest_fall(const struct shape *s)
{
	uint64_t top = 0, fall = 0;

	for (size_t k = 0; k < s->n; k++) {
		/* a window may have its high before its low, or after it */
		if (top > s->line->low[k])
			fall = shape_max(fall, top - s->line->low[k]);
		top = shape_max(top, s->line->high[k]);
	}
	return fall;
}
