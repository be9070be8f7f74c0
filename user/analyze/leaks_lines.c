/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each stack is grouped by itself, by the function that groups snapshots, so that all verbs share one
 * rule.
 */
#include "analyze/leaks_lines.h"

#include <errno.h>
#include <stdlib.h>

#include "analyze/stat_group.h"
#include "analyze/stat_key.h"
#include "analyze/stat_table.h"
#include "base/buf.h"

struct leak_lines {
	enum stat_key key;
	struct leak_name *names;
	uint64_t *held; /* by the biggest stack of each line */
	size_t count, name_cap, held_cap;
	struct stat_table index;
};

int leak_lines_new(enum stat_key key, struct leak_lines **out)
{
	struct leak_lines *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->key = key;
	*out = l;
	return 0;
}

void leak_lines_free(struct leak_lines *l)
{
	if (!l)
		return;
	free(l->names);
	free(l->held);
	stat_table_release(&l->index);
	free(l);
}

static uint32_t find_line(const struct leak_lines *l, const struct leak_name *like, uint64_t hash)
{
	size_t pos = SIZE_MAX;
	uint32_t i;

	while ((i = stat_table_next(&l->index, hash, &pos)) != STAT_TABLE_NONE) {
		if (statistic_equals(&like->in, &l->names[i].group, &like->group))
			return i;
	}
	return LEAK_LINE_NONE;
}

static int new_line(struct leak_lines *l, const struct leak_name *name, uint64_t hash)
{
	struct leak_name *names = array_grow(l->names, &l->name_cap, l->count + 1, sizeof(*names));
	uint64_t *held;

	if (!names)
		return -ENOMEM;
	l->names = names;
	held = array_grow(l->held, &l->held_cap, l->count + 1, sizeof(*held));
	if (!held)
		return -ENOMEM;
	l->held = held;
	if (stat_table_add(&l->index, hash, (uint32_t)l->count))
		return -ENOMEM;
	names[l->count] = *name;
	held[l->count++] = 0;
	return 0;
}

/* Returns: the line of the stack, made when it is new; LEAK_LINE_NONE: no memory. */
static uint32_t line_of(struct leak_lines *l, struct stat_namer *namer, const struct snap_stack *st)
{
	struct leak_name name = {.in = {.snap = namer->snap, .key = l->key}};
	uint64_t hash;
	uint32_t line;

	if (stat_group_of(namer, st, &name.group))
		return LEAK_LINE_NONE;
	hash = statistic_hash(&name.in, &name.group);
	line = find_line(l, &name, hash);
	if (line != LEAK_LINE_NONE)
		return line;
	line = (uint32_t)l->count;
	return new_line(l, &name, hash) ? LEAK_LINE_NONE : line;
}

int leak_lines_add(struct leak_lines *l, const struct snapshot *s, const uint8_t *skip,
		   uint32_t *map)
{
	struct stat_namer namer;
	int err = stat_namer_init(&namer, s, l->key);

	for (size_t i = 0; !err && i < s->stack_count; i++) {
		map[i] = LEAK_LINE_NONE;
		if (skip && skip[i])
			continue;
		map[i] = line_of(l, &namer, &s->stacks[i]);
		if (map[i] == LEAK_LINE_NONE)
			err = -ENOMEM;
	}
	stat_namer_release(&namer);
	return err;
}

size_t leak_lines_count(const struct leak_lines *l)
{
	return l->count;
}

void leak_lines_pick_biggest(struct leak_lines *l, const struct snapshot *s, const uint32_t *map)
{
	for (size_t i = 0; i < s->stack_count; i++) {
		struct leak_name *name;

		if (map[i] == LEAK_LINE_NONE || s->stacks[i].bytes <= l->held[map[i]])
			continue;
		l->held[map[i]] = s->stacks[i].bytes;
		name = &l->names[map[i]];
		name->in.snap = s;
		name->group.biggest = &s->stacks[i];
		name->group.domain = s->stacks[i].domain;
		if (name->group.frame_count)
			name->group.frames = &s->frames[s->stacks[i].first_frame];
	}
}

const struct leak_name *leak_lines_name(const struct leak_lines *l, uint32_t line)
{
	return &l->names[line];
}
