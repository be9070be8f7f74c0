/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live bytes of each line of a series, in at most LEAKS_WINDOWS_MAX windows of equal time: least and
 * most. Fed with changes only, snapshot by snapshot, so that memory and time follow what changes, not
 * snapshots x lines. A line that never changes costs 100 bytes, any other a kilobyte more.
 */
#ifndef TM_ANALYZE_LEAKS_SERIES_H
#define TM_ANALYZE_LEAKS_SERIES_H

#include "analyze/leaks.h"
#include "base/cleanup.h"

struct leak_value { /* of a line at one snapshot */
	uint64_t bytes, blocks;
	uint64_t alloc_bytes, alloc_blocks; /* since attach; 0 with bytes > 0: not known */
};

struct leak_series;

/**
 * time_ns: of every snapshot, ascending (copied into windows). Up to LEAKS_WINDOWS_MAX snapshots each is
 * a window of its own; more are sorted into windows of equal time, and windows without any are left out.
 * Returns: 0, -EINVAL (none, or not ascending), -ENOMEM. Owns: *out.
 */
int leak_series_new(const int64_t *time_ns, size_t snapshots, struct leak_series **out);
void leak_series_free(struct leak_series *s);
DEFINE_CLEANUP(struct leak_series *, leak_series_free);

size_t leak_series_windows(const struct leak_series *s);

/**
 * From the snapshot of this number on (0, 1, ..., never backwards) the line holds this. Lines are
 * numbered by the caller, densely from 0; before its first value a line holds nothing.
 * Returns: 0, -ENOMEM.
 */
int leak_series_set(struct leak_series *s, size_t snapshot, uint32_t line,
		    const struct leak_value *value);

/** After the last value. Lines up to the highest that was set; finishing again is harmless. */
void leak_series_finish(struct leak_series *s);
size_t leak_series_lines(const struct leak_series *s);

/**
 * The values of the line; missing_ratio and grain_bytes are the caller's to fill. Pointers are
 * borrowed until the next call for another line. Needs: finished.
 */
void leak_series_line(struct leak_series *s, uint32_t line, struct leak_line *out);

struct leak_ages { /* how the blocks of a line came and went; ratios of 0..1, < 0: not known */
	double freed_ratio; /* of the blocks ever allocated since attach, those that are gone */
	double old_ratio;   /* of the blocks held now, at least this share is older than old_s */
	double old_s;
	uint64_t blocks; /* held now */
};

/* Needs: finished. Ages are measured from the last third of the time. */
void leak_series_ages(const struct leak_series *s, uint32_t line, struct leak_ages *out);

#endif
