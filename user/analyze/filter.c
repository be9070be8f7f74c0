/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A pattern is asked once for every file name of the snapshot that it meets, and the answer is kept. */
#include "analyze/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/glob.h"
#include "analyze/stat_key.h"
#include "base/buf.h"
#include "base/idmap.h"

struct filter {
	struct filter_spec spec; /* pattern is not used: see glob */
	struct glob *glob;	 /* NULL: a DomainFilter */
};

struct filter_set {
	struct filter *items;
	size_t count, cap;
};

struct filter_set *filter_set_new(void)
{
	return calloc(1, sizeof(struct filter_set));
}

void filter_set_free(struct filter_set *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->count; i++)
		glob_free(f->items[i].glob);
	free(f->items);
	free(f);
}

/* tracemalloc takes the c off .pyc in patterns and in names. Names with a NUL keep their bytes. */
static size_t normal_len(const char *name, size_t len)
{
	return len >= 4 && !memcmp(name + len - 4, ".pyc", 4) ? len - 1 : len;
}

static int compile_pattern(const char *pattern, struct glob **out)
{
	size_t len = normal_len(pattern, strlen(pattern));
	_cleanup_free_ char *copy = strndup(pattern, len);

	return copy ? glob_new(copy, len, out) : -ENOMEM;
}

int filter_set_add(struct filter_set *f, const struct filter_spec *spec)
{
	struct filter filter = {.spec = *spec};
	struct filter *items;

	if (!spec->pattern && !spec->has_domain)
		return -EINVAL;
	items = array_grow(f->items, &f->cap, f->count + 1, sizeof(*items));
	if (!items)
		return -ENOMEM;
	f->items = items;
	if (spec->pattern && compile_pattern(spec->pattern, &filter.glob))
		return -ENOMEM;
	filter.spec.pattern = NULL; /* the caller's */
	items[f->count++] = filter;
	return 0;
}

/* ---- matching ---- */

enum answer { UNASKED = 0, NO, YES };

struct matcher { /* one filter on one snapshot */
	const struct filter *filter;
	const struct snapshot *snap;
	uint8_t *files;	      /* enum answer by string id */
	struct idmap *native; /* file << 32 | function -> enum answer */
	struct buf name;      /* scratch */
	bool oom;
};

static bool glob_takes(const struct glob *g, const char *name, size_t len)
{
	return glob_match(g, name, normal_len(name, len));
}

static bool file_matches(struct matcher *m, str_id_t file)
{
	uint8_t *answer = &m->files[file.v];

	if (*answer == UNASKED)
		*answer = glob_takes(m->filter->glob, intern_get(m->snap->strings, file),
				     intern_len(m->snap->strings, file))
				  ? YES
				  : NO;
	return *answer == YES;
}

/* "library!function" */
static bool symbol_matches(struct matcher *m, const struct snap_frame *f)
{
	const struct intern *in = m->snap->strings;
	uint64_t key = (uint64_t)f->file.v << 32 | f->function.v;
	uint32_t answer;

	if (m->native && idmap_get(m->native, key, &answer))
		return answer == YES;
	buf_reset(&m->name);
	(void)buf_append(&m->name, intern_get(in, f->file), intern_len(in, f->file));
	(void)buf_append_str(&m->name, "!");
	(void)buf_append(&m->name, intern_get(in, f->function), intern_len(in, f->function));
	if (!m->native)
		m->native = idmap_new();
	if (m->name.oom || !m->native) {
		m->oom = true;
		return false;
	}
	answer = glob_takes(m->filter->glob, m->name.data, m->name.len) ? YES : NO;
	if (idmap_put(m->native, key, answer))
		m->oom = true;
	return answer == YES;
}

static bool frame_matches(struct matcher *m, uint8_t domain, const struct snap_frame *f)
{
	const struct filter_spec *spec = &m->filter->spec;

	if (spec->has_line && f->line != spec->line)
		return false;
	return file_matches(m, f->file) ||
	       (f->function.v && stat_frame_is_native(m->snap->strings, domain, f) &&
		symbol_matches(m, f));
}

/* Does the filter let this stack through? For an inclusive one: does it take it? */
static bool stack_passes(struct matcher *m, const struct snap_stack *st, struct snap_frame unknown)
{
	const struct filter_spec *spec = &m->filter->spec;
	const struct snap_frame *frames =
		st->frame_count ? &m->snap->frames[st->first_frame] : &unknown;
	size_t count = st->frame_count && spec->all_frames ? st->frame_count : 1;
	bool same_domain =
		!spec->has_domain || snapshot_domain_number(m->snap, st->domain) == spec->domain;
	bool matches = !m->filter->glob;

	for (size_t i = 0; !matches && i < count; i++)
		matches = frame_matches(m, st->domain, &frames[i]);
	return spec->inclusive ? matches && same_domain : !matches || !same_domain;
}

static int matcher_open(struct matcher *m, const struct filter *f, const struct snapshot *s)
{
	*m = (struct matcher){.filter = f, .snap = s};
	m->files = calloc(intern_count(s->strings) + 1, 1);
	return m->files ? 0 : -ENOMEM;
}

static void matcher_close(struct matcher *m)
{
	free(m->files);
	idmap_free(m->native);
	buf_release(&m->name);
}

/* taken: inclusive filters that came before and took the stack; NULL for exclusive ones. */
static int apply_one(const struct filter *f, const struct snapshot *s, struct snap_frame unknown,
		     uint8_t *taken, uint8_t *skip)
{
	uint8_t mark = f->spec.is_default ? FILTER_DROPS_BY_DEFAULT : FILTER_DROPS;
	struct matcher m;
	int err = matcher_open(&m, f, s);

	for (size_t i = 0; !err && i < s->stack_count; i++) {
		if (taken && !taken[i])
			taken[i] = stack_passes(&m, &s->stacks[i], unknown);
		else if (!taken && !skip[i] && !stack_passes(&m, &s->stacks[i], unknown))
			skip[i] = mark;
		if (m.oom)
			err = -ENOMEM;
	}
	matcher_close(&m);
	return err;
}

int filter_set_apply(const struct filter_set *f, const struct snapshot *s, uint8_t *skip)
{
	_cleanup_free_ uint8_t *taken = calloc(s->stack_count + 1, 1);
	struct snap_frame unknown = {0};
	bool any_inclusive = false;
	int err;

	if (!taken || intern_str(s->strings, "<unknown>", &unknown.file))
		return -ENOMEM;
	for (size_t i = 0; i < f->count; i++) {
		bool inclusive = f->items[i].spec.inclusive;

		any_inclusive |= inclusive;
		err = apply_one(&f->items[i], s, unknown, inclusive ? taken : NULL, skip);
		if (err)
			return err;
	}
	for (size_t i = 0; any_inclusive && i < s->stack_count; i++) {
		if (!taken[i] && !skip[i])
			skip[i] = FILTER_DROPS;
	}
	return 0;
}
