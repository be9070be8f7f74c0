/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stack ids -> resolved frames. Fed with the ring's records in the order they happened: a stack names
 * code objects by address, and an address belongs to one code object until its death record comes.
 *
 * A live code object is read from the target, then the ring is read once more: if the object died while
 * we read, its death record is there by then (the probe runs before the memory is freed) and wins.
 */
#ifndef TM_SYMBOLIZE_STACK_CACHE_H
#define TM_SYMBOLIZE_STACK_CACHE_H

#include "base/cancel.h"
#include "bpf/tmbpf.h"
#include "symbolize/symbolize.h"

struct stack_cache;

struct stack_info {
	const struct sym_frame *frames; /* innermost first; borrowed until the next call */
	size_t frame_count;
	uint8_t domain; /* TM_DOMAIN_* */
	bool truncated;
	uint32_t tid; /* of the thread that was seen with it first */
	bool known;   /* false: the stack's record was lost */
};

/** py NULL: native only. max_frames: --frames. */
int stack_cache_new(struct target *t, const struct python_target *py, struct intern *strings,
		    unsigned max_frames, struct stack_cache **out);
void stack_cache_free(struct stack_cache *c);
DEFINE_CLEANUP(struct stack_cache *, stack_cache_free);

/**
 * One ring record (struct tm_stack_rec or tm_code_death). Returns: 0, -EBADMSG, -ENOMEM. Of a bad record
 * nothing is kept, except that a death whose data makes no sense is still a death.
 */
int stack_cache_feed(struct stack_cache *c, const void *rec, size_t len);

/** Asked between two code objects; what is left is resolved next time. Borrowed; NULL: never. */
void stack_cache_set_cancel(struct stack_cache *c, const struct cancel *cancel);

/**
 * Resolve what is pending. drain_ring must feed everything that is in the ring now into this cache.
 * Returns: 0, -ENOMEM, what drain_ring returned.
 */
int stack_cache_resolve(struct stack_cache *c, int (*drain_ring)(void *ctx), void *ctx);

/** Frames of a stack, complete ones only, at most max_frames. */
struct stack_info stack_cache_get(struct stack_cache *c, uint32_t stack_id);

/** Code objects that could be read neither alive nor dying. */
uint64_t stack_cache_unresolved(const struct stack_cache *c);
/** Names, line tables and frames that were not kept because of the limits (W135 names the first). */
uint64_t stack_cache_limited(const struct stack_cache *c);

#endif
