/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String pool: equal bytes get the equal id; ids are dense from 1; 0 = none = "". */
#ifndef TM_BASE_INTERN_H
#define TM_BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
	uint32_t v;
} str_id_t;

struct intern;

struct intern *intern_new(void);
void intern_free(struct intern *in);

/* Returns: 0 and *id, -ENOMEM. Bytes may contain anything; a NUL is appended. */
int intern_add(struct intern *in, const char *s, size_t len, str_id_t *id);
int intern_str(struct intern *in, const char *s, str_id_t *id);

/** The string, borrowed until intern_free(); "" for 0 or an unknown id. */
const char *intern_get(const struct intern *in, str_id_t id);
size_t intern_len(const struct intern *in, str_id_t id);
size_t intern_count(const struct intern *in);
/** Bytes that the pool takes. */
size_t intern_bytes(const struct intern *in);

#endif
