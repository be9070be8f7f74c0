/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of the standard library's tracemalloc (Snapshot.dump(), or `tmbpf export -f tracemalloc`)
 * as a struct snapshot. Nothing is imported or executed: a fixed set of opcodes is interpreted, and the
 * only names it may hold are tracemalloc.Snapshot and tracemalloc._Traces.
 * Source: Lib/tracemalloc.py of CPython 3.6 to 3.15, Lib/pickletools.py for the opcodes.
 */
#ifndef TM_PICKLE_PICKLE_READ_H
#define TM_PICKLE_PICKLE_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/snapshot.h"

/* Between library and symbol in the file name of a frame of native code; the first one counts. */
#define PICKLE_NATIVE_SEPARATOR '!'

struct pickle_info {
	uint64_t traces;	  /* blocks in the file */
	unsigned traceback_limit; /* frames kept of a stack; 0: not in the file */
	char reason[160];	  /* after -EBADMSG: cause and place, as a message */
};

/** Could a file that starts with these bytes be a pickle of protocol 2 to 5? Needs two bytes. */
bool pickle_detect(const void *head, size_t len);

/**
 * Read the pickle at fd from its position to its end. Blocks of one stack and domain come out as one
 * struct snap_stack. What was allocated since attach is not in such a file and stays 0; mode is
 * "tracemalloc", time_ns when the file was last written.
 *
 * Returns: 0; -EBADMSG (not such a file, or damaged: info->reason); -EFBIG (past the limits of the
 *          reader: info->reason); -ENOMEM; what read(2) gives.
 * Owns: *out is the caller's; its strings go into `strings`, which must outlive it.
 */
int pickle_read_fd(int fd, struct intern *strings, struct snapshot **out, struct pickle_info *info);

/* Read a pickle from memory. */
int pickle_read_mem(const void *data, size_t len, struct intern *strings, struct snapshot **out,
		    struct pickle_info *info);

#endif
