/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/trap_cost.h"

double trap_cost_ns(const struct tm_cpu_stats *before, const struct tm_cpu_stats *now,
		    double trap_ns)
{
	double ns = (double)(now->idle - before->idle) * trap_ns;

	for (int k = 0; k < TM_PROG_COUNT; k++) {
		double hits = (double)(now->hits[k] - before->hits[k]);
		double program =
			now->timed[k] ? (double)now->timed_ns[k] / (double)now->timed[k] : trap_ns;

		ns += hits * (trap_ns + program);
	}
	return ns;
}

uint64_t trap_count(const struct tm_cpu_stats *before, const struct tm_cpu_stats *now)
{
	uint64_t count = now->idle - before->idle;

	for (int k = 0; k < TM_PROG_COUNT; k++)
		count += now->hits[k] - before->hits[k];
	return count;
}
