/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `leaks` for people: a line a verdict, then the process as a whole, then what the data are worth. */
#include <inttypes.h>
#include <math.h>

#include "base/text.h"
#include "base/units.h"
#include "report/report_leaks.h"
#include "report/report_paths.h"
#include "report/report_round.h"
#include "report/report_stats_priv.h"
#include "report/report_text_line.h"

#define TAIL_COLUMN  44
#define SEE	     "docs/leak-verdict.md"

#define SPAN_LEN     32
#define PLACE_FRAMES 3

struct writer {
	const struct leaks_report *r;
	struct buf out;
	struct short_paths paths;
};

/* Number of rows of a verdict with live bytes; the rows are sorted so that these come first. */
static size_t count_holding(const struct leak_table *t, enum leak_verdict v)
{
	size_t first = 0, n = 0;

	for (int before = 0; before < (int)v; before++)
		first += t->counts[before];
	while (n < t->counts[v] && t->rows[first + n].finding.level_bytes)
		n++;
	return n;
}

size_t report_leaks_shown(const struct leaks_report *r, enum leak_verdict v)
{
	size_t all = r->table->counts[v], limit = r->top;

	if (!r->top)
		return all;
	if (v == LEAK_PLATEAU)
		all = count_holding(r->table, v);
	if (v == LEAK_WARM_UP)
		limit = 0;
	else if (v != LEAK_YES)
		limit = (limit + 2) / 3;
	return all < limit ? all : limit;
}

/* ---- words ---- */

/* "40 s", "27 min", "3.4 h", "12.1 days" */
static const char *span_text(char out[SPAN_LEN], double seconds)
{
	if (seconds < 120)
		snprintf(out, SPAN_LEN, "%.*f s", seconds < 10 ? 1 : 0, seconds);
	else if (seconds < 120 * 60)
		snprintf(out, SPAN_LEN, "%.0f min", seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(out, SPAN_LEN, "%.1f h", seconds / 3600);
	else
		snprintf(out, SPAN_LEN, "%.1f days", seconds / 86400);
	return out;
}

static const char *size_text(char out[UNITS_LEN], double bytes)
{
	return units_format_size(out, round_i64(bytes), false);
}

struct rate_unit {
	const char *name;
	double minutes;
};

/* The shortest in which it is a byte at least. */
static const struct rate_unit *rate_unit_of(double per_min)
{
	static const struct rate_unit units[] = {{"min", 1}, {"h", 60}, {"day", 1440}};

	if (per_min >= 1 || per_min <= 0)
		return &units[0];
	return per_min * units[1].minutes >= 1 ? &units[1] : &units[2];
}

/* Rate over the time in which the line was active. */
static double since_s(const struct writer *w, const struct leak_finding *f)
{
	return (double)(w->r->to_ns - f->since_ns) / 1e9;
}

/* "+2.4 MiB/min (2.3 MiB to 2.5 MiB), R2 0.998, 30/30 windows up" */
static void put_trend(struct writer *w, struct buf *b, const struct leak_finding *f)
{
	const struct rate_unit *unit = rate_unit_of(f->trend.per_min);
	char rate[UNITS_LEN], low[UNITS_LEN], high[UNITS_LEN], span[SPAN_LEN];

	(void)buf_printf(b, "%s/%s (%s to %s), R2 %.3f, %u/%u windows up in %s",
			 units_format_size(rate, round_i64(f->trend.per_min * unit->minutes), true),
			 unit->name, size_text(low, f->trend.per_min_low * unit->minutes),
			 size_text(high, f->trend.per_min_high * unit->minutes), f->trend.r2,
			 f->trend.grew, f->trend.gaps, span_text(span, since_s(w, f)));
}

static void put_ages(struct buf *b, const struct leak_ages *a)
{
	int old_pct = (int)(a->old_ratio * 100);
	char span[SPAN_LEN];

	if (old_pct >= 1) /* "at least 0%" would mean nothing */
		(void)buf_printf(b, ", at least %d%% of %" PRIu64 " blocks older than %s", old_pct,
				 a->blocks, span_text(span, a->old_s));
	if (a->freed_ratio >= 0)
		(void)buf_printf(b, ", %.1f%% ever freed", a->freed_ratio * 100);
}

static void put_leak(struct writer *w, struct buf *b, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;

	put_trend(w, b, f);
	put_ages(b, &row->ages);
	if (f->why == LEAK_WHY_FEW_BUT_EVEN)
		(void)buf_printf(b, "; only %zu snapshots, record more to be sure",
				 w->r->snapshots);
	if (f->lossy)
		(void)buf_printf(b, "; %.1f%% of the data is missing", w->r->missing_ratio * 100);
}

static void put_unknown(struct writer *w, struct buf *b, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;
	char size[UNITS_LEN], span[SPAN_LEN];

	(void)buf_printf(b, "+%s in %s, ", size_text(size, (double)f->kept_bytes),
			 span_text(span, since_s(w, f)));
	switch (f->why) {
	case LEAK_WHY_SHORT:
		(void)buf_append_str(b, "too short to decide");
		break;
	case LEAK_WHY_PAUSED:
		(void)buf_append_str(b, "flat for longer than before: stopped?");
		break;
	case LEAK_WHY_SLOWING:
		(void)buf_append_str(b, "growth slows down: a cache that fills?");
		break;
	case LEAK_WHY_LOSSES:
		(void)buf_printf(b, "growth is within the %.1f%% of data that is missing",
				 w->r->missing_ratio * 100);
		break;
	default:
		(void)buf_append_str(b, "steps too few or too uneven to decide");
	}
}

static void put_level(struct writer *w, struct buf *b, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;
	char size[UNITS_LEN], span[SPAN_LEN];

	(void)buf_printf(b, "%s for %s",
			 f->why == LEAK_WHY_RELEASED ? "released, nothing new" : "flat",
			 span_text(span, since_s(w, f)));
	if (f->why == LEAK_WHY_STOPPED)
		(void)buf_printf(b, " (grew by %s before)", size_text(size, (double)f->kept_bytes));
	(void)buf_printf(b, ", holds %s", size_text(size, (double)f->level_bytes));
}

static void put_churn(struct buf *b, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;
	char size[UNITS_LEN], rate[UNITS_LEN], low[UNITS_LEN];
	double allocated = f->turnover * (double)f->peak_bytes;

	if (f->turnover >= 0 && f->span_s > 0) {
		double per_min = allocated * 60 / f->span_s;
		const struct rate_unit *unit = rate_unit_of(per_min);

		(void)buf_printf(b, "%s/%s allocated, ", size_text(rate, per_min * unit->minutes),
				 unit->name);
	}
	if (f->why == LEAK_WHY_TURNOVER)
		(void)buf_printf(b, "live flat at %s", size_text(size, (double)f->level_bytes));
	else
		(void)buf_printf(b, "live between %s and %s",
				 size_text(low, (double)f->bottom_bytes),
				 size_text(size, (double)f->peak_bytes));
}

/* ---- places ---- */

/* Printed of a line: its frame, and of a traceback the callers next to it. */
static const struct snap_frame *place_frames(const struct leak_name *n, size_t *count)
{
	const struct snap_frame *frames = statistic_frames(&n->group, count);

	if (*count > PLACE_FRAMES)
		*count = PLACE_FRAMES;
	return frames;
}

static bool has_path(enum stat_key key)
{
	return key != STAT_MODULE && key != STAT_THREAD && key != STAT_DOMAIN;
}

/* Without memory for it a path just stays long. */
static void learn_place(struct writer *w, const struct leak_name *n)
{
	const struct snap_frame *frames;
	size_t count;

	frames = place_frames(n, &count);
	for (size_t i = 0; i < count; i++)
		(void)short_paths_add(&w->paths, intern_get(n->in.snap->strings, frames[i].file),
				      frames[i].file);
}

/* The paths of everything that is shown, before any of them is shortened. */
static void learn_paths(struct writer *w)
{
	const struct leak_table *t = w->r->table;
	size_t first = 0;

	for (int v = 0; v < LEAK_VERDICTS && has_path(w->r->key); v++) {
		size_t shown = report_leaks_shown(w->r, (enum leak_verdict)v);

		for (size_t i = first; i < first + shown; i++)
			learn_place(w, leak_lines_name(w->r->lines, t->rows[i].line));
		first += t->counts[v];
	}
}

static void put_frame(struct writer *w, struct buf *path, struct buf *after,
		      const struct leak_name *n, const struct snap_frame *f, str_id_t function)
{
	const struct intern *strings = n->in.snap->strings;

	text_append_clean(path, short_paths_get(&w->paths, intern_get(strings, f->file), f->file));
	if (f->line)
		(void)buf_printf(after, ":%" PRIi32, f->line);
	if (!function.v)
		return;
	(void)buf_append_str(after, " ");
	text_append_clean(after, intern_get(strings, function));
}

static void put_place(struct writer *w, struct text_line *line, const struct leak_name *n)
{
	const struct snap_frame *frames;
	size_t count;

	if (!has_path(n->in.key)) {
		text_append_clean(&line->path, intern_get(n->in.snap->strings, n->group.top.file));
		return;
	}
	frames = place_frames(n, &count);
	put_frame(w, &line->path, &line->after_path, n, frames,
		  n->in.key == STAT_FILENAME ? (str_id_t){0}
					     : statistic_function(&n->in, &n->group));
	for (size_t i = 1; i < count; i++) {
		(void)buf_append_str(&line->after_path, " < ");
		put_frame(w, &line->after_path, &line->after_path, n, &frames[i], (str_id_t){0});
	}
}

static void put_row(struct writer *w, const struct leak_row *row)
{
	_cleanup_(text_line_release) struct text_line line = {.tail_column = TAIL_COLUMN};

	(void)buf_printf(&line.head, "%-9s ", leak_verdict_name(row->finding.verdict));
	put_place(w, &line, leak_lines_name(w->r->lines, row->line));
	switch (row->finding.verdict) {
	case LEAK_YES:
		put_leak(w, &line.tail, row);
		break;
	case LEAK_UNKNOWN:
		put_unknown(w, &line.tail, row);
		break;
	case LEAK_CHURN:
		put_churn(&line.tail, row);
		break;
	default:
		put_level(w, &line.tail, row);
	}
	text_line_write(&w->out, &line, 0);
}

/* "WARM-UP   212 sites                stopped growing within 2 min, hold 13 MiB" */
static void put_rest(struct writer *w, enum leak_verdict v, size_t first, size_t shown)
{
	_cleanup_(text_line_release) struct text_line line = {.tail_column = TAIL_COLUMN};
	const struct leaks_report *r = w->r;
	char size[UNITS_LEN], span[SPAN_LEN];
	size_t rest = r->table->counts[v] - shown;
	int64_t start = r->clock_ns[0], latest = start;
	uint64_t bytes = 0;

	if (!rest)
		return;
	for (size_t i = first + shown; i < first + shown + rest; i++) {
		const struct leak_finding *f = &r->table->rows[i].finding;

		bytes += f->level_bytes;
		latest = f->since_ns > latest ? f->since_ns : latest;
	}
	(void)buf_printf(&line.head, "%-9s %zu %s%s", leak_verdict_name(v), rest,
			 shown ? "more " : "", rest == 1 ? "site" : "sites");
	if (v == LEAK_WARM_UP)
		(void)buf_printf(&line.tail, "stopped growing within %s, ",
				 span_text(span, (double)(latest - start) / 1e9));
	(void)buf_printf(&line.tail, "%s %s", rest == 1 ? "holds" : "hold",
			 size_text(size, (double)bytes));
	text_line_write(&w->out, &line, 0);
}

/* ---- the process ---- */

/* "~41 min (+-3)", "~10.6 h (+-0.2)", "~41 min": the error in the same unit, rounded up. */
static void put_time_left(struct buf *b, const struct leak_process *p)
{
	static const struct {
		double minutes;
		const char *name;
		int decimals;
	} units[] = {{1, "min", 0}, {60, "h", 1}, {1440, "days", 1}};
	int u = p->limit_min < 120 ? 0 : p->limit_min < 2880 ? 1 : 2;
	double unit = units[u].minutes, digit = u ? 0.1 : 1;
	double error = (p->limit_min_high - p->limit_min_low) / 2 / unit;
	double digits = (double)(int64_t)(error / digit + 0.999);

	(void)buf_printf(b, "~%.*f %s", units[u].decimals, p->limit_min / unit, units[u].name);
	if (p->limit_min_high < 0)
		(void)buf_printf(b, " (at least %.*f)", units[u].decimals, p->limit_min_low / unit);
	else if (digits > 0)
		(void)buf_printf(b, " (+-%.*f)", units[u].decimals, digits * digit);
}

static const char *rate_name(const struct leaks_report *r)
{
	bool all = !r->selection->filtered.stacks && !r->selection->suppressed.stacks;

	switch (r->process->limit_rate) {
	case LEAK_RATE_RSS:
		return "RSS";
	case LEAK_RATE_LIVE:
		return "all that is traced";
	default:
		return all ? "the leaks" : "the leaks shown";
	}
}

static void put_limit(struct writer *w)
{
	const struct leak_process *p = w->r->process;
	char limit[UNITS_LEN], rss[UNITS_LEN];

	if (p->limit_min < 0)
		return;
	size_text(limit, (double)w->r->meta->cgroup_limit_bytes);
	size_text(rss, (double)p->rss.level_bytes);
	if (p->limit_reached) {
		(void)buf_printf(&w->out,
				 "          RSS %s is at or above the cgroup limit %s   see: %s\n",
				 rss, limit, SEE);
		return;
	}
	(void)buf_printf(&w->out, "          cgroup limit %s is reached in ", limit);
	put_time_left(&w->out, p);
	(void)buf_printf(&w->out, ", from RSS %s at the rate of %s   see: %s\n", rss,
			 rate_name(w->r), SEE);
}

static void put_unexplained(struct writer *w)
{
	const struct leak_process *p = w->r->process;
	char rss[UNITS_LEN], live[UNITS_LEN];

	if (!p->unexplained)
		return;
	(void)buf_printf(
		&w->out,
		"UNKNOWN   RSS grew %s/min but traced live only %s/min: fragmentation, memory "
		"from before attach, or memory that is not traced   see: %s\n",
		size_text(rss, p->rss.trend.per_min),
		size_text(live, p->rss.trend.per_min - p->unexplained_per_min), SEE);
}

/* ---- around it ---- */

static void put_header(struct writer *w)
{
	const struct leaks_report *r = w->r;
	char from[UNITS_LEN], to[UNITS_LEN], span[SPAN_LEN];

	(void)buf_printf(&w->out, "%d ", r->meta->pid);
	text_append_clean(&w->out, r->meta->comm ? r->meta->comm : "?");
	(void)buf_printf(&w->out, ": %zu snapshots in %s, %s to %s, ", r->snapshots,
			 span_text(span, (double)(r->to_ns - r->from_ns) / 1e9),
			 units_format_time(from, r->from_ns), units_format_time(to, r->to_ns));
	text_append_clean(&w->out, r->last->mode ? r->last->mode : "mode not known");
	if (r->windows < r->snapshots)
		(void)buf_printf(&w->out, ", judged in %zu windows", r->windows);
	(void)buf_append_str(&w->out, "\n");
	if (r->pauses.count)
		(void)buf_printf(&w->out,
				 "%zu pause%s of %s in all left out: the process was idle\n",
				 r->pauses.count, r->pauses.count > 1 ? "s" : "",
				 span_text(span, r->pauses.seconds));
	if (r->left_out)
		(void)buf_printf(
			&w->out,
			"tracing was started %zu times: judged is the longest session, %zu "
			"snapshots of the others are left out\n",
			r->stretches, r->left_out);
}

static void put_tail(struct writer *w)
{
	stats_text_left_out(&w->out, w->r->selection, "");
	completeness_write(&w->out, w->r->last, w->r->meta->frames);
	if (w->r->missing_ratio > 0)
		(void)buf_printf(&w->out, "at the worst snapshot %.3g%% was missing\n",
				 w->r->missing_ratio * 100);
}

static int write_verdict(struct writer *w, FILE *out, enum leak_verdict v, size_t first)
{
	size_t shown = report_leaks_shown(w->r, v);
	int err = 0;

	for (size_t i = first; !err && i < first + shown; i++) {
		put_row(w, &w->r->table->rows[i]);
		err = export_flush_some(out, &w->out);
	}
	put_rest(w, v, first, shown);
	if (v == LEAK_YES)
		put_limit(w);
	if (v == LEAK_UNKNOWN)
		put_unexplained(w);
	return err;
}

int report_leaks_text(FILE *out, const struct leaks_report *r)
{
	struct writer w = {.r = r};
	size_t first = 0;
	int err = 0;

	put_header(&w);
	learn_paths(&w);
	for (int v = 0; !err && v < LEAK_VERDICTS; v++) {
		err = write_verdict(&w, out, (enum leak_verdict)v, first);
		first += r->table->counts[v];
	}
	if (!r->table->count)
		(void)buf_append_str(&w.out, "no line held anything\n");
	put_tail(&w);
	if (!err)
		err = export_flush(out, &w.out);
	short_paths_release(&w.paths);
	buf_release(&w.out);
	return err;
}
