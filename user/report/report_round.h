/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Doubles as integers. Private to user/report/. */
#ifndef TM_REPORT_ROUND_H
#define TM_REPORT_ROUND_H

#include <stdint.h>

/** Nearest integer, clamped to +-2^62. Not llround(): the program does not link libm. */
static inline int64_t round_i64(double value)
{
	const double limit = 4611686018427387904.0;

	if (value > limit || value < -limit)
		return (int64_t)(value > 0 ? limit : -limit);
	return (int64_t)(value + (value < 0 ? -0.5 : 0.5));
}

#endif
