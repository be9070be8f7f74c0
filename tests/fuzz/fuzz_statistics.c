/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: filters, suppressions, grouping and comparing of snapshots with odd names. Input: a pattern,
 * NUL, a suppression file, NUL, then stacks: domain, size, count, number of frames, and for each frame two
 * bytes, which name and which line. Names are pieces of the input itself.
 * Holds: no crash; groups add up to the whole, differences to the difference; the first of an order are
 * the first of the sorted list; what is selected, filtered out and suppressed is everything.
 */
#include <stdlib.h>
#include <string.h>

#include "analyze/compare.h"
#include "analyze/selection.h"
#include "report/stat_text.h"

#define STACKS_MAX 24
#define FRAMES_MAX 7
#define NAME_LEN   6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *data;
	size_t len;
	const uint8_t *names;
	size_t names_len;
};

static uint8_t take(struct input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->data++;
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

static str_id_t name(struct input *in, struct intern *strings)
{
	size_t at = take(in), len = NAME_LEN;
	str_id_t id = {0};

	if (at >= in->names_len)
		return id;
	if (len > in->names_len - at)
		len = in->names_len - at;
	must(!intern_add(strings, (const char *)in->names + at, len, &id));
	return id;
}

static struct snapshot *build(struct input *in, struct intern *strings)
{
	struct snapshot *s = snapshot_new(strings);

	must(s != NULL);
	for (int n = 0; in->len && n < STACKS_MAX; n++) {
		struct snap_frame frames[FRAMES_MAX + 1];
		uint8_t number = take(in), domain;
		uint64_t size = take(in), count = take(in) % 4;
		size_t depth = take(in) & FRAMES_MAX;

		must(!snapshot_domain_of(s, number & 1 ? SNAP_NUMBER_NATIVE : number, &domain));
		for (size_t i = 0; i < depth; i++) {
			frames[i].file = name(in, strings);
			frames[i].line = take(in) % 3;
			frames[i].function.v = frames[i].line ? 0 : frames[i].file.v;
		}
		must(!snapshot_add(s, (enum snap_domain)domain, frames, depth, false, size, count));
	}
	return s;
}

static void check_text(const struct statistics *st)
{
	struct traceback_opts opts = {.functions = true, .has_limit = true, .limit = -1};
	struct buf out = {0};

	for (size_t i = 0; i < st->count; i++) {
		stat_text_statistic(&out, st, &st->items[i]);
		stat_text_traceback(&out, st, &st->items[i], &opts);
	}
	for (size_t i = 0; i < out.len; i++)
		must((unsigned char)out.data[i] >= 0x20 || out.data[i] == '\n');
	buf_release(&out);
}

static void check_groups(const struct snapshot *s, const uint8_t *skip, enum stat_key key,
			 enum stat_cumulative cumulative)
{
	struct stat_opts opts = {.key = key, .cumulative = cumulative, .skip = skip};
	struct statistics all = {0}, first = {0};
	uint64_t size = 0, count = 0;

	must(!statistics_make(s, &opts, &all));
	opts.top = 2;
	must(!statistics_make(s, &opts, &first));
	must(all.count == first.count);
	for (size_t i = 0; i < all.count; i++) {
		must(i >= 2 ||
		     !memcmp(&all.items[i].top, &first.items[i].top, sizeof(all.items[i].top)));
		must(i >= 2 || all.items[i].size == first.items[i].size);
		must(!i || all.items[i].size <= all.items[i - 1].size);
		must(cumulative == STAT_EACH_FRAME || all.items[i].size <= all.total_size);
		size += all.items[i].size;
		count += all.items[i].count;
	}
	must(cumulative != STAT_OWN || (size == all.total_size && count == all.total_count));
	must(cumulative == STAT_OWN || size >= all.total_size);
	check_text(&all);
	statistics_release(&all);
	statistics_release(&first);
}

static void check_difference(const struct snapshot *now, const struct snapshot *old,
			     enum stat_key key)
{
	struct stat_opts opts = {.key = key, .sort = STAT_UNSORTED};
	struct statistics a = {0}, b = {0};
	struct statistic_diffs diffs = {0};
	struct buf out = {0};
	int64_t sum = 0;

	must(!statistics_make(now, &opts, &a));
	must(!statistics_make(old, &opts, &b));
	must(!statistics_compare(&a, &b, DIFF_BY_GROWTH, 0, &diffs));
	must(diffs.count >= a.count && diffs.count >= b.count && diffs.count <= a.count + b.count);
	for (size_t i = 0; i < diffs.count; i++) {
		sum += diffs.items[i].size_diff;
		stat_text_diff(&out, &diffs.items[i]);
	}
	must(sum == (int64_t)a.total_size - (int64_t)b.total_size);
	buf_release(&out);
	statistic_diffs_release(&diffs);
	statistics_release(&a);
	statistics_release(&b);
}

/* A string of the input, with its NUL; what follows is left. */
static char *take_text(struct input *in, size_t max)
{
	size_t len = 0;
	char *text;

	while (len < in->len && len < max && in->data[len])
		len++;
	text = strndup((const char *)in->data, len);
	must(text != NULL);
	in->data += len;
	in->len -= len;
	(void)take(in);
	return text;
}

static void check_all(const struct snapshot *now, const struct snapshot *old, const uint8_t *skip)
{
	for (int key = 0; key < STAT_KEYS; key++) {
		for (int c = STAT_OWN; c <= STAT_EACH_STACK; c++) {
			if (c == STAT_OWN || stat_key_can_cumulate((enum stat_key)key))
				check_groups(now, skip, (enum stat_key)key,
					     (enum stat_cumulative)c);
		}
		check_difference(now, old, (enum stat_key)key);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = {data, len, data, len};
	char *pattern = take_text(&in, 64), *known_text = take_text(&in, 256);
	struct filter_spec spec = {.pattern = pattern, .inclusive = take(&in) & 1};
	struct intern *pools[2] = {intern_new(), intern_new()};
	struct suppressions *known = NULL;
	struct filter_set *filters = filter_set_new();
	struct suppress_error error;
	struct snapshot *now, *old;
	struct selection sel;
	size_t kept = 0, live = 0;

	spec.all_frames = take(&in) & 1;
	must(pools[0] && pools[1] && filters && !filter_set_add(filters, &spec));
	(void)suppressions_parse(known_text, strlen(known_text), &known, &error);
	now = build(&in, pools[0]);
	in = (struct input){data, len, data, len};
	old = build(&in, pools[1]);
	must(!selection_make(now, filters, known, &sel));
	for (size_t i = 0; i < now->stack_count; i++) {
		bool holds = now->stacks[i].bytes || now->stacks[i].blocks;

		live += holds;
		kept += holds && !sel.skip[i];
	}
	must(live == kept + sel.filtered.stacks + sel.suppressed.stacks);
	check_all(now, old, sel.skip);
	selection_release(&sel);
	snapshot_free(now);
	snapshot_free(old);
	filter_set_free(filters);
	suppressions_free(known);
	intern_free(pools[0]);
	intern_free(pools[1]);
	free(pattern);
	free(known_text);
	return 0;
}
