/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Growing array of sites. Zero-initialised is empty; the array goes to free(). */
#ifndef TM_SITES_SITE_LIST_H
#define TM_SITES_SITE_LIST_H

#include "sites/sites.h"

struct site_list {
	struct site *v;
	size_t count, cap;
};

/** Returns: 0, -ENOMEM, -EFBIG (more than SITES_MAX). */
int site_list_add(struct site_list *l, const struct site *s);
/** Sort by address; of equal addresses the one with more evidence stays. */
void site_list_sort(struct site_list *l);
void site_list_release(struct site_list *l);

#endif
