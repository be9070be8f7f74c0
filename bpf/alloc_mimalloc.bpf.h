/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPython's mimalloc: blocks that are popped from a page, and new references to them. */
#ifndef TM_BPF_ALLOC_MIMALLOC
#define TM_BPF_ALLOC_MIMALLOC

#include "live_table.bpf.h"
#include "regs.bpf.h"
#include "stack_intern.bpf.h"
#include "stack_python.bpf.h"

/* CPython v3.13 Include/internal/mimalloc/mimalloc/types.h, where the size has 32 bits. */
#define MI_HUGE	       0x80000000u /* MI_HUGE_BLOCK_SIZE: one block, of slice_count (@0) slices */
#define MI_SLICE_SHIFT 16

/* Offset and length of the block size in struct mi_page_s. */
const volatile __u32 cfg_mi_size = 28;
const volatile __u32 cfg_mi_size_bytes = 4;

/* Bytes of a block of the page; 0: not readable, counted. */
static __always_inline __u64 mi_block_bytes(__u64 page)
{
	__u64 bytes = 0;
	__u32 slices = 0;

	if (bpf_probe_read_user(&bytes, cfg_mi_size_bytes == 8 ? 8 : 4,
				(void *)(page + cfg_mi_size)))
		goto unreadable;
	if (cfg_mi_size_bytes == 8 || bytes < MI_HUGE)
		return bytes;
	if (bpf_probe_read_user(&slices, sizeof(slices), (void *)page))
		goto unreadable;
	return (__u64)slices << MI_SLICE_SHIFT;
unreadable:
	tm_drop(TM_DROP_POOL_READ);
	return 0;
}

static __always_inline void mi_pop_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 page = reg_get(ctx, TM_COOKIE_REG(cookie)),
	      block = reg_get(ctx, TM_COOKIE_IDX(cookie));
	__u64 bytes;
	__u32 stack;

	/*
	 * Record nothing until mi_malloc_generic() comes back with another page, because this one
	 * is used up.
	 */
	if (!block)
		return;
	bytes = mi_block_bytes(page);
	if (!bytes)
		return;
	if (run_stop == TM_STOP_READ)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	if (!stack || run_stop == TM_STOP_WALK)
		return;
	live_add(block, TM_LIVE_META(stack, bytes));
	stack_count(stack, bytes);
}

/*
 * The object may follow a GC header and a pre-header of 16 bytes each. Do not tell fresh blocks from
 * re-used ones, because the current stack is right for both.
 */
static __always_inline void mi_newref_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 op = reg_get(ctx, TM_COOKIE_REG(cookie));
	__u32 stack = stack_current(TM_DOMAIN_PYTHON, 0);

	if (!stack || live_rebook(op, stack) || live_rebook(op - 16, stack))
		return;
	live_rebook(op - 32, stack);
}

/* A pop's register is the page, TM_COOKIE_IDX that of the block. */
static __always_inline void mimalloc_record(struct pt_regs *ctx, __u64 cookie)
{
	if (TM_COOKIE_KIND(cookie) == TM_KIND_POP)
		mi_pop_record(ctx, cookie);
	else
		mi_newref_record(ctx, cookie);
}

#endif
