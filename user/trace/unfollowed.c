/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/unfollowed.h"

#include <errno.h>
#include <stdlib.h>

static uint64_t smaller_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int unfollowed_begin(struct unfollowed *u, const struct drain_result *r, bool malloc_only,
		     int64_t realtime_ns)
{
	struct stack_total *most = calloc(r->stack_cap + 1, sizeof(*most));

	if (!most)
		return -ENOMEM;
	for (size_t i = 0; i < r->id_count; i++) {
		const struct stack_total *t = &r->by_stack[r->ids[i]];
		struct stack_total *m = &most[r->ids[i]];

		m->bytes = malloc_only ? t->malloc_bytes : t->bytes;
		m->blocks = malloc_only ? t->malloc_blocks : t->blocks;
	}
	free(u->most);
	u->most = most;
	u->count = r->stack_cap;
	u->gap = (struct snap_gap){.from_ns = realtime_ns, .malloc_only = malloc_only};
	return 0;
}

void unfollowed_end(struct unfollowed *u, int64_t realtime_ns)
{
	if (u->gap.from_ns)
		u->gap.to_ns = realtime_ns;
}

void unfollowed_release(struct unfollowed *u)
{
	free(u->most);
	*u = (struct unfollowed){0};
}

/* Only ever shrink it, because memory that was seen gone does not come back. */
static void shrink_to(const struct unfollowed *u, struct stack_total *most,
		      const struct stack_total *now)
{
	most->bytes = smaller_of(most->bytes, u->gap.malloc_only ? now->malloc_bytes : now->bytes);
	most->blocks =
		smaller_of(most->blocks, u->gap.malloc_only ? now->malloc_blocks : now->blocks);
}

void unfollowed_restart(struct unfollowed *u, const struct drain_result *r)
{
	static const struct stack_total nothing;

	u->gap.bytes = u->gap.blocks = 0;
	/* Also stacks without live bytes now, since no snapshot would ask for them. */
	for (size_t id = 0; id < u->count; id++)
		shrink_to(u, &u->most[id], id < r->stack_cap ? &r->by_stack[id] : &nothing);
}

uint64_t unfollowed_apply(struct unfollowed *u, uint32_t id, struct stack_total *now)
{
	struct stack_total nothing = {0}, *most = id < u->count ? &u->most[id] : &nothing;

	if (!u->gap.from_ns)
		return 0;
	shrink_to(u, most, now);
	if (!u->gap.to_ns && !u->gap.malloc_only) {
		now->bytes = most->bytes;
		now->blocks = most->blocks;
	}
	u->gap.bytes += most->bytes;
	u->gap.blocks += most->blocks;
	return most->bytes;
}
