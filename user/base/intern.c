/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String pool. Bytes lie in chunks that never move, because intern_get() hands out pointers that
 * stay good while the pool grows.
 */
#include "base/intern.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/keyed_hash.h"

#define CHUNK_BYTES 65536
#define FIRST_SLOTS 64

struct chunk {
	struct chunk *next;
	size_t used, cap; /* bytes */
	char data[];
};

struct string {
	const char *data; /* in a chunk, NUL-terminated */
	size_t len;
	uint64_t hash;
};

struct intern {
	struct chunk *chunks;	/* the one being filled first */
	struct string *strings; /* id - 1 */
	size_t count, cap;
	uint32_t *slots; /* id, 0 = free; linear probing */
	size_t slot_cap; /* a power of two, or 0 */
	size_t chunk_bytes;
};

struct intern *intern_new(void)
{
	return calloc(1, sizeof(struct intern));
}

void intern_free(struct intern *in)
{
	if (!in)
		return;
	for (struct chunk *c = in->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(in->strings);
	free(in->slots);
	free(in);
}

/* The slot that holds the string, or the free slot where it belongs. */
static uint32_t *find_slot(const struct intern *in, const char *s, size_t len, uint64_t hash)
{
	size_t i = (size_t)hash & (in->slot_cap - 1);

	for (;; i = (i + 1) & (in->slot_cap - 1)) {
		const struct string *str;

		if (!in->slots[i])
			return &in->slots[i];
		str = &in->strings[in->slots[i] - 1];
		if (str->hash == hash && str->len == len && !memcmp(str->data, s, len))
			return &in->slots[i];
	}
}

static int grow_slots(struct intern *in)
{
	size_t cap = in->slot_cap ? in->slot_cap * 2 : FIRST_SLOTS;
	uint32_t *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t id = 1; id <= in->count; id++) {
		size_t i = (size_t)in->strings[id - 1].hash & (cap - 1);

		while (slots[i])
			i = (i + 1) & (cap - 1);
		slots[i] = (uint32_t)id;
	}
	free(in->slots);
	in->slots = slots;
	in->slot_cap = cap;
	return 0;
}

static char *store_text(struct intern *in, const char *s, size_t len)
{
	struct chunk *c = in->chunks;
	char *copy;

	if (!c || len + 1 > c->cap - c->used) {
		size_t cap = len + 1 > CHUNK_BYTES ? len + 1 : CHUNK_BYTES;

		c = malloc(sizeof(*c) + cap);
		if (!c)
			return NULL;
		*c = (struct chunk){.next = in->chunks, .cap = cap};
		in->chunks = c;
		in->chunk_bytes += cap;
	}
	copy = c->data + c->used;
	memcpy(copy, s, len);
	copy[len] = '\0';
	c->used += len + 1;
	return copy;
}

int intern_add(struct intern *in, const char *s, size_t len, str_id_t *id)
{
	struct string *strings;
	uint64_t hash;
	uint32_t *slot;
	char *copy;

	if (!len) {
		id->v = 0;
		return 0;
	}
	if (len > (size_t)PTRDIFF_MAX - CHUNK_BYTES)
		return -ENOMEM;
	if (in->count + 1 > in->slot_cap / 4 * 3 && grow_slots(in))
		return -ENOMEM;
	hash = keyed_hash_bytes(s, len);
	slot = find_slot(in, s, len, hash);
	if (*slot) {
		id->v = *slot;
		return 0;
	}
	strings = in->count < UINT32_MAX
			  ? array_grow(in->strings, &in->cap, in->count + 1, sizeof(*strings))
			  : NULL;
	if (!strings)
		return -ENOMEM;
	in->strings = strings;
	copy = store_text(in, s, len);
	if (!copy)
		return -ENOMEM;
	strings[in->count++] = (struct string){.data = copy, .len = len, .hash = hash};
	*slot = (uint32_t)in->count;
	id->v = *slot;
	return 0;
}

int intern_str(struct intern *in, const char *s, str_id_t *id)
{
	return intern_add(in, s, strlen(s), id);
}

const char *intern_get(const struct intern *in, str_id_t id)
{
	return id.v && id.v <= in->count ? in->strings[id.v - 1].data : "";
}

size_t intern_len(const struct intern *in, str_id_t id)
{
	return id.v && id.v <= in->count ? in->strings[id.v - 1].len : 0;
}

size_t intern_count(const struct intern *in)
{
	return in->count;
}

size_t intern_bytes(const struct intern *in)
{
	return in->chunk_bytes + in->cap * sizeof(*in->strings) + in->slot_cap * sizeof(*in->slots);
}
