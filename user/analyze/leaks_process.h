/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process as a whole: does its memory grow, do the traced lines explain it, when is the limit hit? */
#ifndef TM_ANALYZE_LEAKS_PROCESS_H
#define TM_ANALYZE_LEAKS_PROCESS_H

#include "analyze/leaks.h"

struct leak_sum { /* of the lines that leak: slopes in bytes a minute */
	size_t lines;
	double per_min, per_min_low, per_min_high;
};

enum leak_rate { /* whose slope it is at which the limit is reached */
		 LEAK_RATE_RSS = 0,
		 LEAK_RATE_LIVE,  /* of all that is traced, whatever is filtered or suppressed */
		 LEAK_RATE_LEAKS, /* the sum of the leaking lines that were judged */
};

struct leak_process {
	bool rss_known;
	struct leak_finding rss, live; /* trends of the resident size and of all that is traced */
	/* RSS keeps growing, clearly faster than what is traced and alive */
	bool unexplained;
	double unexplained_per_min;
	/* time to the limit at the rate of now; < 0: no limit known, or nothing grows */
	double limit_min, limit_min_low, limit_min_high; /* minutes; high < 0: may be never */
	bool limit_reached; /* RSS is at the limit or above; the times are 0 */
	enum leak_rate limit_rate;
};

/**
 * rss: NULL when it was never read. limit_bytes: 0 = none or not known.
 * Both lines are of the same windows; missing_ratio counts for live.
 */
void leak_process_judge(const struct leak_line *rss, const struct leak_line *live,
			const struct leak_sum *leaks, uint64_t limit_bytes,
			struct leak_process *out);

#endif
