/* SPDX-License-Identifier: GPL-2.0-or-later */
/* u64 -> u32 table, open addressing, grows by doubling; made for millions of entries. */
#ifndef TM_BASE_IDMAP_H
#define TM_BASE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap;

struct idmap *idmap_new(void);
void idmap_free(struct idmap *m);

bool idmap_get(const struct idmap *m, uint64_t key, uint32_t *value);
/** Insert or replace. Returns: 0, -ENOMEM. */
int idmap_put(struct idmap *m, uint64_t key, uint32_t value);
/** Returns: true when the key was there. */
bool idmap_del(struct idmap *m, uint64_t key);
size_t idmap_count(const struct idmap *m);

/** Walk all entries: start with *pos = 0; false at the end. The map must not change meanwhile. */
bool idmap_next(const struct idmap *m, size_t *pos, uint64_t *key, uint32_t *value);

#endif
