/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linear probing; at most half full, so that an unsuccessful search ends soon. */
#include "analyze/stat_table.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_SLOTS 64

static void put_value(struct stat_table *t, uint32_t hash, uint32_t value)
{
	size_t at = hash & (t->slot_count - 1);

	while (t->slots[at].value)
		at = (at + 1) & (t->slot_count - 1);
	t->slots[at] = (struct stat_slot){.hash = hash, .value = value};
}

static int grow_table(struct stat_table *t)
{
	struct stat_table bigger = {
		.slot_count = t->slot_count ? t->slot_count * 2 : FIRST_SLOTS,
		.used = t->used,
	};

	bigger.slots = calloc(bigger.slot_count, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->slot_count; i++) {
		if (t->slots[i].value)
			put_value(&bigger, t->slots[i].hash, t->slots[i].value);
	}
	free(t->slots);
	*t = bigger;
	return 0;
}

int stat_table_add(struct stat_table *t, uint64_t hash, uint32_t value)
{
	if (value == STAT_TABLE_NONE)
		return -ENOMEM;
	if (t->used * 2 >= t->slot_count && grow_table(t))
		return -ENOMEM;
	put_value(t, (uint32_t)(hash >> 32), value + 1);
	t->used++;
	return 0;
}

uint32_t stat_table_next(const struct stat_table *t, uint64_t hash, size_t *pos)
{
	uint32_t want = (uint32_t)(hash >> 32);
	size_t at;

	if (!t->slot_count)
		return STAT_TABLE_NONE;
	at = *pos == SIZE_MAX ? want & (t->slot_count - 1) : (*pos + 1) & (t->slot_count - 1);
	for (; t->slots[at].value; at = (at + 1) & (t->slot_count - 1)) {
		if (t->slots[at].hash == want) {
			*pos = at;
			return t->slots[at].value - 1;
		}
	}
	return STAT_TABLE_NONE;
}

void stat_table_release(struct stat_table *t)
{
	free(t->slots);
	*t = (struct stat_table){0};
}
