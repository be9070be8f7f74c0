/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/site_list.h"

#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"

int site_list_add(struct site_list *l, const struct site *s)
{
	struct site *bigger;

	if (l->count >= SITES_MAX)
		return -EFBIG;
	bigger = array_grow(l->v, &l->cap, l->count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	l->v = bigger;
	l->v[l->count++] = *s;
	return 0;
}

static int site_cmp(const void *a, const void *b)
{
	const struct site *x = a, *y = b;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	return (int)y->evidence - (int)x->evidence;
}

void site_list_sort(struct site_list *l)
{
	size_t kept = 0;

	if (l->count == 0)
		return;
	qsort(l->v, l->count, sizeof(*l->v), site_cmp);
	for (size_t i = 1; i < l->count; i++)
		if (l->v[i].vaddr != l->v[kept].vaddr)
			l->v[++kept] = l->v[i];
	l->count = kept + 1;
}

void site_list_release(struct site_list *l)
{
	free(l->v);
	*l = (struct site_list){0};
}
