/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cost of the traps of a span to the target, from their counters. */
#ifndef TM_TRACE_TRAP_COST_H
#define TM_TRACE_TRAP_COST_H

#include <stdint.h>

#include "bpf/tmbpf.h"

/**
 * Traps x what one costs, and the time of the programs, sampled since attach. Units: ns; trap_ns >= 0. A kind of
 * program that no sample was taken of is taken to cost as much as its trap.
 */
double trap_cost_ns(const struct tm_cpu_stats *before, const struct tm_cpu_stats *now,
		    double trap_ns);

/** Traps in the same span. */
uint64_t trap_count(const struct tm_cpu_stats *before, const struct tm_cpu_stats *now);

#endif
