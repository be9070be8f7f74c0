/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Maps a stack to its line. Lines are the groups of analyze/stats.h, numbered densely from 0, so that a
 * series can be fed line by line. Several files of one process share the numbers.
 */
#ifndef TM_ANALYZE_LEAKS_LINES_H
#define TM_ANALYZE_LEAKS_LINES_H

#include "analyze/stats.h"

#define LEAK_LINE_NONE UINT32_MAX

struct leak_name { /* what a line is called; everything borrowed from the snapshots that were added */
	struct statistics in;	/* to be named with, see stat_text_name(); holds no groups */
	struct statistic group; /* its biggest is the stack that counts; its numbers are not used */
};

struct leak_lines;

/** Returns: 0, -ENOMEM. Owns: *out. */
int leak_lines_new(enum stat_key key, struct leak_lines **out);
void leak_lines_free(struct leak_lines *l);
DEFINE_CLEANUP(struct leak_lines *, leak_lines_free);

/**
 * Number the lines of all stacks, also of those that hold nothing: map[i] is the line of stack i,
 * LEAK_LINE_NONE where skip[i] is not 0 (skip may be NULL).
 * Needs: snapshots of one pool of strings; s, its frames and its stacks stay where they are for as long
 * as names are asked for.
 * Returns: 0, -ENOMEM.
 */
int leak_lines_add(struct leak_lines *l, const struct snapshot *s, const uint8_t *skip,
		   uint32_t *map);
size_t leak_lines_count(const struct leak_lines *l);

/** Name lines after the stacks of s that hold most now. map: as leak_lines_add() filled it. */
void leak_lines_pick_biggest(struct leak_lines *l, const struct snapshot *s, const uint32_t *map);

const struct leak_name *leak_lines_name(const struct leak_lines *l, uint32_t line);

#endif
