/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds positions by hash: open addressing, 8 bytes an entry. The owner of the things keeps them and
 * picks the one with the wanted key.
 */
#ifndef TM_ANALYZE_STAT_TABLE_H
#define TM_ANALYZE_STAT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define STAT_TABLE_NONE UINT32_MAX

struct stat_table { /* zero-initialised is empty */
	struct stat_slot {
		uint32_t hash;
		uint32_t value; /* + 1; 0 = free */
	} * slots;
	size_t slot_count; /* a power of two */
	size_t used;
};

/** Returns: 0, -ENOMEM (unchanged). */
int stat_table_add(struct stat_table *t, uint64_t hash, uint32_t value);

/**
 * The values of a hash, one a call: start with *pos = SIZE_MAX. Values of other hashes may be among them.
 * Returns: STAT_TABLE_NONE at the end.
 */
uint32_t stat_table_next(const struct stat_table *t, uint64_t hash, size_t *pos);
void stat_table_release(struct stat_table *t);

#endif
