// SPDX-License-Identifier: GPL-2.0-or-later
/* In use -> idle (one read) -> held (out of the table) -> free (one more read). */
#include "drain/stack_ids.h"

#include <errno.h>
#include <stdlib.h>

enum id_state { ID_IN_USE = 0, ID_IDLE = 1, ID_HELD = 2 };

struct stack_ids {
	struct bpf_session *session;
	/* By id; mostly never touched. */
	uint8_t *state;	  /* enum id_state */
	uint8_t *keep;	  /* of this read */
	uint64_t *blocks; /* allocated when it was looked at last */
	uint64_t *hash;	  /* of a held id */
};

int stack_ids_new(struct bpf_session *s, struct stack_ids **out)
{
	_cleanup_(stack_ids_freep) struct stack_ids *ids = calloc(1, sizeof(*ids));
	size_t count = s->stack_ids_max;

	if (!ids)
		return -ENOMEM;
	ids->session = s;
	ids->state = calloc(count, sizeof(*ids->state));
	ids->keep = calloc(count, sizeof(*ids->keep));
	ids->blocks = calloc(count, sizeof(*ids->blocks));
	ids->hash = calloc(count, sizeof(*ids->hash));
	if (!ids->state || !ids->keep || !ids->blocks || !ids->hash)
		return -ENOMEM;
	*out = take_ptr(ids);
	return 0;
}

void stack_ids_free(struct stack_ids *ids)
{
	if (!ids)
		return;
	free(ids->state);
	free(ids->keep);
	free(ids->blocks);
	free(ids->hash);
	free(ids);
}

bool stack_ids_are_short(const struct stack_ids *ids)
{
	/* From half of what there can be: three reads pass before the first id is free. */
	return bpf_session_stacks_used(ids->session) * 2 >= ids->session->stacks_max;
}

void stack_ids_keep(struct stack_ids *ids, uint32_t id)
{
	if (id < ids->session->stack_ids_max)
		ids->keep[id] = 1;
}

static void free_id(struct stack_ids *ids, uint32_t id, uint32_t level, uint64_t *hash)
{
	struct tm_stack_allocs *a = bpf_session_allocs(ids->session, id);
	struct tm_stack_allocs *gone = bpf_session_allocs(ids->session, TM_STACK_GONE);

	gone->blocks += a->blocks;
	gone->bytes += a->bytes;
	a->blocks = a->bytes = 0;
	ids->blocks[id] = 0;
	ids->state[id] = ID_IN_USE;
	bpf_session_stack_release(ids->session, level, hash);
}

/* Returns true when the id was freed. */
static bool step_id(struct stack_ids *ids, uint32_t id, uint32_t level, uint64_t *hash, bool used)
{
	uint64_t blocks = bpf_session_allocs(ids->session, id)->blocks;
	uint64_t now = __atomic_load_n(hash, __ATOMIC_RELAXED);

	used |= blocks != ids->blocks[id];
	ids->blocks[id] = blocks;
	if (ids->state[id] == ID_HELD) {
		if (!used) {
			free_id(ids, id, level, hash);
			return true;
		}
		/*
		 * Harmless: a handler was about to use it, so that the stack has two ids from here on.
		 */
		__atomic_store_n(hash, ids->hash[id], __ATOMIC_RELEASE);
		ids->state[id] = ID_IN_USE;
		return false;
	}
	if (used || now < TM_STACK_HASH_MIN) {
		ids->state[id] = ID_IN_USE;
	} else if (ids->state[id] == ID_IN_USE) {
		ids->state[id] = ID_IDLE;
	} else if (__sync_bool_compare_and_swap(hash, now, TM_STACK_HELD)) {
		ids->hash[id] = now;
		ids->state[id] = ID_HELD;
	}
	return false;
}

size_t stack_ids_take_back(struct stack_ids *ids, bool (*holds)(void *ctx, uint32_t id), void *ctx)
{
	const struct bpf_session *s = ids->session;
	size_t freed = 0;

	for (uint32_t level = 0; level < s->stacks.count; level++) {
		struct tm_stack_bucket *buckets = s->stacks.view[level];
		uint32_t base = TM_STACK_BASE(s->stack_mask, level);

		for (uint32_t i = 0; i < s->stacks.buckets[level] * TM_STACK_WAYS; i++) {
			bool used = ids->keep[base + i] || holds(ctx, base + i);
			__u64 *hash = &buckets[i / TM_STACK_WAYS].hash[i % TM_STACK_WAYS];

			ids->keep[base + i] = 0;
			freed += step_id(ids, base + i, level, (uint64_t *)hash, used);
		}
	}
	return freed;
}
