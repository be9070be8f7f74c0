/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Each name of a snapshot is matched once, so that frames only look up the answer. */
#include "analyze/suppress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "analyze/stat_module.h"
#include "base/buf.h"

struct suppressions {
	char *text; /* patterns, each followed by a NUL */
	const char **patterns;
	size_t count, cap;
};

static const char type[] = "leak:";

/* ---- the file ---- */

/* The line without blanks at its ends; its end is overwritten with a NUL. */
static char *trim_line(char *line, char *end)
{
	while (line < end && strchr(" \t\r", *line))
		line++;
	while (end > line && strchr(" \t\r", end[-1]))
		end--;
	*end = '\0';
	return line;
}

static const char *add_line(struct suppressions *s, const char *line)
{
	const char **patterns;

	if (!*line || *line == '#')
		return NULL;
	if (strncmp(line, type, sizeof(type) - 1) != 0)
		return "expected leak:PATTERN";
	line += sizeof(type) - 1;
	if (!line[strspn(line, "^*$")] && strcmp(line, "*") != 0)
		return "the pattern is empty (leak:* takes everything)";
	if (s->count == SUPPRESS_MAX)
		return "too many patterns";
	patterns = array_grow((void *)s->patterns, &s->cap, s->count + 1, sizeof(*patterns));
	if (!patterns)
		return "out of memory";
	s->patterns = patterns;
	patterns[s->count++] = line;
	return NULL;
}

int suppressions_parse(const char *text, size_t len, struct suppressions **out,
		       struct suppress_error *error)
{
	_cleanup_(suppressions_freep) struct suppressions *s = calloc(1, sizeof(*s));
	size_t number = 0;
	char *at, *end;

	if (!s)
		return -ENOMEM;
	s->text = malloc(len + 1);
	if (!s->text)
		return -ENOMEM;
	memcpy(s->text, text, len);
	end = s->text + len;
	for (at = s->text; at < end;) {
		char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *reason;

		stop = stop ? stop : end;
		number++;
		reason = memchr(at, '\0', (size_t)(stop - at)) ? "a NUL byte"
							       : add_line(s, trim_line(at, stop));
		if (reason) {
			*error = (struct suppress_error){.line = number, .reason = reason};
			return -EBADMSG;
		}
		at = stop + 1;
	}
	*out = take_ptr(s);
	return 0;
}

void suppressions_free(struct suppressions *s)
{
	if (!s)
		return;
	free(s->text);
	free(s->patterns);
	free(s);
}

size_t suppressions_count(const struct suppressions *s)
{
	return s->count;
}

/* ---- matching ---- */

/*
 * Match each piece between the stars as early as possible, so that the most is left for the next one.
 * Only a last piece that is tied to the end must be searched there.
 */
static bool pattern_matches(const char *pattern, const char *name)
{
	bool tied = *pattern == '^';
	size_t len = strlen(name);

	pattern += tied;
	for (;;) {
		size_t piece = strcspn(pattern, "*");
		bool last = !pattern[piece];
		bool to_end = last && piece && pattern[piece - 1] == '$';
		const char *found = name;

		piece -= to_end;
		if (tied && (len < piece || memcmp(name, pattern, piece) != 0))
			return false;
		if (!tied && to_end && len >= piece)
			found = name + len - piece;
		if (!tied)
			found = memmem(found, len - (size_t)(found - name), pattern, piece);
		if (!found)
			return false;
		len -= (size_t)(found - name) + piece;
		name = found + piece;
		if (last)
			return !to_end || !len;
		pattern += piece + 1;
		tied = false;
	}
}

/* Position of the first pattern that matches the name, plus 1; 0 = none. */
static uint32_t first_match(const struct suppressions *s, const char *name)
{
	for (size_t i = 0; *name && i < s->count; i++) {
		if (pattern_matches(s->patterns[i], name))
			return (uint32_t)i + 1;
	}
	return 0;
}

#define UNASKED UINT32_MAX

struct finder {
	const struct suppressions *s;
	const struct snapshot *snap;
	uint32_t *functions, *files; /* by string id: position + 1, 0 = none, or UNASKED */
	struct buf module;	     /* scratch */
};

static uint32_t earlier_of(uint32_t a, uint32_t b)
{
	return !a || (b && b < a) ? b : a;
}

static uint32_t find_file(struct finder *f, str_id_t file, bool native)
{
	uint32_t *answer = &f->files[file.v];
	const char *name = intern_get(f->snap->strings, file);

	if (*answer == UNASKED) {
		buf_reset(&f->module);
		stat_module_name(&f->module, name, native);
		*answer = earlier_of(first_match(f->s, name),
				     first_match(f->s, f->module.data ? f->module.data : ""));
	}
	return *answer;
}

static uint32_t find_frame(struct finder *f, uint8_t domain, const struct snap_frame *frame)
{
	uint32_t *function = &f->functions[frame->function.v];

	if (*function == UNASKED)
		*function = first_match(f->s, intern_get(f->snap->strings, frame->function));
	return earlier_of(
		*function,
		find_file(f, frame->file, stat_frame_is_native(f->snap->strings, domain, frame)));
}

static uint32_t find_stack(struct finder *f, const struct snap_stack *st)
{
	uint32_t found = 0;

	if (!st->frame_count)
		return first_match(f->s, "<unknown>");
	for (size_t i = 0; !found && i < st->frame_count; i++)
		found = find_frame(f, st->domain, &f->snap->frames[st->first_frame + i]);
	return found;
}

static int finder_open(struct finder *f)
{
	size_t ids = intern_count(f->snap->strings) + 1;

	f->functions = malloc(ids * sizeof(*f->functions));
	f->files = malloc(ids * sizeof(*f->files));
	if (!f->functions || !f->files)
		return -ENOMEM;
	memset(f->functions, 0xff, ids * sizeof(*f->functions));
	memset(f->files, 0xff, ids * sizeof(*f->files));
	return 0;
}

int suppressions_apply(const struct suppressions *s, const struct snapshot *snap, uint8_t mark,
		       uint8_t *skip, struct suppress_hit *hits)
{
	struct finder f = {.s = s, .snap = snap};
	int err = finder_open(&f);

	for (size_t i = 0; !err && i < s->count; i++)
		hits[i].pattern = s->patterns[i];
	for (size_t i = 0; !err && i < snap->stack_count; i++) {
		const struct snap_stack *st = &snap->stacks[i];
		uint32_t found = skip[i] || (!st->bytes && !st->blocks) ? 0 : find_stack(&f, st);

		if (!found)
			continue;
		skip[i] = mark;
		hits[found - 1].stacks++;
		hits[found - 1].bytes += st->bytes;
		hits[found - 1].blocks += st->blocks;
	}
	if (f.module.oom)
		err = -ENOMEM;
	free(f.functions);
	free(f.files);
	buf_release(&f.module);
	return err;
}
