/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which group of a snapshot does a stack belong to? The one answer for statistics, diffs and leaks. */
#ifndef TM_ANALYZE_STAT_GROUP_H
#define TM_ANALYZE_STAT_GROUP_H

#include "analyze/stat_module.h"
#include "analyze/stats.h"

struct stat_namer {		     /* what names of groups need, made once for a snapshot */
	const struct snapshot *snap; /* borrowed */
	enum stat_key key;
	struct snap_frame unknown;    /* stands for the frames of a stack that has none */
	struct stat_modules *modules; /* STAT_MODULE only */
	str_id_t all_threads, domain_ids[UINT8_MAX + 1];
};

/** Returns: 0, -ENOMEM. Owns: n until stat_namer_release(). Names are added to the snapshot's strings. */
int stat_namer_init(struct stat_namer *n, const struct snapshot *s, enum stat_key key);
void stat_namer_release(struct stat_namer *n);

/**
 * The group of a stack: of its innermost frame, for traceback of all of them. Without size and count; `biggest`
 * is the stack. Returns: 0, -ENOMEM.
 */
int stat_group_of(struct stat_namer *n, const struct snap_stack *st, struct statistic *out);

/** The group of frame i of a stack that has frames, for cumulative statistics. Returns: 0, -ENOMEM. */
int stat_group_of_frame(struct stat_namer *n, const struct snap_stack *st, size_t i,
			struct statistic *out);

#endif
