// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf diff OLD NEW`: what grew between two snapshots, as tracemalloc's
 * compare_to(). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/source.h"
#include "cli/stats_options.h"
#include "cli/stats_output.h"

enum { OPT_FAIL_OVER = 2100 };
enum { OLD, NEW, SIDES };

struct diff_options {
	struct stats_options common;
	enum diff_sort sort;
	const char *files[SIDES];
	bool has_threshold;
	uint64_t threshold; /* bytes */
};

struct diff_side {
	char *name; /* FILE@TIME, also where only @TIME was given */
	struct source *src;
	struct selection sel;
	struct statistics stats;
	struct stats_side view;
};

static const struct argp_option table[] = {
	{"fail-over", OPT_FAIL_OVER, "SIZE", 0,
	 "exit 1 when what passes the filters grew by more than this in all, like "
	 "10MiB",
	 3},
	{0},
};

static int parse_sort(struct argp_state *state, struct diff_options *o)
{
	static const char *const names[] = {
		[DIFF_BY_GROWTH] = "growth", [DIFF_BY_SIZE] = "size", [DIFF_BY_COUNT] = "count"};
	const char *sort = o->common.sort;

	if (!sort)
		o->common.sort = sort = names[DIFF_BY_GROWTH];
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (!strcmp(sort, names[i])) {
			o->sort = (enum diff_sort)i;
			return 0;
		}
	}
	argp_error(state, "--sort %s: expected growth, size or count", sort);
	return EINVAL;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct diff_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case OPT_FAIL_OVER:
		o->has_threshold = true;
		if (units_parse_size(arg, &o->threshold) || o->threshold > INT64_MAX)
			argp_error(state, "--fail-over %s: expected a size like 10MiB", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num >= SIDES)
			argp_error(state, "too many files: %s", arg);
		o->files[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->files[NEW])
			argp_error(state, "give two files, or FILE@TIME @TIME of one series");
		return parse_sort(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* "@TIME" alone stands for another time of the old side's file. */
static int open_side(struct diff_side *side, const char *spec, const struct source *old,
		     struct intern *strings)
{
	_cleanup_(buf_release) struct buf name = {0};

	if (*spec == '@' && old)
		(void)buf_append_str(&name, old->path);
	(void)buf_append_str(&name, spec);
	if (name.oom)
		return log_err(-ENOMEM, "cannot open %s", spec);
	side->name = take_ptr(name.data);
	return source_open_in(side->name, strings, &side->src);
}

static void close_side(struct diff_side *side)
{
	statistics_release(&side->stats);
	selection_release(&side->sel);
	source_close(side->src);
	free(side->name);
}

static int group_side(struct diff_side *side, const struct stat_opts *grouping,
		      const struct filter_set *filters, const struct suppressions *known)
{
	struct stat_opts opts = *grouping;
	int err = selection_make(side->src->snapshot, filters, known, &side->sel);

	opts.skip = side->sel.skip;
	opts.sort = STAT_UNSORTED;
	if (!err)
		err = statistics_make(side->src->snapshot, &opts, &side->stats);
	if (err)
		return log_err(err, "cannot group %s", side->name);
	side->view = (struct stats_side){
		.name = side->name,
		.snap = side->src->snapshot,
		.meta = side->src->meta,
		.sel = &side->sel,
		.stats = &side->stats,
	};
	return 0;
}

static void warn_doubts(const struct diff_options *o, const struct diff_side sides[SIDES])
{
	_cleanup_(buf_release) struct buf doubts = {0};

	report_diff_doubts(&doubts, &sides[OLD].view, &sides[NEW].view,
			   o->common.by == STAT_TRACEBACK);
	if (doubts.len)
		log_coded_warn("W204", NULL, "%s", doubts.data);
}

static int write_diff(const struct diff_options *o, const struct diff_side sides[SIDES],
		      const struct statistic_diffs *diffs)
{
	_cleanup_(source_lines_freep) struct source_lines *source =
		o->common.source ? source_lines_new() : NULL;
	struct stats_view v = stats_options_view(&o->common, o->common.sort, source);

	v.repeat_warnings = !isatty(STDOUT_FILENO);
	return o->common.json
		       ? report_diff_ndjson(stdout, &v, &sides[OLD].view, &sides[NEW].view, diffs)
		       : report_diff_text(stdout, &v, &sides[OLD].view, &sides[NEW].view, diffs);
}

/* Returns the exit status. */
static int check_threshold(const struct diff_options *o, const struct diff_side sides[SIDES])
{
	int64_t growth =
		(int64_t)sides[NEW].stats.total_size - (int64_t)sides[OLD].stats.total_size;
	char grew[UNITS_LEN], limit[UNITS_LEN];

	if (!o->has_threshold || growth <= (int64_t)o->threshold)
		return 0;
	log_warn("it grew by %s, more than --fail-over %s", units_format_size(grew, growth, true),
		 units_format_size(limit, (int64_t)o->threshold, false));
	return 1;
}

static int diff_sides(const struct diff_options *o, struct diff_side sides[SIDES], int *status)
{
	_cleanup_(suppressions_freep) struct suppressions *known = NULL;
	_cleanup_(filter_set_freep) struct filter_set *filters = NULL;
	_cleanup_(statistic_diffs_release) struct statistic_diffs diffs = {0};
	struct stat_opts grouping = stats_options_grouping(&o->common);
	int err = stats_options_filters(&o->common, &filters);

	if (!err)
		err = stats_options_suppressions(&o->common, &known);
	for (int i = 0; !err && i < SIDES; i++)
		err = group_side(&sides[i], &grouping, filters, known);
	if (err)
		return err;
	err = statistics_compare(&sides[NEW].stats, &sides[OLD].stats, o->sort, o->common.top,
				 &diffs);
	if (err)
		return log_err(err, "cannot compare them");
	err = stats_output_check(write_diff(o, sides, &diffs));
	if (!err)
		warn_doubts(o, sides);
	for (int i = 0; !err && i < SIDES; i++)
		err = stats_options_check_lost(&o->common, sides[i].src->snapshot, sides[i].name);
	*status = err ? 0 : check_threshold(o, sides);
	/* hits point into the suppressions, which end here */
	return err;
}

static int run_diff(const struct diff_options *o)
{
	struct intern *strings = intern_new();
	struct diff_side sides[SIDES] = {0};
	int status = 0, err = stats_output_begin(o->common.json);

	if (!err && !strings)
		err = log_err(-ENOMEM, "cannot open %s", o->files[OLD]);
	if (!err)
		err = open_side(&sides[OLD], o->files[OLD], NULL, strings);
	if (!err)
		err = open_side(&sides[NEW], o->files[NEW], sides[OLD].src, strings);
	if (!err)
		err = diff_sides(o, sides, &status);
	status = stats_output_end(err, status);
	for (int i = 0; i < SIDES; i++)
		close_side(&sides[i]);
	intern_free(strings);
	return status;
}

int cmd_diff(int argc, char **argv)
{
	static const struct argp_child children[] = {{&stats_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.args_doc = "OLD NEW",
		.doc = "What grew between two snapshots: compare_to() of tracemalloc.\v"
		       "OLD and NEW are FILE or FILE@TIME, as for report (14:02 is local "
		       "time, 14:02Z is UTC); @TIME alone as NEW is another "
		       "time of OLD's file. Either may be a pickle of tracemalloc.\n"
		       "Exit status: 1 when --fail-over is crossed, 6 when --max-lost is.",
		.children = children,
	};
	struct diff_options o = {0};
	char name[] = "tmbpf diff";
	int status;

	argp_err_exit_status = 2;
	argv[0] = name;
	stats_options_init(&o.common);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	status = run_diff(&o);
	stats_options_release(&o.common);
	return status;
}
