/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ids of stacks that hold nothing any more are taken back when the stack table gets short: a program that
 * compiles code, or one that runs for weeks, has no end of distinct stacks, but only so many with live blocks.
 *
 * A handler may have looked an id up and not yet written it to its block. So an id is first held (its hash
 * is out of the table and not given out), and freed only when a whole later read finds that it still
 * holds nothing and has allocated nothing.
 */
#ifndef TM_DRAIN_STACK_IDS_H
#define TM_DRAIN_STACK_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "probe/bpf_session.h"

struct stack_ids;

/** Returns: 0, -ENOMEM. The session is borrowed. */
int stack_ids_new(struct bpf_session *s, struct stack_ids **out);
void stack_ids_free(struct stack_ids *ids);
DEFINE_CLEANUP(struct stack_ids *, stack_ids_free);

/** Is the table so full that ids are taken back? Ask before a read; then note what is in use during it. */
bool stack_ids_are_short(const struct stack_ids *ids);
/** An id that must stay although no live block was found with it: its pool could not be read in peace. */
void stack_ids_keep(struct stack_ids *ids, uint32_t id);

/**
 * After a read of everything: holds(ctx, id) tells whether a live block has the id. What a stack had allocated
 * goes to TM_STACK_GONE. Returns: ids that were freed.
 */
size_t stack_ids_take_back(struct stack_ids *ids, bool (*holds)(void *ctx, uint32_t id), void *ctx);

#endif
