/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The allocators that can be traced, a row each, in the order in which they are looked for.
 * A row NAME stands for user/alloc/NAME.c (struct alloc_provider alloc_NAME).
 */
#ifndef TM_ALLOCATORS_H
#define TM_ALLOCATORS_H

#define TM_ALLOCATOR_LIST(X) \
	X(pymalloc)          \
	X(libc)              \
	X(mimalloc)

#endif
