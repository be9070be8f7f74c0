/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Live blocks against the memory that the process holds: more than it holds cannot be alive in it. A check of
 * tmbpf's own numbers, and the place where memory shows that was allocated and never touched.
 */
#ifndef TM_DRAIN_HELD_MEMORY_H
#define TM_DRAIN_HELD_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

struct held_memory {	   /* bytes */
	uint64_t resident; /* RSS, swap and huge pages */
	uint64_t mapped;   /* address space */
};

/** Returns: 0, -ESRCH, -errno. */
int held_memory_read(pid_t pid, struct held_memory *out);
/** From the text of /proc/PID/status. Returns: 0, -EBADMSG (no VmRSS: a kernel thread, a zombie). */
int held_memory_parse(const char *status, struct held_memory *out);

enum held_verdict {
	HELD_FITS,
	HELD_UNTOUCHED, /* blocks of malloc above what is resident: pages come when they are written to */
	HELD_EXCEEDED, /* impossible: the numbers are wrong */
};

/**
 * small: bytes of live pymalloc blocks, each of which has been written to; all: of all live blocks. held: the
 * larger of before and after the read.
 */
enum held_verdict held_memory_judge(const struct held_memory *held, uint64_t small, uint64_t all);

#endif
