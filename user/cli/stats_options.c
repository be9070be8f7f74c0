/* SPDX-License-Identifier: GPL-2.0-or-later */
/* argp table of the options that `report`, `diff` and `leaks` share, and their evaluation. */
#include "cli/stats_options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/completeness.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/units.h"

enum {
	OPT_BY = 2000,
	OPT_CUMULATIVE,
	OPT_SORT,
	OPT_LIMIT,
	OPT_RECENT,
	OPT_SOURCE,
	OPT_INCLUDE,
	OPT_EXCLUDE,
	OPT_ALL_FRAMES,
	OPT_DOMAIN,
	OPT_NOT_DOMAIN,
	OPT_NO_DEFAULTS,
	OPT_SUPPRESSIONS,
	OPT_MAX_LOST,
};

static const struct argp_option table[] = {
	{"by", OPT_BY, "KEY", 0,
	 "group by lineno, filename, traceback, function, module, thread or domain (lineno)", 1},
	{"cumulative", OPT_CUMULATIVE, "HOW", OPTION_ARG_OPTIONAL,
	 "count callers too; HOW: frames, as tracemalloc (a recursive line counts each time; for lineno "
	 "and filename the default), or once a stack (`once`)",
	 1},
	{"sort", OPT_SORT, "KEY", 0, "size, count; diff: growth (report: size, diff: growth)", 1},
	{"top", 'T', "N", 0, "lines to show (10); 0 = all", 1},
	{"limit-frames", OPT_LIMIT, "N", 0,
	 "--by traceback: frames to print, the N most recent; negative: all but the -N most recent",
	 1},
	{"most-recent-first", OPT_RECENT, NULL, 0,
	 "--by traceback: print the most recent call first", 1},
	{"source", OPT_SOURCE, NULL, 0,
	 "--by traceback: source text, from the files on this machine", 1},
	{"json", 'j', NULL, 0, "one JSON object a line (schema tmbpf/1)", 1},
	{"include", OPT_INCLUDE, "GLOB[:LINE]", 0,
	 "only stacks whose innermost frame is in such a file; several: any of them", 2},
	{"exclude", OPT_EXCLUDE, "GLOB[:LINE]", 0,
	 "no stack whose innermost frame is in such a file", 2},
	{"all-frames", OPT_ALL_FRAMES, NULL, 0, "the same for any frame of a stack", 2},
	{"domain", OPT_DOMAIN, "NAME|N", 0,
	 "select a domain: python, native or tracemalloc's number; combined with --include by OR",
	 2},
	{"exclude-domain", OPT_NOT_DOMAIN, "NAME|N", 0, "not this domain", 2},
	{"no-default-filters", OPT_NO_DEFAULTS, NULL, 0,
	 "keep what <frozen importlib._bootstrap> and its _external allocated", 2},
	{"suppressions", OPT_SUPPRESSIONS, "FILE", 0,
	 "known leaks, lines leak:PATTERN as for LeakSanitizer; counted apart", 2},
	{"max-lost", OPT_MAX_LOST, "RATIO", 0,
	 "exit 6 when more than this is missing from the data, like 0.1% or 0.001", 2},
	{0},
};

/* ---- parsing ---- */

/* Room for one more filter; ends the process when there is no memory, as argp itself does. */
static struct filter_spec *new_filter(struct argp_state *state, struct stats_options *o)
{
	struct filter_spec *filters =
		array_grow(o->filters, &o->filter_cap, o->filter_count + 1, sizeof(*filters));

	if (!filters)
		argp_failure(state, 1, ENOMEM, "filters");
	else
		o->filters = filters;
	return filters ? &filters[o->filter_count++] : NULL;
}

/* The ":LINE" at the end of a pattern, or NULL. */
static const char *line_part(const char *arg)
{
	const char *colon = strrchr(arg, ':');

	return colon && colon[1] && !colon[1 + strspn(colon + 1, "0123456789")] ? colon : NULL;
}

static int parse_pattern(struct argp_state *state, const char *arg, bool inclusive,
			 struct stats_options *o)
{
	struct filter_spec *f = new_filter(state, o);
	const char *colon = line_part(arg);
	uint64_t line;
	char **patterns;

	if (!f)
		return ENOMEM;
	*f = (struct filter_spec){.inclusive = inclusive, .pattern = arg};
	if (!colon)
		return 0;
	if (units_parse_count(colon + 1, 0, INT32_MAX, &line)) {
		argp_error(state, "%s: a line number is at most 2147483647", arg);
		return EINVAL;
	}
	patterns =
		array_grow(o->patterns, &o->pattern_cap, o->pattern_count + 1, sizeof(*patterns));
	if (patterns) {
		o->patterns = patterns;
		patterns[o->pattern_count] = strndup(arg, (size_t)(colon - arg));
	}
	if (!patterns || !patterns[o->pattern_count]) {
		argp_failure(state, 1, ENOMEM, "filters");
		return ENOMEM;
	}
	f->pattern = patterns[o->pattern_count++];
	f->has_line = true;
	f->line = (int64_t)line;
	return 0;
}

static int parse_domain(struct argp_state *state, const char *arg, bool inclusive,
			struct stats_options *o)
{
	struct filter_spec *f = new_filter(state, o);
	char *end = NULL;
	unsigned long long number = 0;

	if (!f)
		return ENOMEM;
	if (!strcmp(arg, "python")) {
		number = SNAP_NUMBER_PYTHON;
	} else if (!strcmp(arg, "native")) {
		number = SNAP_NUMBER_NATIVE;
	} else {
		errno = 0;
		number = strtoull(arg, &end, 0);
		if (*arg < '0' || *arg > '9' || *end || errno || number > UINT32_MAX)
			argp_error(state, "%s: expected python, native or a number", arg);
	}
	*f = (struct filter_spec){
		.inclusive = inclusive, .has_domain = true, .domain = (uint32_t)number};
	return 0;
}

static int parse_limit(struct argp_state *state, const char *arg, struct stats_options *o)
{
	bool negative = *arg == '-';
	uint64_t n;

	if (units_parse_count(arg + negative, 0, INT32_MAX, &n)) {
		argp_error(state, "--limit-frames %s: expected a whole number", arg);
		return EINVAL;
	}
	o->has_limit = true;
	o->limit = negative ? -(int64_t)n : (int64_t)n;
	return 0;
}

static int parse_lost(struct argp_state *state, const char *arg, struct stats_options *o)
{
	char *end = NULL;

	bool is_percent = !units_parse_percent(arg, &o->max_lost);

	if (!is_percent)
		o->max_lost = strtod(arg, &end);
	if (*arg < '0' || *arg > '9' || (!is_percent && *end) || o->max_lost > 1)
		argp_error(state, "--max-lost %s: expected a ratio like 0.1%% or 0.001", arg);
	return 0;
}

static int parse_by(struct argp_state *state, const char *arg, struct stats_options *o)
{
	if (!stat_key_parse(arg, &o->by))
		return 0;
	argp_error(
		state,
		"--by %s: expected lineno, filename, traceback, function, module, thread or domain",
		arg);
	return EINVAL;
}

static int parse_cumulative(struct argp_state *state, const char *arg, struct stats_options *o)
{
	o->is_cumulative = true;
	if (!arg)
		return 0;
	if (!strcmp(arg, "frames"))
		o->cumulative = STAT_EACH_FRAME;
	else if (!strcmp(arg, "once"))
		o->cumulative = STAT_EACH_STACK;
	else
		argp_error(state, "--cumulative=%s: expected frames or once", arg);
	return 0;
}

static int parse_top(struct argp_state *state, const char *arg, struct stats_options *o)
{
	uint64_t n;

	if (units_parse_count(arg, 0, UINT32_MAX, &n)) {
		argp_error(state, "-T %s: expected a number, 0 = all", arg);
		return EINVAL;
	}
	o->top = (unsigned)n;
	return 0;
}

/* Filters. Returns ARGP_ERR_UNKNOWN for keys that are none. */
static error_t parse_filter(int key, char *arg, struct argp_state *state, struct stats_options *o)
{
	switch (key) {
	case OPT_INCLUDE:
	case OPT_EXCLUDE:
		return parse_pattern(state, arg, key == OPT_INCLUDE, o);
	case OPT_DOMAIN:
	case OPT_NOT_DOMAIN:
		return parse_domain(state, arg, key == OPT_DOMAIN, o);
	case OPT_ALL_FRAMES:
		o->all_frames = true;
		return 0;
	case OPT_NO_DEFAULTS:
		o->no_default_filters = true;
		return 0;
	case OPT_SUPPRESSIONS:
		o->suppressions = arg;
		return 0;
	case OPT_MAX_LOST:
		return parse_lost(state, arg, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Reject an option that changes nothing, because its user would not notice. */
static void check_options(struct argp_state *state, const struct stats_options *o)
{
	if (o->is_cumulative && !stat_key_can_cumulate(o->by))
		argp_error(state, "--cumulative does not go with --by %s", stat_key_name(o->by));
	if ((o->has_limit || o->most_recent_first || o->source) && o->by != STAT_TRACEBACK)
		argp_error(state, "--limit-frames, --most-recent-first and --source are for --by "
				  "traceback");
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct stats_options *o = state->input;

	switch (key) {
	case 'T':
		return parse_top(state, arg, o);
	case 'j':
		o->json = true;
		return 0;
	case OPT_BY:
		return parse_by(state, arg, o);
	case OPT_CUMULATIVE:
		return parse_cumulative(state, arg, o);
	case OPT_SORT:
		o->sort = arg;
		return 0;
	case OPT_LIMIT:
		return parse_limit(state, arg, o);
	case OPT_RECENT:
		o->most_recent_first = true;
		return 0;
	case OPT_SOURCE:
		o->source = true;
		return 0;
	case ARGP_KEY_END:
		check_options(state, o);
		return 0;
	default:
		return parse_filter(key, arg, state, o);
	}
}

const struct argp stats_options_argp = {.options = table, .parser = parse_one};

void stats_options_take(const char *const *names, size_t count, struct argp_option *out)
{
	for (const struct argp_option *opt = table; opt->name; opt++) {
		for (size_t i = 0; i < count; i++) {
			if (!strcmp(opt->name, names[i]))
				*out++ = *opt;
		}
	}
	*out = (struct argp_option){0};
}

void stats_options_init(struct stats_options *o)
{
	*o = (struct stats_options){.top = 10, .max_lost = -1};
}

void stats_options_release(struct stats_options *o)
{
	for (size_t i = 0; i < o->pattern_count; i++)
		free(o->patterns[i]);
	free(o->patterns);
	free(o->filters);
	*o = (struct stats_options){0};
}

/* ---- evaluation ---- */

struct stat_opts stats_options_grouping(const struct stats_options *o)
{
	struct stat_opts opts = {.key = o->by};

	if (!o->is_cumulative)
		return opts;
	opts.cumulative = o->cumulative;
	/* tracemalloc's way where tracemalloc has one */
	if (opts.cumulative == STAT_OWN)
		opts.cumulative = o->by == STAT_LINENO || o->by == STAT_FILENAME ? STAT_EACH_FRAME
										 : STAT_EACH_STACK;
	return opts;
}

static int add_filters(const struct stats_options *o, struct filter_set *set)
{
	/* what every tutorial of tracemalloc excludes */
	static const char *const usual[] = {"<frozen importlib._bootstrap>",
					    "<frozen importlib._bootstrap_external>"};
	int err = 0;

	for (size_t i = 0; !err && !o->no_default_filters && i < ARRAY_LEN(usual); i++)
		err = filter_set_add(
			set, &(struct filter_spec){.pattern = usual[i], .is_default = true});
	for (size_t i = 0; !err && i < o->filter_count; i++) {
		struct filter_spec spec = o->filters[i];

		spec.all_frames = o->all_frames;
		err = filter_set_add(set, &spec);
	}
	return err;
}

int stats_options_filters(const struct stats_options *o, struct filter_set **out)
{
	_cleanup_(filter_set_freep) struct filter_set *set = filter_set_new();
	int err = set ? add_filters(o, set) : -ENOMEM;

	if (err)
		return log_err(err, "cannot build the filters");
	*out = take_ptr(set);
	return 0;
}

int stats_options_suppressions(const struct stats_options *o, struct suppressions **out)
{
	_cleanup_(buf_release) struct buf text = {0};
	struct suppress_error error;
	_cleanup_close_ int fd = -1;
	int err = 0;

	*out = NULL;
	if (!o->suppressions)
		return 0;
	fd = open(o->suppressions, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		err = -errno;
	if (!err)
		err = buf_read_fd(&text, fd, SUPPRESS_FILE_MAX);
	if (err)
		return log_coded_err(err, err == -EACCES ? "E411" : "E321", NULL,
				     "cannot read the suppressions %s: %s", o->suppressions,
				     err == -EFBIG ? "more than 1 MiB" : strerror(-err));
	err = suppressions_parse(text.data ? text.data : "", text.len, out, &error);
	if (err == -EBADMSG)
		return log_coded_err(err, "E322",
				     "one pattern a line, like leak:lru_cache; # starts a comment",
				     "%s:%zu: %s", o->suppressions, error.line, error.reason);
	return err ? log_err(err, "cannot read the suppressions %s", o->suppressions) : 0;
}

struct stats_view stats_options_view(const struct stats_options *o, const char *sort,
				     struct source_lines *source)
{
	return (struct stats_view){
		.top = o->top,
		.cumulative = stats_options_grouping(o).cumulative,
		.sort = sort,
		.traceback =
			{
				.has_limit = o->has_limit,
				.limit = o->limit,
				.most_recent_first = o->most_recent_first,
				.functions = true,
				.source = source,
			},
	};
}

int stats_options_check_lost(const struct stats_options *o, const struct snapshot *s,
			     const char *name)
{
	double lost = completeness_lost_ratio(s);

	if (o->max_lost < 0 || lost <= o->max_lost)
		return 0;
	return log_coded_err(-ENODATA, "E610", NULL,
			     "%s: %.3g%% of it is missing, more than --max-lost %.3g%%", name,
			     lost * 100, o->max_lost * 100);
}
