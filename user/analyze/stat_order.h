/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first elements of an order, without sorting all of them: a report shows ten of 500,000 groups. */
#ifndef TM_ANALYZE_STAT_ORDER_H
#define TM_ANALYZE_STAT_ORDER_H

#include <stddef.h>

/* < 0: a stands before b; arg as for qsort_r(3). */
typedef int (*stat_order_fn)(const void *a, const void *b, void *arg);

/**
 * Bring the first `top` elements (0 = all) to the front, in order; the others follow in any order.
 * size: of an element, at most STAT_ORDER_SIZE_MAX.
 */
void stat_order_top(void *items, size_t count, size_t size, size_t top, stat_order_fn before,
		    void *arg);

#define STAT_ORDER_SIZE_MAX 128

#endif
