/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The statistics engine's groups, as the live report wants them: domains apart, each with a function. */
#include "analyze/top_sites.h"

#include <errno.h>
#include <stdlib.h>

#include "analyze/stats.h"

static enum stat_key key_of(enum group_by by)
{
	return by == BY_TRACEBACK  ? STAT_TRACEBACK
	       : by == BY_FILENAME ? STAT_FILENAME
				   : STAT_LINENO;
}

static struct site_stat site_of(const struct statistics *in, const struct statistic *st)
{
	struct site_stat site = {
		.biggest = st->biggest,
		.domain = st->domain,
		.bytes = st->size,
		.blocks = st->count,
	};
	size_t count;

	site.top = *statistic_frames(st, &count);
	site.top.function = statistic_function(in, st);
	return site;
}

int top_sites_group(const struct snapshot *s, enum group_by by, struct top_sites *out)
{
	const struct stat_opts opts = {.key = key_of(by), .split_domains = true};
	_cleanup_(statistics_release) struct statistics groups = {0};
	struct site_stat *items;
	int err = statistics_make(s, &opts, &groups);

	if (err)
		return err;
	items = calloc(groups.count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < groups.count; i++)
		items[i] = site_of(&groups, &groups.items[i]);
	*out = (struct top_sites){.items = items, .count = groups.count};
	return 0;
}

void top_sites_release(struct top_sites *t)
{
	free(t->items);
	*t = (struct top_sites){0};
}
