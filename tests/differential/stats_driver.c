/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The statistics engine as a filter: requests on stdin, answers as text on stdout, until end of file.
 * tracemalloc_diff.py makes the requests and knows the answers; its function `pack` describes the form.
 * Its input is the test's own, so a short read just ends it.
 *     stats_driver [FILE]
 * With FILE every snapshot is written to a series of that name and read back first.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/compare.h"
#include "analyze/filter.h"
#include "analyze/selection.h"
#include "analyze/stats.h"
#include "base/cleanup.h"
#include "report/stat_text.h"
#include "store/store.h"

#define MAGIC	   0x54415453u
#define FRAMES_MAX 65535

enum { FLAG_ONE_POOL = 1, FLAG_FLUSH = 2 };
enum { SIDE_NEW, SIDE_OLD, SIDES };
/* Bits of the mask of questions: statistics, cumulative ones, the same compared, stacks kept. */
enum { ASK_STATISTICS = 0, ASK_COMPARE = 8, ASK_KEPT = 16 };

static const struct {
	enum stat_key key;
	enum stat_cumulative cumulative;
	const char *name;
} groupings[] = {
	{STAT_LINENO, STAT_OWN, "lineno"},
	{STAT_FILENAME, STAT_OWN, "filename"},
	{STAT_TRACEBACK, STAT_OWN, "traceback"},
	{STAT_LINENO, STAT_EACH_FRAME, "lineno cumulative"},
	{STAT_FILENAME, STAT_EACH_FRAME, "filename cumulative"},
};

struct request {
	uint32_t flags, ask, top;
	struct intern *pools[SIDES];
	struct snapshot *snaps[SIDES];
	char **texts;
	uint32_t text_count;
	struct filter_set *filters;
	bool any_filter;
	struct traceback_opts traceback;
};

static const char *store_path; /* NULL: not through a file */

static bool get(void *to, size_t len)
{
	return fread(to, 1, len, stdin) == len;
}

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	printf("driver: %s\n", what);
	fflush(stdout);
	exit(9);
}

static uint32_t get_u32(void)
{
	uint32_t v = 0;

	need(get(&v, sizeof(v)), "short request");
	return v;
}

static uint64_t get_u64(void)
{
	uint64_t v = 0;

	need(get(&v, sizeof(v)), "short request");
	return v;
}

static void read_texts(struct request *r)
{
	r->text_count = get_u32();
	r->texts = calloc(r->text_count + 1u, sizeof(*r->texts));
	need(r->texts != NULL, "memory");
	for (uint32_t i = 0; i < r->text_count; i++) {
		uint32_t len = get_u32();

		r->texts[i] = calloc(len + 1u, 1);
		need(r->texts[i] && get(r->texts[i], len), "short request");
	}
}

static void read_stack(struct request *r, struct snapshot *s, struct snap_frame *frames)
{
	uint32_t number = get_u32(), count;
	uint64_t size = get_u64(), blocks = get_u64();
	uint8_t domain;

	count = get_u32();
	need(count <= FRAMES_MAX, "frames");
	for (uint32_t i = 0; i < count; i++) {
		uint32_t text = get_u32();

		need(text < r->text_count, "string");
		frames[i] = (struct snap_frame){.line = (int32_t)get_u32()};
		need(!intern_str(s->strings, r->texts[text], &frames[i].file), "memory");
	}
	need(!snapshot_domain_of(s, number, &domain), "domains");
	need(!snapshot_add(s, (enum snap_domain)domain, frames, count, false, size, blocks),
	     "memory");
}

/* The snapshot as it comes back from a file; its strings are in `pool` then. */
static struct snapshot *through_store(struct snapshot *s, struct intern *pool)
{
	const struct store_meta meta = {.pid = 1, .mode = "exact", .frames = 128};
	const struct store_opts opts = {.force = true};
	struct store_writer *writer;
	struct snapshot *loaded;
	struct store *store;

	s->seq = 1;
	s->time_ns = 1795356120ll * 1000000000;
	s->mode = "exact";
	need(!store_create(store_path, &meta, &opts, &writer), "store_create");
	need(!store_append(writer, s), "store_append");
	need(!store_writer_close(writer, "done"), "store_writer_close");
	need(!store_open(store_path, pool, &store), "store_open");
	need(!store_load(store, 0, &loaded), "store_load");
	store_close(store);
	snapshot_free(s);
	return loaded;
}

static void read_snapshot(struct request *r, int side)
{
	static struct snap_frame frames[FRAMES_MAX];
	uint32_t count = get_u32();
	struct intern *file_pool = store_path ? intern_new() : NULL;
	struct snapshot *s;

	r->pools[side] = side && r->flags & FLAG_ONE_POOL ? r->pools[SIDE_NEW] : intern_new();
	s = snapshot_new(file_pool ? file_pool : r->pools[side]);
	need(r->pools[side] && s, "memory");
	for (uint32_t i = 0; i < count; i++)
		read_stack(r, s, frames);
	r->snaps[side] = file_pool ? through_store(s, r->pools[side]) : s;
	intern_free(file_pool);
}

static void read_filters(struct request *r)
{
	uint32_t count = get_u32();

	r->filters = filter_set_new();
	need(r->filters != NULL, "memory");
	r->any_filter = count > 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t bits = get_u32(), text = get_u32();
		struct filter_spec spec = {
			.inclusive = bits & 1,
			.has_line = bits & 4,
			.all_frames = bits & 8,
			.has_domain = bits & 16,
		};

		need(text < r->text_count, "string");
		spec.pattern = bits & 2 ? r->texts[text] : NULL;
		spec.line = (int64_t)get_u64();
		spec.domain = get_u32();
		need(!filter_set_add(r->filters, &spec), "filter");
	}
}

static bool read_request(struct request *r)
{
	uint32_t magic;

	if (!get(&magic, sizeof(magic)))
		return false;
	need(magic == MAGIC, "magic");
	r->flags = get_u32();
	r->ask = get_u32();
	r->top = get_u32();
	read_texts(r);
	read_snapshot(r, SIDE_NEW);
	read_snapshot(r, SIDE_OLD);
	read_filters(r);
	r->traceback.has_limit = get_u32();
	r->traceback.most_recent_first = get_u32();
	r->traceback.source = get_u32() ? source_lines_new() : NULL;
	r->traceback.limit = (int64_t)get_u64();
	return true;
}

static void release_request(struct request *r)
{
	for (uint32_t i = 0; i < r->text_count; i++)
		free(r->texts[i]);
	free(r->texts);
	for (int side = 0; side < SIDES; side++)
		snapshot_free(r->snaps[side]);
	if (r->pools[SIDE_OLD] != r->pools[SIDE_NEW])
		intern_free(r->pools[SIDE_OLD]);
	intern_free(r->pools[SIDE_NEW]);
	filter_set_free(r->filters);
	source_lines_free(r->traceback.source);
}

/* ---- answers ---- */

static size_t shown(const struct request *r, size_t count)
{
	return r->top && r->top < count ? r->top : count;
}

static void put_traceback(struct buf *out, const struct request *r, const struct statistics *in,
			  const struct statistic *group)
{
	if (in->key == STAT_TRACEBACK)
		stat_text_traceback(out, in, group, &r->traceback);
}

static void answer_statistics(struct buf *out, const struct request *r, const struct statistics *st)
{
	for (size_t i = 0; i < shown(r, st->count); i++) {
		const struct statistic *group = &st->items[i];

		(void)buf_printf(out, "%" PRIu64 " %" PRIu64 "\n", group->size, group->count);
		stat_text_statistic(out, st, group);
		(void)buf_append_str(out, "\n");
		put_traceback(out, r, st, group);
	}
}

static void answer_compare(struct buf *out, const struct request *r, const struct statistics *now,
			   const struct statistics *old)
{
	_cleanup_(statistic_diffs_release) struct statistic_diffs diffs = {0};

	need(!statistics_compare(now, old, DIFF_BY_GROWTH, r->top, &diffs), "compare");
	for (size_t i = 0; i < shown(r, diffs.count); i++) {
		const struct statistic_diff *d = &diffs.items[i];

		(void)buf_printf(out, "%" PRIu64 " %" PRIi64 " %" PRIu64 " %" PRIi64 "\n", d->size,
				 d->size_diff, d->count, d->count_diff);
		stat_text_diff(out, d);
		(void)buf_append_str(out, "\n");
		put_traceback(out, r, d->in, d->group);
	}
}

static void answer_kept(struct buf *out, const struct snapshot *s, const struct selection *sel)
{
	(void)buf_append_str(out, "= kept\n");
	for (size_t i = 0; i < s->stack_count; i++) {
		if (!sel->skip[i])
			(void)buf_printf(out, "%zu ", i);
	}
	(void)buf_append_str(out, "\n");
}

static void answer_grouping(struct buf *out, const struct request *r, size_t g,
			    const struct selection *sel)
{
	struct statistics st[SIDES] = {0};

	for (int side = 0; side < SIDES; side++) {
		struct stat_opts opts = {
			.key = groupings[g].key,
			.cumulative = groupings[g].cumulative,
			.top = r->top,
			.skip = sel[side].skip,
		};

		need(!statistics_make(r->snaps[side], &opts, &st[side]), "statistics");
	}
	if (r->ask & 1u << (ASK_STATISTICS + g)) {
		(void)buf_printf(out, "= statistics %s\n", groupings[g].name);
		answer_statistics(out, r, &st[SIDE_NEW]);
	}
	if (r->ask & 1u << (ASK_COMPARE + g)) {
		(void)buf_printf(out, "= compare %s\n", groupings[g].name);
		answer_compare(out, r, &st[SIDE_NEW], &st[SIDE_OLD]);
	}
	for (int side = 0; side < SIDES; side++)
		statistics_release(&st[side]);
}

static void answer(struct buf *out, const struct request *r)
{
	struct selection sel[SIDES] = {0};

	for (int side = 0; side < SIDES; side++)
		need(!selection_make(r->snaps[side], r->any_filter ? r->filters : NULL, NULL,
				     &sel[side]),
		     "selection");
	for (size_t g = 0; g < ARRAY_LEN(groupings); g++)
		answer_grouping(out, r, g, sel);
	if (r->ask & 1u << ASK_KEPT)
		answer_kept(out, r->snaps[SIDE_NEW], &sel[SIDE_NEW]);
	(void)buf_append_str(out, ".\n");
	for (int side = 0; side < SIDES; side++)
		selection_release(&sel[side]);
}

int main(int argc, char **argv)
{
	struct buf out = {0};

	store_path = argc > 1 ? argv[1] : NULL;

	for (;;) {
		struct request r = {0};

		if (!read_request(&r))
			break;
		buf_reset(&out);
		answer(&out, &r);
		need(!out.oom, "memory");
		fwrite(out.data, 1, out.len, stdout);
		if (r.flags & FLAG_FLUSH)
			fflush(stdout);
		release_request(&r);
	}
	buf_release(&out);
	return fflush(stdout) ? 1 : 0;
}
