// SPDX-License-Identifier: GPL-2.0-or-later
/* argp table of `tmbpf [watch]`. */
#include "cli/watch_options.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"
#include "cli/capture_options.h"
#include "cli/cmd.h"

enum { OPT_BY = 1000 };

static const struct argp_option table[] = {
	{"top", 'T', "N", 0, "lines to show (10); 0 = all", 2},
	{"by", OPT_BY, "WHAT", 0,
	 "group by lineno, filename, traceback, function, module, thread or domain (lineno)", 2},
	{"json", 'j', NULL, 0, "one JSON object a line (schema tmbpf/1)", 2},
	{"verbose", 'v', NULL, 0, "full traceback of the first line; twice: debug messages", 2},
	{NULL, 's', "X", OPTION_HIDDEN, NULL, 0},
	{NULL, 't', NULL, OPTION_HIDDEN, NULL, 0},
	{0},
};

static int parse_by(struct argp_state *state, char *arg, struct options *o)
{
	if (stat_key_parse(arg, &o->by))
		return options_bad(
			state, "--by", arg,
			"lineno, filename, traceback, function, module, thread or domain");
	/*
	 * Reject --by thread when the stacks of threads are merged, because it would show one row.
	 */
	o->threads |= o->by == STAT_THREAD;
	return 0;
}

static int parse_positional(struct argp_state *state, char *arg, struct options *o)
{
	switch (state->arg_num) {
	case 0:
		if (isalpha((unsigned char)arg[0]))
			argp_error(state, "no verb '%s': there are %s", arg, cmd_verbs());
		o->interval_s = options_duration(state, "INTERVAL", arg);
		return 0;
	case 1:
		o->count =
			options_number(state, "COUNT", arg, 1, UINT32_MAX, "a number of 1 or more");
		return 0;
	default:
		argp_error(state, "too many arguments: %s", arg);
		return EINVAL;
	}
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = o;
		return 0;
	case 'T':
		o->top = (unsigned)options_number(state, "-T", arg, 0, UINT32_MAX,
						  "a number, 0 = all");
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case 'v':
		log_set_level(o->verbose ? LOG_DEBUG : LOG_INFO);
		o->verbose = true;
		return 0;
	case OPT_BY:
		return parse_by(state, arg, o);
	case 's':
		argp_error(
			state,
			"-s is not an option: for sampling see --mode, for the number of lines -T");
		return EINVAL;
	case 't':
		argp_error(state, "-t is not an option: for the number of lines see -T");
		return EINVAL;
	case ARGP_KEY_ARG:
		return parse_positional(state, arg, o);
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void options_parse(int argc, char **argv, struct options *out)
{
	static const struct argp_child children[] = {{&capture_options_argp, 0, NULL, 3}, {0}};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.children = children,
		.args_doc = "-p PID [INTERVAL [COUNT]]\nVERB --help",
		.doc = "Which source lines hold and grow the memory of a running process.\v"
		       "Examples:\n"
		       "  sudo tmbpf -p 4711             a report every 10 s until Ctrl-C\n"
		       "  sudo tmbpf -p 4711 5 3         three reports, 5 s apart\n"
		       "  sudo tmbpf -p 4711 --by traceback -v\n"
		       "  sudo tmbpf -p 4711 -j 60       for a program to read\n"
		       "  tmbpf ls                       the Python processes here\n"
		       "  sudo tmbpf record -p 4711 -o run.tmb ; tmbpf leaks run.tmb\n"
		       "  tmbpf sites /usr/bin/python3   which instructions would be probed\n\n"
		       "Verbs: watch (the default), sites, record, snap, ls, report, diff, leaks, export, explain.\n"
		       "Exit status: 0 done, 2 usage, 3 no such target or not supported in it, 4 not permitted, "
		       "5 kernel not supported, 7 cannot write output.",
	};

	capture_options_init(out);
	out->interval_s = 10;
	out->top = 10;
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, out);
}
