/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-o -`: a recording for a pipe. Made in a directory of its own and copied to stdout when complete,
 * because a database is written at many places.
 */
#ifndef TM_TRACE_RECORD_STDOUT_H
#define TM_TRACE_RECORD_STDOUT_H

/**
 * Choose where to record to: a new directory in $TMPDIR or /tmp. Returns: 0 and *path (owned), -EINVAL (E201:
 * stdout is a terminal), -errno (E703).
 */
int record_stdout_begin(char **path);

/** Copy the file to stdout. Returns: 0, -EPIPE, -ECANCELED (not read), else logged (E701). */
int record_stdout_send(const char *path);

/** Remove the file and its directory. */
void record_stdout_end(const char *path);

#endif
