/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lay out one site line in columns and cut it to the terminal. Private to user/report/. */
#ifndef TM_REPORT_TEXT_LINE_H
#define TM_REPORT_TEXT_LINE_H

#include "base/buf.h"

struct text_line {
	struct buf head;       /* "  +12.4 MiB " */
	struct buf path;       /* loses its left part when the line is too long */
	struct buf after_path; /* ":88 (90342 blocks)" */
	struct buf function;
	struct buf tail;		     /* rate and what follows */
	size_t function_column, tail_column; /* where those parts start, when nothing pushes them */
};

void text_line_release(struct text_line *line);
/** Appends the line and its newline; width 0 = unlimited. */
void text_line_write(struct buf *out, const struct text_line *line, size_t width);

/** Columns of clean text: one a character. */
size_t text_columns(const char *s);

#endif
