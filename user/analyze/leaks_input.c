/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From files to series. Touches only what changes from snapshot to snapshot, to avoid work for
 * every stack.
 */
#include "analyze/leaks_input.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/completeness.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "snapshot/trace_end.h"

/* Both were taken from a clock that may have been set a little meanwhile. */
#define SAME_ATTACH_NS 1000000000LL
#define SAME_START_NS  2000000000LL

/* ---- opening ---- */

static int open_file(struct leak_input *in, const char *path, struct leak_file *f)
{
	const struct store_entry *entries;
	size_t count;
	int err = store_open(path, in->strings, &f->store);

	if (err)
		return err;
	f->path = path;
	entries = store_entries(f->store, &count);
	f->first_ns = count ? entries[0].time_ns : INT64_MAX;
	/* Where the file does not know, the first snapshot does. */
	f->attach_ns = store_meta(f->store)->attach_ns;
	if (!f->attach_ns && count)
		f->attach_ns = entries[0].time_ns - (int64_t)(entries[0].elapsed_s * 1e9);
	return 0;
}

/* A number that one of them does not know is no difference. */
static bool times_differ(int64_t a, int64_t b, int64_t tolerance)
{
	return a && b && llabs(a - b) > tolerance;
}

static int check_same_process(const struct leak_input *in)
{
	const struct store_meta *a = store_meta(in->files[0].store);

	for (size_t i = 1; i < in->file_count; i++) {
		const struct store_meta *b = store_meta(in->files[i].store);
		bool other_host = a->host && b->host && strcmp(a->host, b->host) != 0;

		if (!times_differ(a->pid, b->pid, 0) &&
		    !times_differ(a->start_ns, b->start_ns, SAME_START_NS) && !other_host)
			continue;
		return log_coded_err(-EINVAL, "E332", "give the files of one process",
				     "%s is of process %d (%s), %s of process %d (%s)",
				     in->files[0].path, a->pid, a->comm ? a->comm : "?",
				     in->files[i].path, b->pid, b->comm ? b->comm : "?");
	}
	return 0;
}

static int cmp_file(const void *pa, const void *pb)
{
	const struct leak_file *a = pa, *b = pb;

	return (a->first_ns > b->first_ns) - (a->first_ns < b->first_ns);
}

/* ---- the session ---- */

/* The files from `first` on that belong to one attach. */
static size_t end_of_session(const struct leak_input *in, size_t first)
{
	size_t end = first + 1;

	while (end < in->file_count &&
	       llabs(in->files[end].attach_ns - in->files[first].attach_ns) < SAME_ATTACH_NS)
		end++;
	return end;
}

/*
 * When a snapshot was taken, by a clock that cannot be set: since attach, which is one moment for all
 * files of a session.
 */
static int64_t session_time(const struct leak_input *in, size_t first, double elapsed_s)
{
	/* Check the range, because the file is untrusted. */
	return elapsed_s >= 0 ? clock_after(in->files[first].attach_ns, elapsed_s) : INT64_MAX;
}

/*
 * Snapshots of files [first, end) in order of time; those that were taken at the same time as another
 * are passed over. allocs: blocks allocated until then. Both may be NULL: only counted.
 */
static size_t list_times(const struct leak_input *in, size_t first, size_t end, int64_t *times,
			 uint64_t *allocs)
{
	size_t total = 0;
	int64_t last = INT64_MIN;

	for (size_t i = first; i < end; i++) {
		size_t count;
		const struct store_entry *entries = store_entries(in->files[i].store, &count);

		for (size_t k = 0; k < count; k++) {
			int64_t at = session_time(in, first, entries[k].elapsed_s);

			if (at <= last)
				continue;
			last = at;
			if (times && allocs) {
				times[total] = last;
				allocs[total] = entries[k].alloc_blocks;
			}
			total++;
		}
	}
	return total;
}

static int64_t span_ns(const struct leak_input *in, size_t first, size_t end)
{
	double from = HUGE_VAL, to = 0;

	for (size_t i = first; i < end; i++) {
		size_t count;
		const struct store_entry *entries = store_entries(in->files[i].store, &count);

		if (!count)
			continue;
		from = entries[0].elapsed_s < from ? entries[0].elapsed_s : from;
		to = entries[count - 1].elapsed_s > to ? entries[count - 1].elapsed_s : to;
	}
	return to > from && to - from < 9e9 ? (int64_t)((to - from) * 1e9) : 0;
}

static int too_few(const struct leak_input *in, size_t most)
{
	char fix[256];

	snprintf(fix, sizeof(fix), "record for longer: %s",
		 command_other("record -p PID -o FILE --every 60s -d 30m"));
	if (in->sessions > 1)
		return log_coded_err(
			-ENODATA, "E331", fix,
			"a verdict needs three snapshots of one tracing, and tracing was "
			"started %zu times here: the most of one are %zu",
			in->sessions, most);
	return log_coded_err(-ENODATA, "E331", fix,
			     "a verdict needs at least three snapshots, %s has %zu",
			     in->files[0].path, most);
}

static int read_clock(struct leak_input *in)
{
	_cleanup_free_ uint64_t *allocs = calloc(in->snapshots, sizeof(*allocs));

	in->time_ns = calloc(in->snapshots, sizeof(*in->time_ns));
	in->clock_ns = calloc(in->snapshots, sizeof(*in->clock_ns));
	if (!allocs || !in->time_ns || !in->clock_ns)
		return -ENOMEM;
	list_times(in, in->first, in->end, in->time_ns, allocs);
	leak_clock(in->time_ns, allocs, in->snapshots, in->clock_ns, &in->pauses);
	return 0;
}

static int choose_session(struct leak_input *in)
{
	size_t all = 0, most = 0, end;
	int64_t longest = -1;

	for (size_t i = 0; i < in->file_count; i = end) {
		size_t count;

		end = end_of_session(in, i);
		count = list_times(in, i, end, NULL, NULL);
		if (!count)
			continue;
		in->sessions++;
		all += count;
		most = count > most ? count : most;
		if (count < LEAKS_SNAPSHOTS_MIN || span_ns(in, i, end) < longest)
			continue;
		longest = span_ns(in, i, end);
		in->first = i;
		in->end = end;
		in->snapshots = count;
	}
	if (!in->snapshots)
		return too_few(in, most);
	in->left_out = all - in->snapshots;
	return read_clock(in);
}

int leak_input_open(const char *const *paths, size_t count, struct leak_input **out)
{
	_cleanup_(leak_input_closep) struct leak_input *in = calloc(1, sizeof(*in));
	int err = 0;

	if (!in)
		return -ENOMEM;
	in->strings = intern_new();
	in->files = calloc(count + 1, sizeof(*in->files));
	if (!in->strings || !in->files)
		return -ENOMEM;
	for (; !err && in->file_count < count; in->file_count++)
		err = open_file(in, paths[in->file_count], &in->files[in->file_count]);
	if (!err)
		err = check_same_process(in);
	if (err)
		return err;
	qsort(in->files, in->file_count, sizeof(*in->files), cmp_file);
	err = choose_session(in);
	if (err)
		return err;
	*out = take_ptr(in);
	return 0;
}

static void close_file(struct leak_file *f)
{
	store_walk_free(f->walk);
	store_close(f->store);
	free(f->map);
	free(f->values);
}

void leak_input_close(struct leak_input *in)
{
	if (!in)
		return;
	selection_release(&in->selection);
	leak_series_free(in->process);
	leak_series_free(in->series);
	leak_lines_free(in->lines);
	for (size_t i = 0; i < in->file_count; i++)
		close_file(&in->files[i]);
	free(in->files);
	free(in->time_ns);
	free(in->clock_ns);
	intern_free(in->strings);
	free(in);
}

const struct leak_file *leak_input_last(const struct leak_input *in)
{
	return &in->files[in->end - 1];
}

/* ---- reading ---- */

struct reading {
	struct leak_input *in;
	const struct filter_set *filters;
	const struct suppressions *suppressions;
	struct leak_value *totals; /* by line, of the file being read */
	uint32_t *touched;	   /* lines that change in this step */
	uint8_t *is_touched;	   /* by line */
	size_t line_cap, touched_count;
	size_t snapshot; /* number of the next one in the series */
	uint64_t drops;	 /* at the last look */
};

/* Room for lines that a file brings. */
static int make_room(struct reading *r)
{
	size_t lines = leak_lines_count(r->in->lines), had = r->line_cap;
	size_t totals_cap = had, touched_cap = had, flag_cap = had;
	struct leak_value *totals;
	uint32_t *touched;
	uint8_t *flags;

	totals = array_grow(r->totals, &totals_cap, lines + 1, sizeof(*totals));
	if (totals)
		r->totals = totals;
	touched = array_grow(r->touched, &touched_cap, lines + 1, sizeof(*touched));
	if (touched)
		r->touched = touched;
	flags = array_grow(r->is_touched, &flag_cap, lines + 1, sizeof(*flags));
	if (flags)
		r->is_touched = flags;
	if (!totals || !touched || !flags)
		return -ENOMEM;
	r->line_cap = lines + 1;
	memset(totals, 0, r->line_cap * sizeof(*totals));
	memset(flags, 0, r->line_cap);
	return 0;
}

static void touch_line(struct reading *r, uint32_t line)
{
	if (r->is_touched[line])
		return;
	r->is_touched[line] = 1;
	r->touched[r->touched_count++] = line;
}

/*
 * Number the lines of all stacks, also of those without live bytes yet, which other readers skip.
 */
static int map_stacks(struct reading *r, struct leak_file *f)
{
	struct snapshot all = *f->snapshot;
	struct selection selection;
	int err;

	all.stacks = calloc(all.stack_count + 1, sizeof(*all.stacks));
	if (!all.stacks)
		return -ENOMEM;
	for (size_t i = 0; i < all.stack_count; i++) {
		all.stacks[i] = f->snapshot->stacks[i];
		all.stacks[i].blocks = 1;
	}
	err = selection_make(&all, r->filters, r->suppressions, &selection);
	free(all.stacks);
	if (err)
		return err;
	err = leak_lines_add(r->in->lines, f->snapshot, selection.skip, f->map);
	selection_release(&selection);
	return err;
}

/* The first step shows every stack of the file. */
static int start_file(struct reading *r, struct leak_file *f)
{
	size_t count = f->snapshot->stack_count;
	int err;

	f->map = calloc(count + 1, sizeof(*f->map));
	f->values = calloc(count + 1, sizeof(*f->values));
	if (!f->map || !f->values)
		return -ENOMEM;
	err = map_stacks(r, f);
	if (!err)
		err = make_room(r);
	/* Remove lines that the file held before and does not hold any more. */
	for (uint32_t i = 0; !err && i < leak_lines_count(r->in->lines); i++)
		touch_line(r, i);
	return err;
}

static struct leak_value value_of(const struct snap_stack *st)
{
	return (struct leak_value){st->bytes, st->blocks, st->alloc_bytes, st->alloc_blocks};
}

/* Unsigned differences wrap around and back. */
static void move_total(struct leak_value *total, const struct leak_value *from,
		       const struct leak_value *to)
{
	total->bytes += to->bytes - from->bytes;
	total->blocks += to->blocks - from->blocks;
	total->alloc_bytes += to->alloc_bytes - from->alloc_bytes;
	total->alloc_blocks += to->alloc_blocks - from->alloc_blocks;
}

static void apply_changes(struct reading *r, struct leak_file *f, const struct store_step *step)
{
	for (size_t i = 0; i < step->changed_count; i++) {
		uint32_t at = step->changed[i], line = f->map[at];
		struct leak_value now = value_of(&step->snapshot->stacks[at]);

		if (line == LEAK_LINE_NONE)
			continue;
		move_total(&r->totals[line], &f->values[at], &now);
		f->values[at] = now;
		touch_line(r, line);
	}
}

static int book_process(struct reading *r, const struct snapshot *s)
{
	const struct leak_value rss = {.bytes = s->rss_bytes},
				live = {.bytes = s->live_bytes, .blocks = s->live_blocks};
	int err = 0;

	if (s->rss_bytes) {
		err = leak_series_set(r->in->process, r->snapshot, LEAK_PROCESS_RSS, &rss);
		r->in->rss_known = true;
	}
	return err ? err : leak_series_set(r->in->process, r->snapshot, LEAK_PROCESS_LIVE, &live);
}

/* Look through all stacks only when something new is missing, because it is slow. */
static void look_for_losses(struct reading *r, const struct snapshot *s)
{
	uint64_t drops = 0, missed = 0;
	double lost;

	for (int i = 0; i < TM_DROP_COUNT; i++)
		drops += s->drops[i];
	for (int d = 0; d < SNAP_DOMAINS; d++)
		missed += s->coverage[d].known ? s->coverage[d].missed : 0;
	if (!missed && drops == r->drops)
		return;
	r->drops = drops;
	lost = completeness_lost_ratio(s);
	if (lost > r->in->missing_ratio)
		r->in->missing_ratio = lost;
}

static int book_step(struct reading *r, struct leak_file *f, const struct store_step *step)
{
	int err = book_process(r, step->snapshot);

	if (trace_mode_of(step->snapshot->mode) == TRACE_MODE_POOLS)
		r->in->pools = true;
	look_for_losses(r, step->snapshot);
	for (size_t i = 0; !err && i < r->touched_count; i++) {
		uint32_t line = r->touched[i];

		err = leak_series_set(r->in->series, r->snapshot, line, &r->totals[line]);
		r->is_touched[line] = 0;
	}
	r->touched_count = 0;
	r->snapshot++;
	return err;
}

/* The walk may give fewer snapshots than the list has, while a recorder thins them out. */
static int read_file(struct reading *r, struct leak_file *f)
{
	struct store_step step;
	int more, err = store_walk_new(f->store, &f->walk);

	if (err)
		return err;
	while ((more = store_walk_next(f->walk, &step)) == 1) {
		bool is_first = !f->snapshot;
		int64_t time_ns = session_time(r->in, r->in->first, step.snapshot->elapsed_s);

		f->snapshot = step.snapshot;
		err = is_first ? start_file(r, f) : 0;
		if (err)
			return err;
		apply_changes(r, f, &step);
		while (r->snapshot < r->in->snapshots && r->in->time_ns[r->snapshot] < time_ns)
			r->snapshot++;
		if (r->snapshot == r->in->snapshots || r->in->time_ns[r->snapshot] != time_ns)
			continue;
		err = book_step(r, f, &step);
		if (err)
			return err;
	}
	return more;
}

static int read_all(struct reading *r)
{
	struct leak_input *in = r->in;
	const struct leak_file *last;
	int err = 0;

	for (size_t i = in->first; !err && i < in->end; i++) {
		err = read_file(r, &in->files[i]);
		if (!err && in->files[i].snapshot)
			leak_lines_pick_biggest(in->lines, in->files[i].snapshot, in->files[i].map);
	}
	if (err)
		return err;
	last = leak_input_last(in);
	if (!last->snapshot)
		return log_coded_err(-ENODATA, "E331", "try again", "%s: its snapshots are gone",
				     last->path);
	leak_series_finish(in->series);
	leak_series_finish(in->process);
	return selection_make(last->snapshot, r->filters, r->suppressions, &in->selection);
}

int leak_input_read(struct leak_input *in, enum stat_key key, const struct filter_set *filters,
		    const struct suppressions *suppressions)
{
	struct reading r = {.in = in, .filters = filters, .suppressions = suppressions};
	int err = leak_lines_new(key, &in->lines);

	if (!err)
		err = leak_series_new(in->clock_ns, in->snapshots, &in->series);
	if (!err)
		err = leak_series_new(in->clock_ns, in->snapshots, &in->process);
	if (!err)
		err = read_all(&r);
	free(r.totals);
	free(r.touched);
	free(r.is_touched);
	return err == -ENOMEM ? log_err(err, "cannot read the series") : err;
}
