/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All lines of a series, judged, in the order in which they matter. */
#ifndef TM_ANALYZE_LEAKS_TABLE_H
#define TM_ANALYZE_LEAKS_TABLE_H

#include "analyze/leaks_process.h"
#include "analyze/leaks_series.h"

struct leak_row {
	uint32_t line;
	struct leak_finding finding;
	struct leak_ages ages;
};

struct leak_table {
	/*
	 * By verdict in the order of the enum; LEAK by slope, UNKNOWN by what it kept, CHURN by what it
	 * allocated or moved, the others by what they hold; the largest first. Lines that held nothing
	 * in all that time are left out.
	 */
	struct leak_row *rows;
	size_t count;
	size_t counts[LEAK_VERDICTS];
	uint64_t bytes[LEAK_VERDICTS]; /* held at the end */
	struct leak_sum leaks;
};

/**
 * missing_ratio, grain_bytes: see struct leak_line; the same for all lines.
 * Needs: the series finished. Returns: 0, -ENOMEM. Owns: *out until leak_table_release().
 */
int leak_table_make(struct leak_series *s, double missing_ratio, uint64_t grain_bytes,
		    struct leak_table *out);
void leak_table_release(struct leak_table *t);

#endif
