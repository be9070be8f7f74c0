/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A heap of the best with its worst on top, so that one comparison turns nearly every element away.
 */
#include "analyze/stat_order.h"

#include <stdlib.h>
#include <string.h>

#define SORT_ALL_SHARE 8 /* when that part is wanted, sorting everything is as good */

struct heap {
	char *items;
	size_t count, size;
	stat_order_fn before;
	void *arg;
};

static void *heap_at(const struct heap *h, size_t i)
{
	return h->items + i * h->size;
}

static void swap_items(const struct heap *h, size_t i, size_t j)
{
	char saved[STAT_ORDER_SIZE_MAX];

	memcpy(saved, heap_at(h, i), h->size);
	memcpy(heap_at(h, i), heap_at(h, j), h->size);
	memcpy(heap_at(h, j), saved, h->size);
}

static size_t later_of(const struct heap *h, size_t i, size_t j)
{
	return j < h->count && h->before(heap_at(h, i), heap_at(h, j), h->arg) < 0 ? j : i;
}

static void sift_down(const struct heap *h, size_t i)
{
	for (;;) {
		size_t last = later_of(h, later_of(h, i, 2 * i + 1), 2 * i + 2);

		if (last == i)
			return;
		swap_items(h, i, last);
		i = last;
	}
}

void stat_order_top(void *items, size_t count, size_t size, size_t top, stat_order_fn before,
		    void *arg)
{
	struct heap h = {items, top, size, before, arg};

	if (top && top < count / SORT_ALL_SHARE) {
		for (size_t i = top / 2; i-- > 0;)
			sift_down(&h, i);
		for (size_t i = top; i < count; i++) {
			if (before(heap_at(&h, i), heap_at(&h, 0), arg) < 0) {
				swap_items(&h, i, 0);
				sift_down(&h, 0);
			}
		}
		count = top;
	}
	if (count > 1)
		qsort_r(items, count, size, before, arg);
}
