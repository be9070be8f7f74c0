/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the instruction of a site in the target's memory the one in the file? The kernel takes the instruction from
 * the file: where memory holds another one, a probe would run what the program does not have there.
 */
#ifndef TM_SITES_SITE_MEMORY_H
#define TM_SITES_SITE_MEMORY_H

#include "target/target.h"

enum site_memory {
	SITE_AS_FILE = 0,
	SITE_BREAKPOINT, /* int3: a debugger's, or the kernel's for a uprobe of another tool */
	SITE_CHANGED,	 /* another instruction */
	SITE_WRITABLE,	 /* in a page made writable: the kernel sets no uprobe there */
	SITE_UNMAPPED,	 /* not mapped executable from this file, or not readable */
	SITE_MEMORY_COUNT,
};

/** The instruction at vaddr of an opened object. */
enum site_memory site_memory_at(const struct target *t, const struct target_object *o,
				uint64_t vaddr);

#endif
