/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `diff`: what the two sides are, the lines of tracemalloc's compare_to(), and what they are worth. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "report/report_stats_priv.h"
#include "report/report_text_line.h"

/* ---- can they be compared? ---- */

static void add_doubt(struct buf *out, size_t start, const char *text)
{
	if (out->len > start)
		(void)buf_append_str(out, "; ");
	(void)buf_append_str(out, text);
}

static const char *text_or(const char *s, const char *other)
{
	return s && *s ? s : other;
}

static bool texts_differ(const char *a, const char *b)
{
	return a && b && strcmp(a, b) != 0;
}

static void doubt_capture(struct buf *out, size_t start, const struct stats_side *old,
			  const struct stats_side *now)
{
	const char *old_mode = text_or(old->snap->mode, "?"), *mode = text_or(now->snap->mode, "?");
	char text[160];

	if (!strcmp(old_mode, mode))
		return;
	if (completeness_is_measured(old->snap) != completeness_is_measured(now->snap)) {
		add_doubt(out, start,
			  "one side is tracemalloc's: it counts small blocks with the requested  "
			  "size, tmbpf with the size class, and it does not see native memory");
		return;
	}
	snprintf(text, sizeof(text), "the old side is %.40s, the new one %.40s", old_mode, mode);
	add_doubt(out, start, text);
}

static void doubt_process(struct buf *out, size_t start, const struct store_meta *old,
			  const struct store_meta *now)
{
	char text[160];

	if (old->pid && now->pid && old->pid != now->pid) {
		snprintf(text, sizeof(text), "they are two processes, %d and %d", old->pid,
			 now->pid);
		add_doubt(out, start, text);
	} else if (old->attach_ns && now->attach_ns && old->attach_ns != now->attach_ns) {
		add_doubt(out, start,
			  "they were attached at different times: what was allocated before the "
			  "later attach is missing there");
	}
	if (texts_differ(old->python_version, now->python_version)) {
		snprintf(text, sizeof(text), "they ran CPython %.20s and %.20s",
			 old->python_version, now->python_version);
		add_doubt(out, start, text);
	}
}

void report_diff_doubts(struct buf *out, const struct stats_side *old, const struct stats_side *now,
			bool by_traceback)
{
	const struct store_meta *om = old->meta, *nm = now->meta;
	size_t start = out->len;
	char text[160];

	doubt_capture(out, start, old, now);
	doubt_process(out, start, om, nm);
	for (int d = 0; completeness_is_measured(old->snap) &&
			completeness_is_measured(now->snap) && d < SNAP_DOMAINS;
	     d++) {
		if (om->domains[d] == nm->domains[d])
			continue;
		snprintf(text, sizeof(text), "only the %s side traced %s memory",
			 om->domains[d] ? "old" : "new", snapshot_domain_name((enum snap_domain)d));
		add_doubt(out, start, text);
	}
	if (by_traceback && om->frames && nm->frames && om->frames != nm->frames) {
		snprintf(text, sizeof(text), "tracebacks have up to %u and %u frames", om->frames,
			 nm->frames);
		add_doubt(out, start, text);
	}
	if (old->snap->time_ns && now->snap->time_ns && old->snap->time_ns > now->snap->time_ns)
		add_doubt(out, start, "the old side was taken after the new one");
}

/* ---- header ---- */

/* "a" of /tmp/a.tmb; keep a time after the name, because it tells the sides of one file apart. */
static void put_label(struct buf *out, const char *name)
{
	const char *suffix;

	name = text_base_name(name);
	suffix = strstr(name, STORE_SUFFIX);
	if (suffix && suffix > name &&
	    (!suffix[strlen(STORE_SUFFIX)] || suffix[strlen(STORE_SUFFIX)] == '@')) {
		_cleanup_free_ char *stem = strndup(name, (size_t)(suffix - name));

		text_append_clean(out, stem ? stem : name);
		text_append_clean(out, stem ? suffix + strlen(STORE_SUFFIX) : "");
		return;
	}
	text_append_clean(out, name);
}

/* Print the day only when the two sides are not of one day. */
static void put_clock(struct buf *out, int64_t time_ns, bool with_day)
{
	char text[UNITS_LEN];

	if (time_ns > 0 &&
	    text_format_time(text, sizeof(text), time_ns, with_day ? TEXT_UTC : TEXT_UTC_CLOCK))
		(void)buf_printf(out, " %s", text);
}

static void put_duration(struct buf *out, int64_t ns)
{
	int64_t s = ns / 1000000000;

	if (s >= 86400)
		(void)buf_printf(out, "%" PRIi64 "d%02dh", s / 86400, (int)(s / 3600 % 24));
	else if (s >= 3600)
		(void)buf_printf(out, "%" PRIi64 "h%02dm", s / 3600, (int)(s / 60 % 60));
	else if (s >= 60)
		(void)buf_printf(out, "%" PRIi64 "m%02ds", s / 60, (int)(s % 60));
	else
		(void)buf_printf(out, "%.1fs", (double)ns / 1e9);
}

static void put_side(struct buf *out, const struct stats_side *side, bool with_day)
{
	char size[UNITS_LEN];

	put_label(out, side->name);
	put_clock(out, side->snap->time_ns, with_day);
	(void)buf_printf(out, "  %s/%" PRIu64,
			 units_format_size(size, (int64_t)side->stats->total_size, false),
			 side->stats->total_count);
}

static void put_header(struct buf *out, const struct stats_side *old, const struct stats_side *now)
{
	int64_t t0 = old->snap->time_ns, t1 = now->snap->time_ns, day_ns = 86400LL * 1000000000;
	bool with_day = t0 > 0 && t1 > 0 && t0 / day_ns != t1 / day_ns;
	char size[UNITS_LEN];

	put_side(out, old, with_day);
	(void)buf_append_str(out, "   ->   ");
	put_side(out, now, with_day);
	(void)buf_printf(
		out, "     %s (%+" PRIi64 " blocks)",
		units_format_size(size,
				  (int64_t)now->stats->total_size - (int64_t)old->stats->total_size,
				  true),
		(int64_t)now->stats->total_count - (int64_t)old->stats->total_count);
	if (t0 > 0 && t1 > t0) {
		(void)buf_append_str(out, " in ");
		put_duration(out, t1 - t0);
	}
	(void)buf_append_str(out, "\n");
}

/* ---- differences ---- */

static void put_block(struct buf *out, const struct stats_view *v, const struct statistic_diff *d)
{
	char size[UNITS_LEN], diff[UNITS_LEN];

	(void)buf_printf(out, "%" PRIu64 " memory blocks (%+" PRIi64 "): %s (%s)", d->count,
			 d->count_diff, units_format_size(size, (int64_t)d->size, false),
			 units_format_size(diff, d->size_diff, true));
	if (d->group->biggest->truncated)
		(void)buf_append_str(out, ", older calls were cut");
	(void)buf_append_str(out, "\n");
	stat_text_traceback(out, d->in, d->group, &v->traceback);
}

static void put_rest(struct buf *out, const struct stats_view *v,
		     const struct statistic_diffs *diffs)
{
	size_t shown = stats_shown(v, diffs->count), rest = diffs->count - shown;
	int64_t bytes = 0, blocks = 0;
	char diff[UNITS_LEN];

	if (!rest || v->cumulative != STAT_OWN)
		return;
	for (size_t i = shown; i < diffs->count; i++) {
		if (__builtin_add_overflow(bytes, diffs->items[i].size_diff, &bytes) ||
		    __builtin_add_overflow(blocks, diffs->items[i].count_diff, &blocks))
			return; /* numbers that no machine has */
	}
	(void)buf_printf(out, "%zu other: size %s, count %+" PRIi64 "\n", rest,
			 units_format_size(diff, bytes, true), blocks);
}

static void put_tail(struct buf *out, const struct stats_view *v, const struct stats_side *old,
		     const struct stats_side *now)
{
	size_t start;

	stats_text_tail(out, old, "old: ");
	stats_text_tail(out, now, "new: ");
	if (!v->repeat_warnings)
		return;
	start = out->len;
	(void)buf_append_str(out, "warning W204: ");
	report_diff_doubts(out, old, now, now->stats->key == STAT_TRACEBACK);
	if (out->len == start + strlen("warning W204: "))
		out->len = start; /* nothing to warn of */
	else
		(void)buf_append_str(out, "\n");
}

int report_diff_text(FILE *out, const struct stats_view *v, const struct stats_side *old,
		     const struct stats_side *now, const struct statistic_diffs *diffs)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t shown = stats_shown(v, diffs->count);
	int err = 0;

	put_header(&b, old, now);
	for (size_t i = 0; !err && i < shown; i++) {
		const struct statistic_diff *d = &diffs->items[i];

		if (now->stats->key == STAT_TRACEBACK) {
			put_block(&b, v, d);
		} else {
			stat_text_diff(&b, d);
			(void)buf_append_str(&b, "\n");
		}
		err = export_flush_some(out, &b);
	}
	if (err)
		return err;
	put_rest(&b, v, diffs);
	if (!diffs->count)
		(void)buf_append_str(&b,
				     "nothing that passes the filters is alive on either side\n");
	put_tail(&b, v, old, now);
	return export_flush(out, &b);
}
