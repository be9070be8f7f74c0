/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grouping by sorting: stacks of equal key end up side by side and are summed in one pass. Ids are
 * compared while grouping (equal id = equal string); texts only to order the groups at the end.
 */
#include "analyze/top_sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct group_ctx {
	const struct snapshot *snap;
	enum group_by by;
	struct snap_frame unknown; /* stands for the frames of a stack that has none */
};

static int cmp_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int cmp_line(int32_t a, int32_t b)
{
	return (a > b) - (a < b);
}

static const struct snap_frame *frames_of(const struct group_ctx *ctx, const struct snap_stack *st,
					  size_t *count)
{
	if (!st->frame_count) {
		*count = 1;
		return &ctx->unknown;
	}
	*count = st->frame_count;
	return ctx->snap->frames + st->first_frame;
}

/*
 * Same place? tracemalloc compares file and line. Where there is no line (a native frame) the
 * symbol takes its place: otherwise a whole library would be one site, named after one function.
 */
static int cmp_frame_key(const struct snap_frame *a, const struct snap_frame *b)
{
	int c = cmp_u64(a->file.v, b->file.v);

	if (!c)
		c = cmp_line(a->line, b->line);
	if (!c && !a->line)
		c = cmp_u64(a->function.v, b->function.v);
	return c;
}

static int cmp_key(const struct group_ctx *ctx, const struct snap_stack *a,
		   const struct snap_stack *b)
{
	const struct snap_frame *fa, *fb;
	size_t na, nb;
	int c = cmp_u64(a->domain, b->domain);

	if (c)
		return c;
	fa = frames_of(ctx, a, &na);
	fb = frames_of(ctx, b, &nb);
	if (ctx->by == BY_FILENAME)
		return cmp_u64(fa->file.v, fb->file.v);
	if (ctx->by == BY_LINENO)
		return cmp_frame_key(fa, fb);
	for (size_t i = 0; i < na && i < nb; i++) {
		c = cmp_frame_key(&fa[i], &fb[i]);
		if (c)
			return c;
	}
	return cmp_u64(na, nb);
}

/* Inside a group the biggest stack comes first; equal ones stay in the order of the snapshot. */
static int cmp_stack(const void *pa, const void *pb, void *arg)
{
	const struct snap_stack *a = *(const struct snap_stack *const *)pa;
	const struct snap_stack *b = *(const struct snap_stack *const *)pb;
	int c = cmp_key(arg, a, b);

	if (!c)
		c = cmp_u64(b->bytes, a->bytes);
	if (!c)
		c = cmp_u64(b->blocks, a->blocks);
	return c ? c : (a > b) - (a < b);
}

static int cmp_frame_text(const struct intern *in, const struct snap_frame *a,
			  const struct snap_frame *b)
{
	int c = strcmp(intern_get(in, a->file), intern_get(in, b->file));

	if (!c)
		c = cmp_line(a->line, b->line);
	return c ? c : strcmp(intern_get(in, a->function), intern_get(in, b->function));
}

static int cmp_site(const void *pa, const void *pb, void *arg)
{
	const struct group_ctx *ctx = arg;
	const struct site_stat *a = pa, *b = pb;
	const struct snap_frame *fa, *fb;
	size_t na, nb;
	int c = cmp_u64(b->bytes, a->bytes);

	if (!c)
		c = cmp_u64(b->blocks, a->blocks);
	if (!c)
		c = cmp_frame_text(ctx->snap->strings, &a->top, &b->top);
	if (c || ctx->by != BY_TRACEBACK)
		return c ? c : cmp_u64(a->domain, b->domain);
	/* The callers decide, so that two runs over the same data print the same order. */
	fa = frames_of(ctx, a->biggest, &na);
	fb = frames_of(ctx, b->biggest, &nb);
	for (size_t i = 1; !c && i < na && i < nb; i++)
		c = cmp_frame_text(ctx->snap->strings, &fa[i], &fb[i]);
	if (!c)
		c = cmp_u64(na, nb);
	return c ? c : cmp_u64(a->domain, b->domain);
}

static struct site_stat site_new(const struct group_ctx *ctx, const struct snap_stack *st)
{
	struct site_stat site = {.biggest = st, .domain = st->domain};
	size_t count;

	site.top = *frames_of(ctx, st, &count);
	if (ctx->by == BY_FILENAME)
		site.top = (struct snap_frame){.file = site.top.file};
	return site;
}

int top_sites_group(const struct snapshot *s, enum group_by by, struct top_sites *out)
{
	_cleanup_free_ const struct snap_stack **sorted = NULL;
	struct group_ctx ctx = {.snap = s, .by = by};
	struct site_stat *items;
	size_t live = 0, count = 0;

	if (intern_str(s->strings, "<unknown>", &ctx.unknown.file))
		return -ENOMEM;
	sorted = calloc(s->stack_count + 1, sizeof(*sorted));
	items = calloc(s->stack_count + 1, sizeof(*items));
	if (!sorted || !items) {
		free(items);
		return -ENOMEM;
	}
	for (size_t i = 0; i < s->stack_count; i++) {
		/* A stack whose blocks are all gone is no place that holds memory. */
		if (s->stacks[i].bytes || s->stacks[i].blocks)
			sorted[live++] = &s->stacks[i];
	}
	qsort_r(sorted, live, sizeof(*sorted), cmp_stack, &ctx);
	for (size_t i = 0; i < live; i++) {
		if (!i || cmp_key(&ctx, sorted[i - 1], sorted[i]) != 0)
			items[count++] = site_new(&ctx, sorted[i]);
		items[count - 1].bytes += sorted[i]->bytes;
		items[count - 1].blocks += sorted[i]->blocks;
	}
	qsort_r(items, count, sizeof(*items), cmp_site, &ctx);
	*out = (struct top_sites){.items = items, .count = count};
	return 0;
}

void top_sites_release(struct top_sites *t)
{
	free(t->items);
	*t = (struct top_sites){0};
}
