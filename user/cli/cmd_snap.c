// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf snap -p PID`: one snapshot, of what was allocated while it looked. */
#include <argp.h>

#include "base/log.h"
#include "cli/capture_options.h"
#include "cli/cmd.h"
#include "trace/recorder.h"

enum { OPT_FORCE = 1300 };

static const struct argp_option table[] = {
	{"output", 'o', "DIR|FILE|-", 0,
	 "the file, a directory that gets one named by process and time (.), or - for stdout", 1},
	{"duration", 'd', "TIME", 0, "how long to trace before the snapshot is taken (10s)", 1},
	{"force", OPT_FORCE, NULL, 0, "replace an existing file", 1},
	{"quiet", 'q', NULL, 0, "print nothing but errors and warnings", 2},
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
	case 'd':
		o->duration_s = o->every_s = options_duration(state, "-d", arg);
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

int cmd_snap(int argc, char **argv)
{
	static const struct argp_child children[] = {{&capture_options_argp, 0, NULL, 3}, {0}};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.args_doc = "-p PID",
		.doc = "One snapshot in a file. It holds what was allocated since tmbpf attached and is still "
		       "alive when -d has passed: what the process held before is not attributed.\v"
		       "Examples:\n"
		       "  sudo tmbpf snap -p 4711 -o a.tmb\n"
		       "  sudo tmbpf snap -p 4711 -o b.tmb -d 1m ; tmbpf report b.tmb\n\n"
		       "SIGUSR1 takes it before the time is up. To compare two moments of one process, record them in one series: tmbpf record.\n"
		       "Exit status: 0 done, 2 usage, 3 no such target or not supported in it, 4 not "
		       "permitted, 5 kernel not supported, 7 cannot write the file.",
		.children = children,
	};
	struct recorder_opts o;
	char name[] = "tmbpf snap";

	recorder_opts_init(&o);
	o.single = true;
	o.duration_s = o.every_s = 10;
	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	return recorder_run(&o);
}
