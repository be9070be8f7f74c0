/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sums up what is left out, so that a report states how much it hides. */
#include "analyze/selection.h"

#include <errno.h>
#include <stdlib.h>

enum { MARK_SUPPRESSED = FILTER_MARKS }; /* beside the marks of filters */

static void add_stack(struct selection_sum *sum, const struct snap_stack *st)
{
	sum->stacks++;
	sum->bytes += st->bytes;
	sum->blocks += st->blocks;
}

static void sum_skipped(const struct snapshot *s, struct selection *sel)
{
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		if (!sel->skip[i] || (!st->bytes && !st->blocks))
			continue;
		add_stack(sel->skip[i] == MARK_SUPPRESSED ? &sel->suppressed : &sel->filtered, st);
		if (sel->skip[i] == FILTER_DROPS_BY_DEFAULT)
			add_stack(&sel->by_default, st);
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
		err = filter_set_apply(filters, s, sel.skip);
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
