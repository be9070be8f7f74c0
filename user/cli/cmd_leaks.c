/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tmbpf leaks FILE...`: which lines leak, which only fill up, churn or warm up. Needs no privileges. */
#include <errno.h>
#include <string.h>

#include "analyze/leaks_input.h"
#include "base/buf.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/stats_options.h"
#include "cli/stats_output.h"
#include "report/report_leaks.h"

#define GRAIN_BYTES	  4096	      /* a page: less than that is no growth */
#define GRAIN_POOLS_BYTES (4 * 16384) /* in pools mode a line grows by whole pools */

enum { OPT_FAIL_ON = 3000 };

struct leaks_options {
	struct stats_options stats;
	const char **files; /* borrowed from argv */
	size_t file_count, file_cap;
	bool fail_on[LEAK_VERDICTS];
};

static const struct argp_option own_table[] = {
	{"fail-on", OPT_FAIL_ON, "VERDICT", 0,
	 "exit 1 when a line has it: leak, or leak,unknown; unknown is also RSS that grows by more than "
	 "what is traced",
	 0},
	{0},
};

/* The options of `report` that apply here. */
static const char *const shared_names[] = {"by",
					   "top",
					   "json",
					   "include",
					   "exclude",
					   "all-frames",
					   "domain",
					   "exclude-domain",
					   "no-default-filters",
					   "suppressions",
					   "max-lost"};
static struct argp_option shared_table[ARRAY_LEN(shared_names) + 1];

static void take_shared_options(void)
{
	stats_options_take(shared_names, ARRAY_LEN(shared_names), shared_table);
	for (struct argp_option *opt = shared_table; opt->name; opt++) {
		if (!strcmp(opt->name, "top"))
			opt->doc =
				"up to N leaks, a third of N of UNKNOWN, PLATEAU and CHURN each, no "
				"WARM-UP; the others are summed up (10); 0 = all lines";
		else if (!strcmp(opt->name, "no-default-filters"))
			opt->flags |= OPTION_HIDDEN; /* taken, but here there are none */
	}
}

static error_t parse_fail_on(struct argp_state *state, const char *arg, struct leaks_options *o)
{
	char copy[64], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", arg);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (!strcmp(w, "leak"))
			o->fail_on[LEAK_YES] = true;
		else if (!strcmp(w, "unknown"))
			o->fail_on[LEAK_UNKNOWN] = true;
		else
			argp_error(state, "--fail-on %s: expected leak, unknown or both", arg);
	}
	if (!o->fail_on[LEAK_YES] && !o->fail_on[LEAK_UNKNOWN])
		argp_error(state, "--fail-on %s: expected leak, unknown or both", arg);
	return 0;
}

static error_t add_file(struct argp_state *state, const char *path, struct leaks_options *o)
{
	const char **files =
		array_grow((void *)o->files, &o->file_cap, o->file_count + 1, sizeof(*files));

	if (!files) {
		argp_failure(state, 1, ENOMEM, "files");
		return ENOMEM;
	}
	o->files = files;
	files[o->file_count++] = path;
	return 0;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct leaks_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->stats;
		return 0;
	case OPT_FAIL_ON:
		return parse_fail_on(state, arg, o);
	case ARGP_KEY_ARG:
		return add_file(state, arg, o);
	case ARGP_KEY_END:
		if (!o->file_count)
			argp_error(state, "which series? give the FILE that tmbpf record wrote");
		o->stats.no_default_filters = true; /* what is hidden would get no verdict */
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int check_lost(const struct leaks_options *o, const struct leak_input *in)
{
	if (o->stats.max_lost < 0 || in->missing_ratio <= o->stats.max_lost)
		return 0;
	return log_coded_err(
		-ENODATA, "E610", NULL, "%s: %.3g%% of it is missing, more than --max-lost %.3g%%",
		leak_input_last(in)->path, in->missing_ratio * 100, o->stats.max_lost * 100);
}

static void judge_process(struct leak_input *in, const struct leak_table *table,
			  struct leak_process *out)
{
	const struct store_meta *meta = store_meta(leak_input_last(in)->store);
	struct leak_line rss = {0}, live = {0};

	leak_series_line(in->process, LEAK_PROCESS_RSS, &rss);
	rss.grain_bytes = GRAIN_BYTES;
	leak_series_line(in->process, LEAK_PROCESS_LIVE, &live);
	live.grain_bytes = GRAIN_BYTES;
	live.missing_ratio = in->missing_ratio;
	leak_process_judge(in->rss_known ? &rss : NULL, &live, &table->leaks,
			   meta->cgroup_limit_bytes, out);
}

static int write_report(const struct leaks_options *o, struct leak_input *in,
			const struct leak_table *table, const struct leak_process *process)
{
	const struct leak_file *last = leak_input_last(in);
	struct leaks_report r = {
		.files = o->files,
		.file_count = o->file_count,
		.meta = store_meta(last->store),
		.last = last->snapshot,
		.key = o->stats.by,
		.top = o->stats.top,
		.from_ns = in->time_ns[0],
		.to_ns = in->time_ns[in->snapshots - 1],
		.time_ns = in->time_ns,
		.clock_ns = in->clock_ns,
		.pauses = in->pauses,
		.snapshots = in->snapshots,
		.windows = leak_series_windows(in->series),
		.stretches = in->sessions,
		.left_out = in->left_out,
		.missing_ratio = in->missing_ratio,
		.lines = in->lines,
		.table = table,
		.process = process,
		.selection = &in->selection,
	};

	return o->stats.json ? report_leaks_ndjson(stdout, &r) : report_leaks_text(stdout, &r);
}

/* Returns: 0 and *failed, or what went wrong. */
static int judge_all(const struct leaks_options *o, struct leak_input *in, bool *failed)
{
	struct leak_process process;
	struct leak_table table = {0};
	int err = leak_table_make(in->series, in->missing_ratio,
				  in->pools ? GRAIN_POOLS_BYTES : GRAIN_BYTES, &table);

	if (err)
		return log_err(err, "cannot judge the lines");
	judge_process(in, &table, &process);
	err = stats_output_check(write_report(o, in, &table, &process));
	for (int v = 0; v < LEAK_VERDICTS; v++)
		*failed |= o->fail_on[v] && table.counts[v];
	/* RSS has a row of its own */
	*failed |= o->fail_on[LEAK_UNKNOWN] && process.unexplained;
	leak_table_release(&table);
	return err ? err : check_lost(o, in);
}

static int run_leaks(const struct leaks_options *o, bool *failed)
{
	_cleanup_(filter_set_freep) struct filter_set *filters = NULL;
	_cleanup_(suppressions_freep) struct suppressions *suppressions = NULL;
	_cleanup_(leak_input_closep) struct leak_input *in = NULL;
	int err = stats_options_filters(&o->stats, &filters);

	if (err)
		return err;
	err = stats_options_suppressions(&o->stats, &suppressions);
	if (err)
		return err;
	err = leak_input_open(o->files, o->file_count, &in);
	if (err)
		return err;
	err = leak_input_read(in, o->stats.by, filters, suppressions);
	return err ? err : judge_all(o, in, failed);
}

int cmd_leaks(int argc, char **argv)
{
	const struct argp shared = {.options = shared_table, .parser = stats_options_argp.parser};
	const struct argp_child children[] = {{&shared, 0, NULL, 0}, {0}};
	const struct argp argp = {
		.options = own_table,
		.parser = parse_one,
		.children = children,
		.args_doc = "FILE...",
		.doc = "A verdict for every line of a recorded series: LEAK, PLATEAU (filled up), CHURN "
		       "(comes and goes), WARM-UP (stopped early) or UNKNOWN.\v"
		       "Several files of one process are read in order of time.\n"
		       "Exit status: 0 done, 1 --fail-on found one, 2 usage, 3 not such a file or fewer than "
		       "three snapshots, 4 not permitted, 6 more than --max-lost is missing, 7 cannot write "
		       "output.",
	};
	struct leaks_options o = {0};
	char name[] = "tmbpf leaks";
	bool failed = false;
	int err;

	take_shared_options();
	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	stats_options_init(&o.stats);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = stats_output_begin(o.stats.json);
	if (!err)
		err = run_leaks(&o, &failed);
	err = stats_output_end(err, failed ? 1 : 0);
	stats_options_release(&o.stats);
	free((void *)o.files);
	return err;
}
