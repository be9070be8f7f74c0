// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf report FILE[@TIME]`: the statistics of one snapshot, as tracemalloc's
 * statistics(). */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "cli/source.h"
#include "cli/stats_options.h"
#include "cli/stats_output.h"

struct report_options {
	struct stats_options common;
	enum stat_sort sort;
	const char *file;
};

static int parse_sort(struct argp_state *state, struct report_options *o)
{
	const char *sort = o->common.sort;

	if (!sort || !strcmp(sort, "size"))
		return 0;
	if (strcmp(sort, "count") != 0)
		argp_error(state, "--sort %s: expected size or count", sort);
	o->sort = STAT_BY_COUNT;
	return 0;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct report_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		if (o->file)
			argp_error(state, "one file at a time: %s; for two of them see tmbpf diff",
				   arg);
		o->file = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->file)
			argp_error(state, "which file? record one with tmbpf snap -p PID -o FILE");
		return parse_sort(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int write_report(const struct report_options *o, const struct stats_side *side)
{
	_cleanup_(source_lines_freep) struct source_lines *source =
		o->common.source ? source_lines_new() : NULL;
	struct stats_view v =
		stats_options_view(&o->common, o->sort == STAT_BY_COUNT ? "count" : "size", source);

	return o->common.json ? report_stats_ndjson(stdout, &v, side)
			      : report_stats_text(stdout, &v, side);
}

static int report_source(const struct report_options *o, const struct source *src)
{
	_cleanup_(suppressions_freep) struct suppressions *known = NULL;
	_cleanup_(filter_set_freep) struct filter_set *filters = NULL;
	_cleanup_(selection_release) struct selection sel = {0};
	_cleanup_(statistics_release) struct statistics stats = {0};
	struct stat_opts grouping = stats_options_grouping(&o->common);
	const struct stats_side side = {
		.name = o->file,
		.snap = src->snapshot,
		.meta = src->meta,
		.sel = &sel,
		.stats = &stats,
	};
	int err = stats_options_filters(&o->common, &filters);

	if (!err)
		err = stats_options_suppressions(&o->common, &known);
	if (err)
		return err;
	err = selection_make(src->snapshot, filters, known, &sel);
	grouping.sort = o->sort;
	grouping.top = o->common.top;
	grouping.skip = sel.skip;
	if (!err)
		err = statistics_make(src->snapshot, &grouping, &stats);
	if (err)
		return log_err(err, "cannot group the snapshot");
	err = stats_output_check(write_report(o, &side));
	return err ? err : stats_options_check_lost(&o->common, src->snapshot, o->file);
}

int cmd_report(int argc, char **argv)
{
	static const struct argp_child children[] = {{&stats_options_argp, 0, NULL, 0}, {0}};
	static const struct argp argp = {
		.parser = parse_one,
		.args_doc = "FILE[@TIME]",
		.doc = "Which lines held the memory of a snapshot: the statistics of "
		       "tracemalloc.\v"
		       "FILE is one that tmbpf has recorded, or a pickle of tracemalloc. "
		       "TIME picks one of a "
		       "series: last (the default), first, -2, 14:02 (local time), "
		       "2026-11-22T14:02:20Z (UTC, which is what is printed).\n"
		       "Filters are tracemalloc's: any --include or --domain takes a "
		       "stack, and no "
		       "--exclude may.",
		.children = children,
	};
	struct report_options o = {0};
	struct source *src = NULL;
	char name[] = "tmbpf report";
	int err;

	argp_err_exit_status = 2;
	argv[0] = name;
	stats_options_init(&o.common);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = stats_output_begin(o.common.json);
	if (!err)
		err = source_open(o.file, &src);
	if (!err)
		err = report_source(&o, src);
	err = stats_output_end(err, 0);
	source_close(src);
	stats_options_release(&o.common);
	return err;
}
