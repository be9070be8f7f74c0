/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures of one line for the leak rules: how its floor rises, pauses and ends, and how far it swings
 * above it. Private to leaks.c and its test. `from`, `to`: first and last window, both included.
 */
#ifndef TM_ANALYZE_LEAKS_SHAPE_H
#define TM_ANALYZE_LEAKS_SHAPE_H

#include "analyze/leaks.h"

#define SHAPE_KEPT_TO_GIVEN 4.0	 /* kept against usually given back, where that alone decides */
#define SHAPE_FLAT	    0.05 /* of the growth or the level: this much is flat */

struct shape {
	const struct leak_line *line; /* borrowed */
	uint64_t
		floor[LEAKS_WINDOWS_MAX]; /* floor[k] = least of line->low[k..]: never given back */
	size_t n;
};

static inline uint64_t shape_max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void shape_init(struct shape *s, const struct leak_line *line);
double shape_seconds(const struct shape *s, size_t from, size_t to);
/** Least of v[from..to), most of it; to > from, and 0 for the most of nothing. */
uint64_t shape_least(const uint64_t *v, size_t from, size_t to);
uint64_t shape_most(const uint64_t *v, size_t from, size_t to);

/** How far v (low or high) is above the floor, in all but one of ten windows. */
uint64_t shape_usually_above(const struct shape *s, const uint64_t *v, size_t from);
/* Bytes above the floor, usually, from one window to a later one. */
uint64_t shape_given_back(const struct shape *s, size_t from);
/**
 * Growth of the floor. Where the line swings, the last twelfth of the windows counts as one, because
 * the end of a swing looks like growth.
 */
uint64_t shape_kept(const struct shape *s, size_t from);
/** The deepest fall from any height before. */
uint64_t shape_deepest_fall(const struct shape *s);

/** Every third held more than the third before: at its least, or (in_noise) usually. */
bool shape_rises_by_thirds(const struct shape *s, size_t from, bool in_noise);
/** The first window from which the floor is within `band` of where it is at window `to`. */
size_t shape_end_of_growth(const struct shape *s, size_t from, size_t to, uint64_t band);
/**
 * For how long it stands still at the end, in units of its longest pause before; 0: it does not stand
 * still, or not for longer than it needs to grow by what counts as flat.
 */
double shape_standstill(const struct shape *s, size_t from);
/**
 * Standstill of a line that gives nothing back, from its last step on: it stands still just now,
 * though not for as long as shape_standstill() wants.
 */
double shape_pause(const struct shape *s, size_t from);
/** The rate of the last third of the time against that before. */
double shape_pace(const struct shape *s, size_t from);
/* Slope test for a line whose swings hide the floor: the last half against all. */
double shape_pace_in_swings(const struct shape *s, size_t from, const struct trend *all);

/** The most that was held above the floor and given back later, in any window. */
uint64_t shape_ever_given_back(const struct shape *s, size_t from);
/** It grows in less than half of the windows, and stands still in the others. */
bool shape_is_lumpy(const struct shape *s, size_t from);
/** Enough steps up, none of them the whole growth, no pause as long as a quarter of the time. */
bool shape_many_steps(const struct shape *s, size_t from);
/** With few windows: every step up, evenly in time, and the line at least doubled. */
bool shape_few_but_even(const struct shape *s);
/** Twelve coarse windows rise one after the other, and give back next to nothing. */
bool shape_kept_in_coarse(const struct shape *s, size_t from);

#endif
