/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `tmbpf export FILE[@TIME] -f FORMAT -o OUT`: one snapshot for other tools. Needs no privileges. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/out_file.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/source.h"
#include "cli/stats_options.h"
#include "report/export.h"

#define PYTHON_MINOR_MIN 6 /* before, tracemalloc had no domains */
#define PYTHON_MINOR_MAX 99

enum {
	OPT_VALUE = 1000,
	OPT_PYTHON,
	OPT_MAX_BLOCKS,
	OPT_FRAMES_AS,
	OPT_FORCE,
};

struct export_options {
	const char *spec, *out;
	const struct export_format *format; /* NULL: from the name of the output */
	struct export_opts opts;
	bool has_value, has_python, has_max_blocks, has_frames_as;
	bool force;
	struct stats_options stats; /* for its filters */
};

static const struct argp_option table[] = {
	{"format", 'f', "FORMAT", 0,
	 "pprof, tracemalloc, folded, speedscope, ndjson or csv (by the name of the output)", 1},
	{"output", 'o', "FILE", 0, "output file; - is stdout (-)", 1},
	{"force", OPT_FORCE, NULL, 0, "replace an existing file", 1},
	{"value", OPT_VALUE, "WHAT", 0,
	 "folded: inuse_space, inuse_objects, alloc_space or alloc_objects (inuse_space)", 2},
	{"python", OPT_PYTHON, "3.N", 0,
	 "tracemalloc: the Python that will load it (as the target)", 2},
	{"max-blocks", OPT_MAX_BLOCKS, "N", 0,
	 "tracemalloc: scale counts down to about N blocks, e.g. 500K; 0 = never (2000000)", 2},
	{"frames-as", OPT_FRAMES_AS, "HOW", 0,
	 "pprof: function, or file:line for viewers that show no lines (function)", 2},
	{0},
};

/* The options of `report` that choose stacks. */
static const char *const filter_names[] = {"include", "exclude", "all-frames", "domain",
					   "exclude-domain"};
static struct argp_option filter_table[ARRAY_LEN(filter_names) + 1];

static int bad_argument(struct argp_state *state, const char *opt, const char *arg,
			const char *want)
{
	argp_error(state, "%s %s: expected %s", opt, arg, want);
	return EINVAL;
}

static int parse_python(struct argp_state *state, const char *arg, struct export_options *o)
{
	uint64_t minor;

	/* 3.12.4 is as good as 3.12: the form of the file goes by the minor version. */
	char copy[16];
	char *dot;

	snprintf(copy, sizeof(copy), "%s", arg);
	dot = !strncmp(copy, "3.", 2) ? strchr(copy + 2, '.') : NULL;
	if (dot)
		*dot = '\0';
	if (strncmp(copy, "3.", 2) != 0 ||
	    units_parse_count(copy + 2, PYTHON_MINOR_MIN, PYTHON_MINOR_MAX, &minor))
		return bad_argument(state, "--python", arg, "a version from 3.6 on, like 3.12");
	o->opts.python_minor = (unsigned)minor;
	o->has_python = true;
	return 0;
}

static int parse_frames_as(struct argp_state *state, const char *arg, struct export_options *o)
{
	o->opts.line_names = !strcmp(arg, "file:line");
	o->has_frames_as = true;
	if (!o->opts.line_names && strcmp(arg, "function") != 0)
		return bad_argument(state, "--frames-as", arg, "function or file:line");
	return 0;
}

static int parse_format(struct argp_state *state, const char *arg, struct export_options *o)
{
	o->format = export_format_by_name(arg);
	return o->format ? 0
			 : bad_argument(state, "-f", arg,
					"pprof, tracemalloc, folded, speedscope, ndjson or csv");
}

/* Reject an option that the format does not know, because it would silently do nothing. */
static void check_options(struct argp_state *state, const struct export_options *o)
{
	const char *name = o->format->name;

	if (o->has_value && strcmp(name, "folded") != 0)
		argp_error(state, "--value is for -f folded: %s holds all values", name);
	if ((o->has_python || o->has_max_blocks) && strcmp(name, "tracemalloc") != 0)
		argp_error(state, "--python and --max-blocks are for -f tracemalloc, not %s", name);
	if (o->has_frames_as && strcmp(name, "pprof") != 0)
		argp_error(state, "--frames-as is for -f pprof, not %s", name);
}

static int finish_options(struct argp_state *state, struct export_options *o)
{
	if (!o->spec)
		argp_error(state, "which file? give a snapshot file, or FILE@TIME");
	if (!o->format)
		o->format = export_format_by_suffix(o->out);
	if (!o->format)
		argp_error(state, "which format? give it with -f, or by the name of the output");
	else
		check_options(state, o);
	return 0;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct export_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->stats;
		return 0;
	case 'f':
		return parse_format(state, arg, o);
	case 'o':
		o->out = arg;
		return *arg ? 0 : bad_argument(state, "-o", "''", "a file name or -");
	case OPT_FORCE:
		o->force = true;
		return 0;
	case OPT_VALUE:
		o->has_value = true;
		return export_value_parse(arg, &o->opts.value)
			       ? bad_argument(
					 state, "--value", arg,
					 "inuse_space, inuse_objects, alloc_space or alloc_objects")
			       : 0;
	case OPT_PYTHON:
		return parse_python(state, arg, o);
	case OPT_MAX_BLOCKS:
		o->has_max_blocks = true;
		return units_parse_size(arg, &o->opts.max_blocks)
			       ? bad_argument(state, "--max-blocks", arg,
					      "a number like 2000000 or 500K")
			       : 0;
	case OPT_FRAMES_AS:
		return parse_frames_as(state, arg, o);
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one file at a time: %s", arg);
		o->spec = arg;
		return 0;
	case ARGP_KEY_END:
		return finish_options(state, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static bool needs_alloc(const struct export_options *o)
{
	enum export_value v = o->opts.value;

	return o->has_value && (v == EXPORT_ALLOC_SPACE || v == EXPORT_ALLOC_OBJECTS);
}

/* Only the stacks that are not marked stay; what goes is counted. */
static void keep_stacks(struct snapshot *s, const uint8_t *skip, struct export_opts *opts)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		if (!skip[i]) {
			s->stacks[kept++] = *st;
			continue;
		}
		opts->filtered.stacks++;
		opts->filtered.bytes += st->bytes;
		opts->filtered.blocks += st->blocks;
	}
	s->stack_count = kept;
	s->live_bytes -= opts->filtered.bytes;
	s->live_blocks -= opts->filtered.blocks;
}

static int apply_filters(struct snapshot *s, struct export_options *o)
{
	_cleanup_(filter_set_freep) struct filter_set *filters = NULL;
	_cleanup_free_ uint8_t *skip = NULL;
	int err;

	if (!o->stats.filter_count)
		return 0;
	o->stats.no_default_filters = true; /* other tools get everything that was not refused */
	err = stats_options_filters(&o->stats, &filters);
	if (err)
		return err;
	skip = calloc(s->stack_count + 1, 1);
	err = skip ? filter_set_apply(filters, s, skip) : -ENOMEM;
	if (err)
		return log_err(err, "cannot filter the snapshot");
	keep_stacks(s, skip, &o->opts);
	return 0;
}

static int export_source(const struct source *src, const struct export_options *o)
{
	struct out_file *out;
	int err = out_file_open(o->out, o->force, &out);

	if (err)
		return err;
	/* The format has no room for the note that the others carry. */
	if (needs_alloc(o) && !export_alloc_is_complete(src->snapshot))
		log_coded_warn("W712", NULL, "%s: " EXPORT_ALLOC_NOTE, src->path);
	err = o->format->write(out_file_stream(out), src->snapshot, src->meta, &o->opts);
	return err ? out_file_discard(out, err) : out_file_commit(out);
}

static int run_export(struct export_options *o)
{
	_cleanup_(source_closep) struct source *src = NULL;
	int err;

	if (o->format->binary && !strcmp(o->out, "-") && isatty(STDOUT_FILENO))
		return log_coded_err(-EINVAL, "E706", "give a file with -o, or pipe it",
				     "%s is not text: it is not written to a terminal",
				     o->format->name);
	signal(SIGPIPE, SIG_IGN);
	err = source_open(o->spec, &src);
	if (!err)
		err = apply_filters(src->snapshot, o);
	return err ? err : export_source(src, o);
}

int cmd_export(int argc, char **argv)
{
	const struct argp filters = {.options = filter_table, .parser = stats_options_argp.parser};
	const struct argp_child children[] = {{&filters, 0, NULL, 0}, {0}};
	const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.children = children,
		.args_doc = "FILE[@TIME]",
		.doc = "A snapshot in the format of another tool.\v"
		       "Examples:\n"
		       "  tmbpf export a.tmb -o a.pb.gz               then: go tool pprof -http=: a.pb.gz\n"
		       "  tmbpf export a.tmb@14:02 -o a.pickle        then: tracemalloc.Snapshot.load()\n"
		       "  tmbpf export a.tmb -o a.speedscope.json     then: https://www.speedscope.app\n"
		       "  tmbpf export a.tmb -f folded | flamegraph.pl --colors mem --countname bytes\n"
		       "  tmbpf export a.tmb -f ndjson | jq -c 'select(.type == \"site\")'\n\n"
		       "Exit status: 0 done, 2 usage, 3 the file cannot be used, 4 not permitted, "
		       "7 cannot write.",
	};
	struct export_options o = {
		.out = "-",
		.opts = {.value = EXPORT_INUSE_SPACE, .max_blocks = EXPORT_MAX_BLOCKS},
	};
	char name[] = "tmbpf export";
	int err;

	stats_options_take(filter_names, ARRAY_LEN(filter_names), filter_table);
	stats_options_init(&o.stats);
	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = run_export(&o);
	stats_options_release(&o.stats);
	if (!err || err == -EPIPE)
		return 0;
	return log_exit_status(1);
}
