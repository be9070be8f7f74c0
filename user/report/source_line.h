/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of source files, for tracebacks. Only regular files are opened, of limited size, because the
 * names come from an untrusted snapshot, and nothing waits (a FIFO is not opened for long).
 */
#ifndef TM_REPORT_SOURCE_LINE_H
#define TM_REPORT_SOURCE_LINE_H

#include "base/buf.h"
#include "base/cleanup.h"

#define SOURCE_FILE_MAX (8u << 20) /* bytes; bigger files are not read */
#define SOURCE_LINE_MAX 400	   /* bytes of a line that are shown */

struct source_lines;

struct source_lines *source_lines_new(void);
void source_lines_free(struct source_lines *s);
DEFINE_CLEANUP(struct source_lines *, source_lines_free);

/**
 * Append line number `line` (from 1) of a file, without the blanks around it, as linecache.getline()
 * and strip() give it. Nothing is appended when there is no such line or it cannot be read.
 */
void source_lines_get(struct source_lines *s, const char *path, int64_t line, struct buf *out);

#endif
