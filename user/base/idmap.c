/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open addressing with linear probing: one cache line a look-up in the usual case. Deletion shifts
 * the followers back instead of leaving tombstones, so a table under churn does not get slower.
 */
#include "base/idmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

#define FIRST_CAP 16

struct entry {
	uint64_t key; /* any value, 0 too */
	uint32_t value;
	uint32_t used;
};

struct idmap {
	struct entry *entries; /* cap of them, NULL while cap is 0 */
	size_t cap;	       /* a power of two */
	size_t count;
};

struct idmap *idmap_new(void)
{
	return calloc(1, sizeof(struct idmap));
}

void idmap_free(struct idmap *m)
{
	if (!m)
		return;
	free(m->entries);
	free(m);
}

/* Keys are addresses and packed ids, whose low bits hardly differ. */
static size_t home_of(const struct idmap *m, uint64_t key)
{
	return (size_t)hash_finish(key) & (m->cap - 1);
}

/* The entry with the key, or the free one where it belongs. The table is never full. */
static struct entry *find_entry(const struct idmap *m, uint64_t key)
{
	size_t i = home_of(m, key);

	while (m->entries[i].used && m->entries[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->entries[i];
}

bool idmap_get(const struct idmap *m, uint64_t key, uint32_t *value)
{
	const struct entry *e;

	if (!m->cap)
		return false;
	e = find_entry(m, key);
	if (!e->used)
		return false;
	*value = e->value;
	return true;
}

static int grow_map(struct idmap *m)
{
	struct idmap bigger = {.cap = m->cap ? m->cap * 2 : FIRST_CAP, .count = m->count};

	bigger.entries = calloc(bigger.cap, sizeof(*bigger.entries));
	if (!bigger.entries)
		return -ENOMEM;
	for (size_t i = 0; i < m->cap; i++) {
		if (m->entries[i].used)
			*find_entry(&bigger, m->entries[i].key) = m->entries[i];
	}
	free(m->entries);
	*m = bigger;
	return 0;
}

int idmap_put(struct idmap *m, uint64_t key, uint32_t value)
{
	struct entry *e;

	/* At most 3/4 full: beyond that a miss walks long runs. */
	if (m->count + 1 > m->cap / 4 * 3) {
		int err = grow_map(m);

		if (err)
			return err;
	}
	e = find_entry(m, key);
	if (!e->used)
		m->count++;
	*e = (struct entry){.key = key, .value = value, .used = 1};
	return 0;
}

bool idmap_del(struct idmap *m, uint64_t key)
{
	size_t mask = m->cap - 1, hole;
	const struct entry *e;

	if (!m->cap)
		return false;
	e = find_entry(m, key);
	if (!e->used)
		return false;
	hole = (size_t)(e - m->entries);
	for (size_t i = (hole + 1) & mask; m->entries[i].used; i = (i + 1) & mask) {
		/* An entry may move back only as far as its home. */
		if (((i - home_of(m, m->entries[i].key)) & mask) < ((i - hole) & mask))
			continue;
		m->entries[hole] = m->entries[i];
		hole = i;
	}
	m->entries[hole] = (struct entry){0};
	m->count--;
	return true;
}

size_t idmap_count(const struct idmap *m)
{
	return m->count;
}

bool idmap_next(const struct idmap *m, size_t *pos, uint64_t *key, uint32_t *value)
{
	while (*pos < m->cap) {
		const struct entry *e = &m->entries[(*pos)++];

		if (e->used) {
			*key = e->key;
			*value = e->value;
			return true;
		}
	}
	return false;
}
