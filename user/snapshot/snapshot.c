/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Builds the model of one moment: two arrays, frames and the stacks that point into them. */
#include "snapshot/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct snapshot *snapshot_new(struct intern *strings)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->strings = strings;
	s->cost_cpu_ratio =
		-1; /* unknown until the capture side has measured it; 0 would be a claim */
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->frames);
	free(s->stacks);
	free(s);
}

int snapshot_add(struct snapshot *s, enum snap_domain domain, const struct snap_frame *frames,
		 size_t frame_count, bool truncated, uint64_t bytes, uint64_t blocks)
{
	struct snap_stack *stacks;
	struct snap_frame *all;

	if (frame_count > UINT16_MAX) {
		frame_count = UINT16_MAX;
		truncated = true;
	}
	if (frame_count > UINT32_MAX - s->frame_count)
		return -ENOMEM; /* first_frame has 32 bits */
	stacks = array_grow(s->stacks, &s->stack_cap, s->stack_count + 1, sizeof(*stacks));
	if (!stacks)
		return -ENOMEM;
	s->stacks = stacks;
	all = array_grow(s->frames, &s->frame_cap, s->frame_count + frame_count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->frames = all;

	if (frame_count)
		memcpy(all + s->frame_count, frames, frame_count * sizeof(*all));
	stacks[s->stack_count++] = (struct snap_stack){
		.first_frame = (uint32_t)s->frame_count,
		.frame_count = (uint16_t)frame_count,
		.domain = (uint8_t)domain,
		.truncated = truncated,
		.bytes = bytes,
		.blocks = blocks,
	};
	s->frame_count += frame_count;
	s->live_bytes += bytes;
	s->live_blocks += blocks;
	return 0;
}
