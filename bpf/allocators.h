/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocators that can be traced, a row each, in the order in which they are looked for.
 *
 * A row NAME stands for user/alloc/NAME.c (struct alloc_provider alloc_NAME) and for bpf/alloc_NAME.bpf.h, which
 * has NAME_record(): what happens at a site of this allocator that record_site is attached to. The last
 * section is for bpf/tmbpf.bpf.c alone.
 */
#ifndef TM_ALLOCATORS_H
#define TM_ALLOCATORS_H

#define TM_ALLOCATOR_LIST(X) \
	X(pymalloc)          \
	X(libc)              \
	X(mimalloc)

enum tm_allocator {
#define X(name) TM_ALLOC_##name,
	TM_ALLOCATOR_LIST(X)
#undef X
		TM_ALLOC_COUNT
};

#endif

#ifdef TM_ALLOCATOR_PARTS
#include "alloc_libc.bpf.h"
#include "alloc_mimalloc.bpf.h"
#include "alloc_pymalloc.bpf.h"
#endif
