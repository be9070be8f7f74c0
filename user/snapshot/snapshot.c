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
	/* Unknown until the capture side has measured them; 0 would be a claim. */
	s->cost_cpu_ratio = s->slowdown_ratio = -1;
	return s;
}

void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	free(s->frames);
	free(s->stacks);
	free(s->foreign_domains);
	free(s);
}

static int add_stack(struct snapshot *s, const struct snap_stack *stack)
{
	struct snap_stack *stacks =
		array_grow(s->stacks, &s->stack_cap, s->stack_count + 1, sizeof(*stacks));

	if (!stacks)
		return -ENOMEM;
	s->stacks = stacks;
	stacks[s->stack_count++] = *stack;
	s->live_bytes += stack->bytes;
	s->live_blocks += stack->blocks;
	return 0;
}

int snapshot_add(struct snapshot *s, enum snap_domain domain, const struct snap_frame *frames,
		 size_t frame_count, bool truncated, uint64_t bytes, uint64_t blocks)
{
	struct snap_stack stack = {.first_frame = (uint32_t)s->frame_count,
				   .domain = (uint8_t)domain,
				   .bytes = bytes,
				   .blocks = blocks};
	struct snap_frame *all;
	int err;

	if (frame_count > UINT16_MAX) {
		frame_count = UINT16_MAX;
		truncated = true;
	}
	if (frame_count > UINT32_MAX - s->frame_count)
		return -ENOMEM; /* first_frame has 32 bits */
	all = array_grow(s->frames, &s->frame_cap, s->frame_count + frame_count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	s->frames = all;

	if (frame_count)
		memcpy(all + s->frame_count, frames, frame_count * sizeof(*all));
	stack.frame_count = (uint16_t)frame_count;
	stack.truncated = truncated;
	err = add_stack(s, &stack);
	if (!err)
		s->frame_count += frame_count;
	return err;
}

int snapshot_add_like(struct snapshot *s, enum snap_domain domain, size_t like, bool truncated,
		      uint64_t bytes, uint64_t blocks)
{
	const struct snap_stack stack = {
		.first_frame = s->stacks[like].first_frame,
		.frame_count = s->stacks[like].frame_count,
		.domain = (uint8_t)domain,
		.truncated = truncated,
		.bytes = bytes,
		.blocks = blocks,
	};

	return add_stack(s, &stack);
}

int snapshot_domain_of(struct snapshot *s, uint32_t number, uint8_t *domain)
{
	uint32_t *numbers;

	if (number == SNAP_NUMBER_PYTHON || number == SNAP_NUMBER_NATIVE) {
		*domain = number == SNAP_NUMBER_PYTHON ? SNAP_PYTHON : SNAP_NATIVE;
		return 0;
	}
	for (size_t i = 0; i < s->foreign_count; i++) {
		if (s->foreign_domains[i] == number) {
			*domain = (uint8_t)(SNAP_DOMAINS + i);
			return 0;
		}
	}
	if (s->foreign_count == SNAP_FOREIGN_MAX)
		return -ERANGE;
	numbers = array_grow(s->foreign_domains, &s->foreign_cap, s->foreign_count + 1,
			     sizeof(*numbers));
	if (!numbers)
		return -ENOMEM;
	s->foreign_domains = numbers;
	*domain = (uint8_t)(SNAP_DOMAINS + s->foreign_count);
	numbers[s->foreign_count++] = number;
	return 0;
}

const char *snapshot_domain_name(enum snap_domain domain)
{
	return domain == SNAP_PYTHON ? "python" : "native";
}

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && !memcmp(s + len - n, end, n);
}

bool snapshot_file_is_python(const char *name, size_t len)
{
	return (len && name[0] == '<') || ends_with(name, len, ".py") ||
	       ends_with(name, len, ".pyc");
}

uint32_t snapshot_domain_number(const struct snapshot *s, uint8_t domain)
{
	if (domain < SNAP_DOMAINS)
		return domain == SNAP_PYTHON ? SNAP_NUMBER_PYTHON : SNAP_NUMBER_NATIVE;
	/* Keep an unknown number as it is, since it can only meet a filter by chance. */
	return (size_t)(domain - SNAP_DOMAINS) < s->foreign_count
		       ? s->foreign_domains[domain - SNAP_DOMAINS]
		       : domain;
}
