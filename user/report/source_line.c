/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keeps the last file, because the frames of a traceback are few, and so are their files. */
#include "report/source_line.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/caller.h"

struct source_lines {
	char *path; /* whose content `text` is; NULL: none yet */
	struct buf text;
};

struct source_lines *source_lines_new(void)
{
	return calloc(1, sizeof(struct source_lines));
}

void source_lines_free(struct source_lines *s)
{
	if (!s)
		return;
	free(s->path);
	buf_release(&s->text);
	free(s);
}

/* The names come from the target: see caller_open_regular(). What cannot be read stays empty. */
static void read_file(struct source_lines *s)
{
	_cleanup_close_ int fd = -1;

	buf_reset(&s->text);
	fd = caller_open_regular(s->path);
	if (fd < 0)
		return;
	if (buf_read_fd(&s->text, fd, SOURCE_FILE_MAX))
		buf_reset(&s->text);
}

static bool load_source(struct source_lines *s, const char *path)
{
	if (s->path && !strcmp(s->path, path))
		return true;
	free(s->path);
	s->path = strdup(path);
	if (!s->path)
		return false;
	read_file(s);
	return true;
}

/* Move to the next line, *end after the text of this one. "\r\n", "\n" and "\r" end a line. */
static const char *next_line(const char *at, const char *stop, const char **end)
{
	while (at < stop && *at != '\n' && *at != '\r')
		at++;
	*end = at;
	if (at < stop && *at == '\r' && at + 1 < stop && at[1] == '\n')
		at++;
	return at < stop ? at + 1 : stop;
}

static bool is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

void source_lines_get(struct source_lines *s, const char *path, int64_t line, struct buf *out)
{
	const char *at, *end, *next, *stop;

	if (line < 1 || !load_source(s, path) || !s->text.len)
		return;
	at = s->text.data;
	stop = at + s->text.len;
	for (next = next_line(at, stop, &end); line > 1 && next < stop; line--) {
		at = next;
		next = next_line(at, stop, &end);
	}
	if (line > 1)
		return;
	while (at < end && is_blank(*at))
		at++;
	while (end > at && is_blank(end[-1]))
		end--;
	if (end - at > SOURCE_LINE_MAX)
		end = at + SOURCE_LINE_MAX;
	(void)buf_append(out, at, (size_t)(end - at));
}
