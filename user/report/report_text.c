/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The report for people. The first columns of a site line are fixed (size, unit, place), so that
 * grep and awk work on it; only site lines are cut, and only on a terminal.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "analyze/completeness.h"
#include "base/command.h"
#include "base/text.h"
#include "base/units.h"
#include "report/report_completeness.h"
#include "report/report_cost.h"
#include "report/report_ops.h"
#include "report/report_round.h"
#include "report/report_text_line.h"

#define NARROW_COLUMNS 100 /* below this the columns move together */

#define POOLS_RULE     "each pool's blocks are attributed to the line that opened the pool"

static const char *clock_text(char out[16], int64_t time_ns)
{
	if (!text_format_time(out, 16, time_ns, TEXT_LOCAL_CLOCK))
		snprintf(out, 16, "--:--:--");
	return out;
}

static const char *plural_of(uint64_t count, const char *one, const char *many)
{
	return count == 1 ? one : many;
}

/* ---- header ---- */

/* Clean everything, because versions are read from the target too. */
static void put_fact(struct buf *b, const char *before, const char *fact)
{
	(void)buf_append_str(b, before);
	text_append_clean(b, fact);
}

static void put_program(struct buf *b, const struct report_hello *h)
{
	(void)buf_printf(b, "tmbpf %s: %d ", TMBPF_VERSION, h->pid);
	text_append_clean(b, h->comm);
	if (h->python_version)
		put_fact(b, " (CPython ", h->python_version);
	else
		(void)buf_append_str(b, " (no Python");
	if (h->libc && *h->libc)
		put_fact(b, ", ", h->libc);
	if (h->container)
		put_fact(b, ", container ", h->container);
	(void)buf_append_str(b, ")   nothing is injected\n");
}

static void put_mode(struct buf *b, enum trace_mode mode, const char *reason)
{
	const char *rule = trace_mode_rule(mode);

	if (!rule && !reason)
		return;
	(void)buf_printf(b, "mode %s: %s", trace_mode_key(mode), rule ? rule : "");
	if (reason)
		(void)buf_printf(b, "%s%s", rule ? "; " : "", reason);
	(void)buf_append_str(b, "\n");
}

static void put_trial(struct buf *b, const struct report_hello *h)
{
	double slowdown = h->projected_slowdown_ratio;

	(void)buf_printf(
		b,
		"a trial of %.0f ms saw %.0f allocations/s: exact is projected to slow the target ",
		h->trial_s * 1e3, h->trial_events_per_s);
	if (cost_of_idle_target(h->projected_cost_ratio, slowdown))
		(void)buf_printf(b, "for %.1f%% of the time (it is nearly idle)\n",
				 h->projected_cost_ratio * 100);
	else
		(void)buf_printf(b, "%s %.1f%% at that rate\n",
				 slowdown >= SNAP_SLOWDOWN_MAX ? "by more than" : "about",
				 slowdown * 100);
}

void report_header_text(struct buf *b, const struct report_hello *h, const char *kept)
{
	const char *sep = "";
	char clock[16];

	put_program(b, h);
	(void)buf_append_str(b, "tracing ");
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		if (!h->domains[d])
			continue;
		(void)buf_printf(b, "%s%s", sep, snapshot_domain_name((enum snap_domain)d));
		if (d == SNAP_PYTHON && !h->pop_sites)
			(void)buf_append_str(b, " (blocks from malloc only)");
		sep = "+";
	}
	(void)buf_printf(b, "%s, %s, %u %s; memory held before %s is not %s\n",
			 *sep ? "" : "nothing", trace_mode_key(h->mode), h->frames,
			 plural_of(h->frames, "frame", "frames"), clock_text(clock, h->time_ns),
			 kept);
	if (h->trial && h->projected_slowdown_ratio >= 0)
		put_trial(b, h);
	put_mode(b, h->mode, h->mode_reason);
}

static void write_hello(struct report *r, const struct report_hello *h)
{
	report_header_text(&r->text, h, "attributed");
	if (r->opts.verbose)
		(void)buf_printf(&r->text,
				 "probes: %zu pop sites, %zu new-reference sites, %zu libc sites\n",
				 h->pop_sites, h->newref_sites, h->libc_sites);
}

/* ---- sites ---- */

static const char *shown_path(const struct report *r, const struct snapshot *s, str_id_t file)
{
	const char *path = intern_get(s->strings, file);

	return r->opts.verbose ? path : short_paths_get(&r->paths, path, file);
}

/* The innermost frame with a line: who called into native code. NULL when there is none. */
static const struct snap_frame *first_line_frame(const struct snapshot *s,
						 const struct snap_stack *st)
{
	for (size_t i = 0; i < st->frame_count; i++) {
		const struct snap_frame *f = &s->frames[st->first_frame + i];

		if (f->line)
			return f;
	}
	return NULL;
}

/* Where the memory of a group was allocated; for traceback the innermost frame. */
static const struct snap_frame *site_place(const struct statistic *site)
{
	size_t count;

	return statistic_frames(site, &count);
}

/* The paths of everything this interval shows, before any of them is shortened. */
static void learn_paths(struct report *r, const struct statistics *groups)
{
	const struct snapshot *s = groups->snap;

	for (size_t i = 0; i < report_shown(r, groups); i++) {
		const struct snap_stack *st = groups->items[i].biggest;
		str_id_t file = site_place(&groups->items[i])->file;

		/* Without memory for it a path just stays long. */
		(void)short_paths_add(&r->paths, intern_get(s->strings, file), file);
		for (size_t f = 0; f < st->frame_count; f++) {
			file = s->frames[st->first_frame + f].file;
			(void)short_paths_add(&r->paths, intern_get(s->strings, file), file);
		}
	}
}

static void put_place(struct report *r, struct buf *b, const struct snapshot *s,
		      const struct snap_frame *f)
{
	text_append_clean(b, shown_path(r, s, f->file));
	if (f->line)
		(void)buf_printf(b, ":%d", f->line);
}

/* The caller, when the place alone does not identify it: "under parse.py:57". */
static void put_callers(struct report *r, struct buf *b, const struct snapshot *s,
			const struct statistic *site)
{
	const struct snap_stack *st = site->biggest;
	const struct snap_frame *caller = first_line_frame(s, st);

	if (r->opts.by == STAT_TRACEBACK && st->frame_count > 1) {
		(void)buf_append_str(b, "  under ");
		put_place(r, b, s, &s->frames[st->first_frame + 1]);
		if (st->frame_count > 2) {
			(void)buf_append_str(b, " < ");
			put_place(r, b, s, &s->frames[st->first_frame + 2]);
		}
	} else if (r->opts.by == STAT_LINENO && !site->top.line && caller) {
		(void)buf_append_str(b, "  under ");
		put_place(r, b, s, caller);
	}
}

static void put_trend(struct report *r, struct buf *b, const struct history_entry *h)
{
	char size[UNITS_LEN], rate[UNITS_LEN + 2] = "";

	if (!h)
		return;
	if (isfinite(h->bytes_per_s))
		snprintf(rate, sizeof(rate), "%s/s",
			 units_format_size(size, round_i64(h->bytes_per_s), true));
	if (r->history.intervals >= 2)
		(void)buf_printf(b, "%-11s  growing %u/%u", rate, h->grew, r->history.intervals);
	else
		(void)buf_append_str(b, rate);
}

static void write_site(struct report *r, const struct statistics *in, const struct statistic *site)
{
	_cleanup_(text_line_release) struct text_line line = {0};
	bool narrow = r->opts.width && r->opts.width < NARROW_COLUMNS;
	bool native = in->split_domains && site->domain == SNAP_NATIVE;
	const struct snap_frame *place = site_place(site);
	const struct snapshot *now = in->snap;
	char size[UNITS_LEN];

	(void)buf_printf(&line.head, "  %s %s", units_format_size(size, (int64_t)site->size, true),
			 native ? "<native> " : "");
	text_append_clean(&line.path, shown_path(r, now, place->file));
	if (place->line)
		(void)buf_printf(&line.after_path, ":%d", place->line);
	(void)buf_printf(&line.after_path, " (%" PRIu64 " %s)", site->count,
			 plural_of(site->count, "block", "blocks"));
	text_append_clean(&line.function, intern_get(now->strings, statistic_function(in, site)));
	put_trend(r, &line.tail, history_get(&r->history, in, site));
	put_callers(r, &line.tail, now, site);
	line.function_column = narrow ? 40 : 48;
	line.tail_column = narrow ? 52 : 63;
	text_line_write(&r->text, &line, r->opts.width);
}

/*
 * As traceback.format(): oldest call first, the allocating line last. A group of another key has several
 * stacks, of which the biggest is shown with its own numbers. The group of a traceback has them in its line.
 */
static void write_traceback(struct report *r, const struct snapshot *s, const struct snap_stack *st)
{
	struct buf *b = &r->text;
	char size[UNITS_LEN];

	if (!st->frame_count) {
		(void)buf_append_str(b, "    no frame of its stack is known\n");
		return;
	}
	if (r->opts.by == STAT_TRACEBACK)
		(void)buf_append_str(b, "    traceback (most recent call last):\n");
	else
		(void)buf_printf(
			b, "    biggest stack, %s in %" PRIu64 " %s (most recent call last):\n",
			units_format_size(size, (int64_t)st->bytes, false), st->blocks,
			plural_of(st->blocks, "block", "blocks"));
	if (st->truncated)
		(void)buf_printf(b, "      ... older calls cut at %u frames (--frames)\n",
				 r->frames);
	for (size_t i = st->frame_count; i-- > 0;) {
		const struct snap_frame *f = &s->frames[st->first_frame + i];

		(void)buf_append_str(b, "      File \"");
		text_append_clean(b, intern_get(s->strings, f->file));
		(void)buf_append_str(b, "\"");
		if (f->line)
			(void)buf_printf(b, ", line %d", f->line);
		if (f->function.v) {
			(void)buf_append_str(b, "\n        ");
			text_append_clean(b, intern_get(s->strings, f->function));
		}
		(void)buf_append_str(b, "\n");
	}
}

static void write_other_sites(struct report *r, const struct statistics *groups)
{
	uint64_t bytes = 0, blocks = 0;
	size_t shown = report_shown(r, groups), others = groups->count - shown;
	char size[UNITS_LEN];

	if (!others)
		return;
	for (size_t i = shown; i < groups->count; i++) {
		bytes += groups->items[i].size;
		blocks += groups->items[i].count;
	}
	(void)buf_printf(&r->text, "  %s %zu other %s (%" PRIu64 " %s)\n",
			 units_format_size(size, (int64_t)bytes, true), others,
			 plural_of(others, "site", "sites"), blocks,
			 plural_of(blocks, "block", "blocks"));
}

/* ---- interval ---- */

static void write_totals(struct report *r, const struct snapshot *now, const struct snapshot *prev)
{
	struct buf *b = &r->text;
	char clock[16], size[UNITS_LEN];

	(void)buf_printf(b, "%s[%s] live %s in %" PRIu64 " %s since attach",
			 r->opts.color ? "\x1b[1m" : "", clock_text(clock, now->time_ns),
			 units_format_size(size, (int64_t)now->live_bytes, true), now->live_blocks,
			 plural_of(now->live_blocks, "block", "blocks"));
	if (now->rss_bytes)
		(void)buf_printf(b, "   RSS %s",
				 units_format_size(size, (int64_t)now->rss_bytes, false));
	else
		(void)buf_append_str(b, "   RSS unknown");
	if (now->rss_bytes && prev && prev->rss_bytes)
		(void)buf_printf(
			b, " (%s)",
			units_format_size(size, (int64_t)(now->rss_bytes - prev->rss_bytes), true));
	(void)buf_append_str(b, "   ");
	cost_put_slowdown(b, now);
	(void)buf_printf(b, "%s\n", r->opts.color ? "\x1b[0m" : "");
}

static void write_interval(struct report *r, const struct snapshot *now,
			   const struct snapshot *prev, const struct statistics *groups)
{
	enum trace_mode mode = trace_mode_of(now->mode);

	write_totals(r, now, prev);
	if (mode && mode != r->mode) {
		/* There is none before it when there was no header. */
		const char *reason = r->mode ? "changed since the last report" : NULL;

		r->mode = mode;
		put_mode(&r->text, r->mode, reason);
	}
	if (!r->opts.verbose)
		learn_paths(r, groups);
	for (size_t i = 0; i < report_shown(r, groups); i++) {
		write_site(r, groups, &groups->items[i]);
		if (!i && r->opts.verbose)
			write_traceback(r, now, groups->items[i].biggest);
	}
	write_other_sites(r, groups);
	if (!groups->count)
		(void)buf_printf(&r->text, "  nothing %s since attach is alive\n",
				 completeness_leaves_out(now) ? "recorded" : "allocated");
	completeness_write(&r->text, now, r->frames);
}

/*
 * On a terminal stderr has just shown the warning; a file or pipe that keeps the report needs it
 * too, because there the two streams part.
 */
static void write_warning(struct report *r, const char *code, const char *message, const char *fix)
{
	if (r->opts.width)
		return;
	(void)buf_printf(&r->text, "warning %s: ", code);
	text_append_clean(&r->text, message);
	if (fix) {
		(void)buf_append_str(&r->text, ". Fix: ");
		text_append_clean(&r->text, fix);
	}
	(void)buf_append_str(&r->text, "\n");
}

/* ---- end ---- */

/* Whether the group is a place in a program. */
static bool is_known_place(const struct snapshot *s, const struct statistic *site)
{
	const char *file = intern_get(s->strings, site_place(site)->file);

	/* Blocks that were not followed since a gap may be gone. */
	if (s->gap.from_ns && site->biggest->unfollowed_bytes >= site->biggest->bytes)
		return false;
	return site->size && strcmp(file, "<unknown>") != 0 && strcmp(file, "<lost>") != 0;
}

/* The place that keeps growing, by the most bytes; NULL: none does. */
static const struct statistic *find_suspect(const struct report *r, const struct statistics *groups)
{
	const struct statistic *suspect = NULL;
	uint64_t most = 0;

	for (size_t i = 0; i < groups->count; i++) {
		const struct statistic *site = &groups->items[i];
		const struct history_entry *h = history_get(&r->history, groups, site);
		uint64_t growth = h ? history_steady_growth(h) : 0;

		if (growth > most && is_known_place(groups->snap, site)) {
			most = growth;
			suspect = site;
		}
	}
	return suspect;
}

static const struct statistic *find_biggest(const struct statistics *groups)
{
	for (size_t i = 0; i < groups->count; i++) {
		if (is_known_place(groups->snap, &groups->items[i]))
			return &groups->items[i];
	}
	return NULL;
}

/* " cache.py:88 put (86%)" */
static void put_site_name(struct report *r, const struct statistics *in,
			  const struct statistic *site)
{
	const struct snapshot *s = in->snap;
	str_id_t function = statistic_function(in, site);
	struct buf *b = &r->text;

	if (in->split_domains && site->domain == SNAP_NATIVE)
		(void)buf_append_str(b, " <native>");
	(void)buf_append_str(b, " ");
	put_place(r, b, s, site_place(site));
	if (function.v) {
		(void)buf_append_str(b, " ");
		text_append_clean(b, intern_get(s->strings, function));
	}
	(void)buf_printf(b, " (%.0f%%)", 100.0 * (double)site->size / (double)s->live_bytes);
}

/*
 * It grew and stayed, without a claim that it is a leak. With one report everything has
 * grown, from zero: then only the biggest is named.
 */
static void write_suspect(struct report *r, const struct statistics *groups)
{
	const struct statistic *site =
		r->history.intervals < 2 ? find_biggest(groups) : find_suspect(r, groups);
	const struct lost_lines lost = completeness_without_line(groups->snap);
	struct buf *b = &r->text;

	/* Blocks without a line may be of any line: name none that holds less. */
	if (lost.bytes && (!site || site->size <= lost.bytes)) {
		(void)buf_printf(b, " No suspect: %.0f%% is of no known line, because %s.",
				 100.0 * (double)lost.bytes / (double)groups->snap->live_bytes,
				 completeness_lost_reason(groups->snap));
		return;
	}
	if (!site) {
		if (r->history.intervals >= 2 && groups->count)
			(void)buf_append_str(
				b, groups->snap->gap.from_ns
					   ? " No suspect: nothing has been followed to the end."
					   : " No suspect: nothing keeps growing.");
		return;
	}
	if (r->history.intervals < 2) {
		(void)buf_append_str(b, " Biggest:");
		put_site_name(r, groups, site);
		(void)buf_append_str(b, "; a suspect takes two reports or more.");
		return;
	}
	(void)buf_append_str(b, " Suspect:");
	put_site_name(r, groups, site);
	(void)buf_printf(b, ", grew in %u of %u intervals.",
			 history_get(&r->history, groups, site)->grew, r->history.intervals);
}

static void write_summary(struct report *r, const struct snapshot *last,
			  const struct statistics *groups)
{
	bool complete = completeness_is_full(last);
	struct buf *b = &r->text;
	char size[UNITS_LEN];

	(void)buf_printf(b, "%d: %s still alive from %.1f s of tracing; %s.", r->pid,
			 units_format_size(size, (int64_t)last->live_bytes, false), last->elapsed_s,
			 !complete ? "not everything was recorded, see below"
			 : completeness_leaves_out(last)
				 ? "nothing lost, small blocks of malloc left out"
				 : "nothing lost");
	if (!r->opts.verbose)
		learn_paths(r, groups);
	write_suspect(r, groups);
	(void)buf_append_str(b, "\n");
	if (!complete)
		completeness_write(b, last, r->frames);
}

/* Only commands that exist, and not the one that is ending. */
static void write_next_step(struct report *r, bool gone)
{
	bool has_tracebacks = r->opts.by == STAT_TRACEBACK && r->opts.verbose;
	struct buf *b = &r->text;
	char pid[16];
	const struct command_edit tracebacks[] = {{"-p", pid}, {"--by", "traceback"}, {"-v", NULL}};
	const struct command_edit json[] = {{"-p", pid}, {"-j", NULL}};

	snprintf(pid, sizeof(pid), gone ? "PID" : "%d", r->pid);
	(void)buf_append_str(b, gone ? "Next: start it again, then " : "Next: ");
	if (!has_tracebacks)
		(void)buf_printf(b,
				 "%s      or: ", command_edited(tracebacks, ARRAY_LEN(tracebacks)));
	(void)buf_printf(b, "%s\n", command_edited(json, ARRAY_LEN(json)));
}

/* How it ended, and of when the numbers are. */
static void write_how(struct report *r, const struct trace_end *end, const struct snapshot *last)
{
	bool gone = trace_end_target_gone(end->reason);
	char text[96], clock[16];
	struct buf *b = &r->text;

	if (!gone && !(end->interrupted && last))
		return;
	(void)buf_printf(b, "%d %s", r->pid,
			 gone ? trace_end_text(end, text, sizeof(text))
			      : "was released during a report");
	if (last)
		(void)buf_printf(b, "; the numbers are those of %s",
				 clock_text(clock, last->time_ns));
	if (last && gone && end->age_s >= 0.05)
		(void)buf_printf(b, ", %.1f s before the end", end->age_s);
	(void)buf_append_str(b, ".\n");
}

static void write_end(struct report *r, const struct report_end *end, const struct snapshot *last,
		      const struct statistics *groups)
{
	enum trace_end_reason reason = end->end.reason;
	struct buf *b = &r->text;

	write_how(r, &end->end, last);
	if (reason == TRACE_END_ERROR)
		(void)buf_printf(b, "%d: stopped by an error (exit %d).\n", r->pid,
				 end->exit_status);
	if (!last) {
		(void)buf_printf(b, "%d: nothing was measured.\n", r->pid);
		return;
	}
	write_summary(r, last, groups);
	write_next_step(r, trace_end_target_gone(reason) && reason != TRACE_END_TARGET_EXEC);
}

static const struct report_ops text_ops = {
	.hello = write_hello,
	.interval = write_interval,
	.warning = write_warning,
	.end = write_end,
};

int report_text_new(FILE *out, const struct report_opts *opts, struct report **r)
{
	return report_new(out, opts, &text_ops, r);
}
