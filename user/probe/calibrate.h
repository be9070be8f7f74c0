/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cost of one trap on this machine, measured in a child of our own. */
#ifndef TM_PROBE_CALIBRATE_H
#define TM_PROBE_CALIBRATE_H

#include "probe/bpf_session.h"

/**
 * Cost of a hit of a program that finds at once that it is not its process: the trap and the dispatch.
 * Units: *ns thread CPU nanoseconds, median of rounds; *spread the relative half-width of their middle half.
 * Returns: 0, -errno (the caller goes on with an unknown cost).
 */
int calibrate_trap(const struct bpf_session *s, double *ns, double *spread);

#endif
