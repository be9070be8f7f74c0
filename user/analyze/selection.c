/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is left out is added up: a report that hides something says how much. */
#include "analyze/selection.h"

#include <errno.h>
#include <stdlib.h>

enum { MARK_FILTERED = 1, MARK_SUPPRESSED = 2 };

static void sum_skipped(const struct snapshot *s, struct selection *sel)
{
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];
		struct selection_sum *sum =
			sel->skip[i] == MARK_FILTERED ? &sel->filtered : &sel->suppressed;

		if (!sel->skip[i] || (!st->bytes && !st->blocks))
			continue;
		sum->stacks++;
		sum->bytes += st->bytes;
		sum->blocks += st->blocks;
	}
}

int selection_make(const struct snapshot *s, const struct filter_set *filters,
		   const struct suppressions *suppressions, struct selection *out)
{
	struct selection sel = {.hit_count = suppressions ? suppressions_count(suppressions) : 0};
	int err = 0;

	sel.skip = calloc(s->stack_count + 1, 1);
	sel.hits = calloc(sel.hit_count + 1, sizeof(*sel.hits));
	if (!sel.skip || !sel.hits)
		err = -ENOMEM;
	if (!err && filters)
		err = filter_set_apply(filters, s, MARK_FILTERED, sel.skip);
	if (!err && suppressions)
		err = suppressions_apply(suppressions, s, MARK_SUPPRESSED, sel.skip, sel.hits);
	if (err) {
		selection_release(&sel);
		return err;
	}
	sum_skipped(s, &sel);
	*out = sel;
	return 0;
}

void selection_release(struct selection *sel)
{
	free(sel->skip);
	free(sel->hits);
	*sel = (struct selection){0};
}
