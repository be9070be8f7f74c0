/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parser of /proc/PID/maps. In: the text, whose paths the target chooses. Out: mappings whose paths
 * point into that text. Layout of a line: Linux Documentation/filesystems/proc.rst, "3.1 maps".
 */
#include "target/proc_maps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/search.h"
#include "base/timed_io.h"

/*
 * Limit of mappings, about one million, because a process may have vm.max_map_count (up to 2^31).
 */
#define MAPS_TEXT_MAX  ((size_t)128 << 20)

#define DELETED_SUFFIX " (deleted)"

struct line {
	const char *pos, *end; /* end: the newline */
};

static bool take_char(struct line *l, char want)
{
	if (l->pos >= l->end || *l->pos != want)
		return false;
	l->pos++;
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 99;
}

/* One number without sign or prefix; false when there is none or it does not fit. */
static bool take_number(struct line *l, unsigned base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	const char *from = l->pos;

	for (; l->pos < l->end; l->pos++) {
		unsigned d = (unsigned)digit_of(*l->pos);

		if (d >= base)
			break;
		if (v > (max - d) / base)
			return false;
		v = v * base + d;
	}
	*out = v;
	return l->pos > from;
}

static bool take_perms(struct line *l, struct mapping *m)
{
	if (l->end - l->pos < 4)
		return false;
	const char *p = l->pos;

	if ((p[0] != 'r' && p[0] != '-') || (p[1] != 'w' && p[1] != '-') ||
	    (p[2] != 'x' && p[2] != '-') || (p[3] != 'p' && p[3] != 's'))
		return false;
	m->read = p[0] == 'r';
	m->write = p[1] == 'w';
	m->exec = p[2] == 'x';
	m->shared = p[3] == 's';
	l->pos += 4;
	return true;
}

/*
 * The kernel escapes the newline, and only that, as \012 (fs/proc/task_mmu.c: seq_path(m, path, "\n")).
 * A file whose name holds these four characters looks the same, so that only dev:inode decides.
 */
static size_t unescape_newlines(char *s, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		if (len - i >= 4 && memcmp(s + i, "\\012", 4) == 0) {
			s[out++] = '\n';
			i += 3;
		} else {
			s[out++] = s[i];
		}
	}
	return out;
}

static void take_path(char *path, size_t len, struct mapping *m)
{
	const size_t cut = sizeof(DELETED_SUFFIX) - 1;

	if (m->inode && len > cut && memcmp(path + len - cut, DELETED_SUFFIX, cut) == 0) {
		m->deleted = true;
		len -= cut;
	}
	len = unescape_newlines(path, len);
	path[len] = '\0'; /* at most over the newline that ended the line */
	m->path = path;
}

/* start-end perms offset major:minor inode [spaces path] */
static bool parse_line(char *text, char *newline, struct mapping *m)
{
	struct line l = {.pos = text, .end = newline};
	uint64_t major_nr = 0, minor_nr = 0;

	if (!take_number(&l, 16, UINT64_MAX, &m->start) || !take_char(&l, '-') ||
	    !take_number(&l, 16, UINT64_MAX, &m->end) || !take_char(&l, ' ') ||
	    m->start >= m->end || !take_perms(&l, m) || !take_char(&l, ' ') ||
	    !take_number(&l, 16, UINT64_MAX, &m->file_off) || !take_char(&l, ' ') ||
	    !take_number(&l, 16, UINT32_MAX, &major_nr) || !take_char(&l, ':') ||
	    !take_number(&l, 16, UINT32_MAX, &minor_nr) || !take_char(&l, ' ') ||
	    !take_number(&l, 10, UINT64_MAX, &m->inode))
		return false;
	m->dev_major = (uint32_t)major_nr;
	m->dev_minor = (uint32_t)minor_nr;
	if (l.pos < l.end && *l.pos != ' ')
		return false;
	while (take_char(&l, ' '))
		;
	take_path(text + (l.pos - text), (size_t)(l.end - l.pos), m);
	return true;
}

static int compare_start(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

int proc_maps_parse(char *text, size_t len, struct proc_maps *out)
{
	_cleanup_free_ char *owned = text;
	_cleanup_free_ struct mapping *items = NULL;
	size_t count = 0, cap = 0;
	bool sorted = true;

	for (size_t pos = 0; pos < len;) {
		char *newline = memchr(text + pos, '\n', len - pos);

		if (!newline || memchr(text + pos, '\0', (size_t)(newline - text) - pos))
			return -EBADMSG;
		struct mapping *grown = array_grow(items, &cap, count + 1, sizeof(*items));

		if (!grown)
			return -ENOMEM;
		items = grown;
		items[count] = (struct mapping){0};
		if (!parse_line(text + pos, newline, &items[count]))
			return -EBADMSG;
		if (count && items[count - 1].start > items[count].start)
			sorted = false;
		count++;
		pos = (size_t)(newline - text) + 1;
	}
	if (!sorted)
		qsort(items, count, sizeof(*items), compare_start);
	*out = (struct proc_maps){
		.items = take_ptr(items), .count = count, .text = take_ptr(owned)};
	return 0;
}

int proc_maps_read(pid_t pid, struct proc_maps *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	struct buf b = {0};
	int err = timed_read_file(path, MAPS_TEXT_MAX, TIMED_IO_MS, &b);

	if (err) {
		buf_release(&b);
		return err == -ENOENT ? -ESRCH : err;
	}
	size_t len = b.len;

	return proc_maps_parse(take_ptr(b.data), len, out);
}

void proc_maps_release(struct proc_maps *maps)
{
	free(maps->items);
	free(maps->text);
	*maps = (struct proc_maps){0};
}

const struct mapping *proc_maps_find(const struct proc_maps *maps, uint64_t addr)
{
	size_t after = first_index(i, maps->count, maps->items[i].start > addr);

	if (after == 0 || addr >= maps->items[after - 1].end)
		return NULL;
	return &maps->items[after - 1];
}
