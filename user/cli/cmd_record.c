// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf record -p PID`: a series of snapshots in one file. */
#include <argp.h>

#include "base/log.h"
#include "cli/capture_options.h"
#include "cli/cmd.h"
#include "store/store.h"
#include "trace/recorder.h"

enum { OPT_EVERY = 1200, OPT_KEEP, OPT_FORCE };

static const struct argp_option table[] = {
	{"output", 'o', "DIR|FILE|-", 0,
	 "the file, a directory that gets one named by process and time (.), or - for stdout", 1},
	{"every", OPT_EVERY, "TIME", 0, "between two snapshots (60s)", 1},
	{"duration", 'd', "TIME", 0, "stop after this time (until Ctrl-C)", 1},
	{"keep", OPT_KEEP, "N", 0,
	 "maximum of snapshots in the file; beyond it old ones are thinned out (1440)", 1},
	{"force", OPT_FORCE, NULL, 0, "replace an existing file", 1},
	{"quiet", 'q', NULL, 0, "print no line for each snapshot", 2},
	{"verbose", 'v', NULL, 0, "more messages; twice: debug messages", 2},
	{0},
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct recorder_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->capture;
		return 0;
	case 'o':
		o->out = arg;
		return 0;
	case OPT_EVERY:
		o->every_s = options_duration(state, "--every", arg);
		return 0;
	case 'd':
		o->duration_s = options_duration(state, "-d", arg);
		return 0;
	case OPT_KEEP:
		o->keep = (unsigned)options_number(state, "--keep", arg, STORE_KEEP_MIN, 1000000,
						   "a number from 3 to 1000000");
		return 0;
	case OPT_FORCE:
		o->force = true;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'v':
		log_set_level(o->capture.verbose ? LOG_DEBUG : LOG_INFO);
		o->capture.verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many arguments: %s", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_record(int argc, char **argv)
{
	static const struct argp_child children[] = {{&capture_options_argp, 0, NULL, 3}, {0}};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.args_doc = "-p PID",
		.doc = "Record what a process allocates: a snapshot every so often, in one file.\v"
		       "Examples:\n"
		       "  sudo tmbpf record -p 4711 -o /var/tmp            until Ctrl-C\n"
		       "  sudo tmbpf record -p 4711 -o run.tmb --every 10s -d 30m\n"
		       "  tmbpf report run.tmb ; tmbpf leaks run.tmb       needs no privileges\n\n"
		       "SIGUSR1 takes a snapshot at once. The file can be read while it is written:\n"
		       "docs/snapshot-format.md.\n"
		       "Exit status: 0 done, also when the target ended; 2 usage, 3 no such target or not "
		       "supported in it, 4 not permitted, 5 kernel not supported, 7 cannot write the file.",
		.children = children,
	};
	struct recorder_opts o;
	char name[] = "tmbpf record";

	recorder_opts_init(&o);
	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	return recorder_run(&o);
}
