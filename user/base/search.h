/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binary search. */
#ifndef TM_BASE_SEARCH_H
#define TM_BASE_SEARCH_H

#include <stddef.h>

/*
 * The first index i in [0, count) for which cond, an expression in i, is true; count when it is true for none. Once
 * true, it must stay true for all that follow:
 *     first_index(i, maps->count, maps->items[i].start > addr)
 */
#define first_index(i, count, cond)                                \
	({                                                         \
		size_t tm_lo_ = 0, tm_hi_ = (count);               \
		while (tm_lo_ < tm_hi_) {                          \
			size_t i = tm_lo_ + (tm_hi_ - tm_lo_) / 2; \
			if (cond)                                  \
				tm_hi_ = i;                        \
			else                                       \
				tm_lo_ = i + 1;                    \
		}                                                  \
		tm_lo_;                                            \
	})

#endif
