/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Columns of a site line. Counts characters, not bytes; double-width ones are taken as one. */
#include "report/report_text_line.h"

#include <string.h>

#define ELLIPSIS     "\xe2\x80\xa6" /* one column */
#define PATH_MIN     12		    /* a path is not cut below this */
#define COLUMN_SPACE 2		    /* at least this between columns */

void text_line_release(struct text_line *line)
{
	buf_release(&line->head);
	buf_release(&line->path);
	buf_release(&line->after_path);
	buf_release(&line->function);
	buf_release(&line->tail);
}

static bool is_char_start(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

size_t text_columns(const char *s)
{
	size_t columns = 0;

	for (; *s; s++)
		columns += is_char_start(*s);
	return columns;
}

static const char *text_of(const struct buf *b)
{
	return b->data ? b->data : "";
}

/* s without its first n columns. */
static const char *skip_columns(const char *s, size_t n)
{
	for (; *s; s++) {
		if (is_char_start(*s) && n-- == 0)
			break;
	}
	return s;
}

/* Append at the column, or COLUMN_SPACE after the text so far. Nothing for "". */
static void put_at(struct buf *line, size_t column, const char *s)
{
	size_t at = text_columns(text_of(line));

	if (!*s)
		return;
	if (column < at + COLUMN_SPACE)
		column = at + COLUMN_SPACE;
	(void)buf_printf(line, "%*s%s", (int)(column - at), "", s);
}

static void render_line(struct buf *out, const struct text_line *l, size_t path_cut)
{
	buf_reset(out);
	(void)buf_append_str(out, text_of(&l->head));
	if (path_cut)
		(void)buf_append_str(out, ELLIPSIS);
	(void)buf_append_str(out, skip_columns(text_of(&l->path), path_cut));
	(void)buf_append_str(out, text_of(&l->after_path));
	put_at(out, l->function_column, text_of(&l->function));
	put_at(out, l->tail_column, text_of(&l->tail));
}

/* Columns of the path to leave out so that the line loses `over` columns, within reason. */
static size_t path_cut_for(const struct text_line *l, size_t over)
{
	size_t path = text_columns(text_of(&l->path));
	size_t place = text_columns(text_of(&l->head)) + path +
		       text_columns(text_of(&l->after_path)) + COLUMN_SPACE;
	/* Cutting helps only as far as the place pushes the next column to the right. */
	size_t next = l->function.len ? l->function_column : l->tail.len ? l->tail_column : 0;
	size_t pushed = place > next ? place - next : 0;
	size_t cut = over < pushed ? over : pushed;

	if (path <= PATH_MIN || !cut)
		return 0;
	cut++; /* for the ellipsis */
	return cut > path - PATH_MIN ? path - PATH_MIN : cut;
}

void text_line_write(struct buf *out, const struct text_line *line, size_t width)
{
	struct buf text = {0};
	size_t columns;

	render_line(&text, line, 0);
	columns = text_columns(text_of(&text));
	if (width && columns > width) {
		render_line(&text, line, path_cut_for(line, columns - width));
		columns = text_columns(text_of(&text));
	}
	if (width && columns > width) {
		const char *end = skip_columns(text_of(&text), width - 1);

		(void)buf_append(out, text_of(&text), (size_t)(end - text_of(&text)));
		(void)buf_append_str(out, ELLIPSIS);
	} else {
		(void)buf_append_str(out, text_of(&text));
	}
	(void)buf_append_str(out, "\n");
	if (text.oom || line->head.oom || line->path.oom || line->after_path.oom ||
	    line->function.oom || line->tail.oom)
		out->oom = true; /* a line with a hole must not pass for a whole one */
	buf_release(&text);
}
