/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A file that is there as a whole or not at all. It is written without a name (or under another one beside
 * it) and gets its name at the end: mode 0600, owned by the user of sudo, never through a symbolic link,
 * and nothing is replaced unless requested. Every failure is logged here, with its code.
 */
#ifndef TM_BASE_OUT_FILE_H
#define TM_BASE_OUT_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"

struct out_file;

/**
 * Start to write `path`; "-" is stdout, which is taken as it is. force: replace a regular file.
 * Returns: 0; -EEXIST (E702: there is one and no force), -ELOOP, -EISDIR and what open(2) gives (E703),
 * -ENOSPC (E704), -ENOMEM. Owns: *out, until out_file_commit() or out_file_discard().
 */
int out_file_open(const char *path, bool force, struct out_file **out);

/** Where to write; belongs to the out_file. */
FILE *out_file_stream(struct out_file *o);

/**
 * All is written: flush, make it durable, give it its name. Frees in any case.
 * Returns: 0; -EPIPE (stdout was closed by its reader: not logged); as out_file_open(), E701 for
 * stdout.
 */
int out_file_commit(struct out_file *o);

/**
 * Abandon the file. err: reason to log, with its code (as above); 0: silent. Frees; NULL is fine.
 * Returns: err.
 */
int out_file_discard(struct out_file *o, int err);

static inline void out_file_discardp(struct out_file **o)
{
	(void)out_file_discard(*o, 0);
}

#endif
