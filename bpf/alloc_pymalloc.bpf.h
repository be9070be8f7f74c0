/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pymalloc: blocks that are popped from a pool, first blocks of new pools, and new references. */
#ifndef TM_BPF_ALLOC_PYMALLOC
#define TM_BPF_ALLOC_PYMALLOC

#include "pools.bpf.h"
#include "regs.bpf.h"
#include "stack_intern.bpf.h"
#include "stack_python.bpf.h"

/*
 * Attribute the block of a slot to a stack. Without a stack the slot is cleared, because the old value
 * described the previous block.
 */
static __always_inline void slot_write(__u32 *slot, __u32 stack, __u32 szidx)
{
	*slot = stack ? stack | run_epoch << TM_MARK_SHIFT : 0;
	if (stack)
		stack_count(stack, run_pools_mode ? cfg_pool_bytes : class_bytes(szidx));
}

static __always_inline void pop_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 pool = reg_get(ctx, TM_COOKIE_REG(cookie)), block;
	struct tm_pool_head head;
	__u32 *slot, stack;

	if (TM_COOKIE_FLAGS(cookie) & TM_POP_INIT) {
		block = 0;
	} else if (TM_COOKIE_FLAGS(cookie) & TM_POP_AFTER) {
		block = reg_get(ctx, TM_COOKIE_IDX(cookie));
	} else {
		/*
		 * Leave this block to the refill function, because nextpool == pool means that the
		 * list is empty.
		 */
		if (ctx->flags & X86_FLAGS_ZF)
			return;
		block = 0;
	}
	if (bpf_probe_read_user(&head, sizeof(head), (void *)pool)) {
		tm_drop(TM_DROP_POOL_READ);
		return;
	}
	if (!block)
		block = head.freeblock;
	if (TM_COOKIE_FLAGS(cookie) & TM_POP_INIT) {
		__u32 szidx = (__u32)reg_get(ctx, TM_COOKIE_IDX(cookie));

		/*
		 * Keep the free list of a pool that this class used before; any other starts with an empty
		 * one.
		 */
		if (head.szidx != szidx)
			block = pool + TM_POOL_HEADER;
		head.szidx = szidx;
	}
	if (pool & (cfg_pool_bytes - 1)) {
		tm_drop(TM_DROP_POOL_BAD);
		return;
	}
	if (run_stop == TM_STOP_READ)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	if (run_stop == TM_STOP_WALK)
		return;
	/* In pools mode, which knows only new pools, the first slot stands for the pool. */
	slot = slot_claim(pool, run_pools_mode ? pool + TM_POOL_HEADER : block, head.szidx);
	if (!slot)
		return;
	slot_write(slot, stack, head.szidx);
}

static __always_inline void refill_record(__u64 block)
{
	__u64 pool = block & ~(cfg_pool_bytes - 1);
	struct tm_pool_head head;
	__u32 *slot, stack;

	if (!block)
		return;
	if (bpf_probe_read_user(&head, sizeof(head), (void *)pool)) {
		tm_drop(TM_DROP_POOL_READ);
		return;
	}
	/* In pools mode the first slot stands for the pool. */
	slot = slot_claim(pool, run_pools_mode ? pool + TM_POOL_HEADER : block, head.szidx);
	if (!slot)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	slot_write(slot, stack, head.szidx);
}

static __always_inline void newref_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 op = reg_get(ctx, TM_COOKIE_REG(cookie));
	__u64 pool = op & ~(cfg_pool_bytes - 1), place = pool_place(pool);
	struct tm_site_count *count;
	__u32 *slot, site = TM_COOKIE_IDX(cookie), stack, was;

	if (!place)
		return;
	slot = slot_get(place, pool, op);
	if (!slot)
		return;
	was = *slot;
	/* A block from before attach stays without a record. */
	if (!was)
		return;
	if (!(TM_COOKIE_FLAGS(cookie) & TM_NEWREF_KEEP)) {
		/* All sites are attached: a block popped in this epoch still carries its mark. */
		bool fresh = was >> TM_MARK_SHIFT == run_epoch;

		count = bpf_map_lookup_elem(&site_counts, &site);
		if (count)
			__sync_fetch_and_add(fresh ? &count->fresh : &count->reuse, 1);
		if (fresh) {
			*slot = was & TM_STACK_ID_MASK;
			return;
		}
	}
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	*slot = stack;
	/* With the mark of its pop and the same stack this may be that very allocation: counted there. */
	if (stack && (!(was & TM_MARK_MASK) || (was & TM_STACK_ID_MASK) != stack))
		stack_count(stack, class_bytes(TM_PLACE_SZIDX(place)));
}

static __always_inline void pymalloc_record(struct pt_regs *ctx, __u64 cookie)
{
	switch (TM_COOKIE_KIND(cookie)) {
	case TM_KIND_POP:
		pop_record(ctx, cookie);
		break;
	case TM_KIND_NEWREF:
		newref_record(ctx, cookie);
		break;
	default:
		refill_record(reg_get(ctx, TM_COOKIE_REG(cookie)));
	}
}

#endif
