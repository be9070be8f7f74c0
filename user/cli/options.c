// SPDX-License-Identifier: GPL-2.0-or-later
/* argp table of `tmbpf [watch]`. */
#include "cli/options.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/units.h"

enum {
	OPT_FRAMES = 1000,
	OPT_BY,
	OPT_MODE,
	OPT_OVERHEAD,
	OPT_BLOCKS,
	OPT_NO_CACHE,
	OPT_DOMAINS,
	OPT_STOP_AFTER,
	OPT_LINKS,
	OPT_THREADS,
};

static const struct argp_option table[] = {
	{"pid", 'p', "PID", 0, "the process to look at", 1},
	{"top", 'T', "N", 0, "lines to show (10); 0 = all", 2},
	{"by", OPT_BY, "WHAT", 0, "group by lineno, traceback or filename (lineno)", 2},
	{"json", 'j', NULL, 0, "one JSON object a line (schema tmbpf/1)", 2},
	{"verbose", 'v', NULL, 0, "full traceback of the first line; twice: debug messages", 2},
	{"frames", OPT_FRAMES, "N", 0, "frames of a stack to keep, 1 to 128 (25)", 3},
	{"threads", OPT_THREADS, NULL, 0,
	 "tell the stacks of threads apart (more stacks; for statistics by thread)", 3},
	{"domains", OPT_DOMAINS, "LIST", 0, "python,native (both)", 3},
	{"mode", OPT_MODE, "MODE", 0,
	 "exact: every block; pools: where the heap grows, about free of cost; auto: exact if it fits the budget (auto)",
	 3},
	{"overhead", OPT_OVERHEAD, "P%", 0, "budget of auto, in percent of one CPU (5%)", 3},
	{"blocks", OPT_BLOCKS, "N", 0,
	 "live blocks to prepare for, e.g. 32M (from the target's size)", 3},
	{"no-cache", OPT_NO_CACHE, NULL, 0, "decode the files anew, remember nothing", 3},
	{"links", OPT_LINKS, "KIND", 0,
	 "multi (one link for all sites) or perf (one event a site, for kernels before 6.6) (multi where it exists)",
	 3},
	{"stop-after", OPT_STOP_AFTER, "PART", 0,
	 "for benchmarks: end each hit after its trap, read or walk; nothing is recorded", 4},
	{NULL, 's', "X", OPTION_HIDDEN, NULL, 0},
	{NULL, 't', NULL, OPTION_HIDDEN, NULL, 0},
	{0},
};

static int bad(struct argp_state *state, const char *opt, const char *arg, const char *want)
{
	argp_error(state, "%s %s: expected %s", opt, arg, want);
	return EINVAL;
}

static int parse_by(struct argp_state *state, char *arg, struct options *o)
{
	static const char *const names[] = {"lineno", "traceback", "filename"};

	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(arg, names[i])) {
			o->by = (enum group_by)i;
			return 0;
		}
	}
	return bad(state, "--by", arg, "lineno, traceback or filename");
}

static int parse_mode(struct argp_state *state, char *arg, struct options *o)
{
	static const char *const names[] = {"auto", "exact", "pools"};

	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(arg, names[i])) {
			o->mode = (enum capture_mode)i;
			return 0;
		}
	}
	return bad(state, "--mode", arg, "auto, exact or pools");
}

static int parse_stop(struct argp_state *state, char *arg, struct options *o)
{
	static const char *const names[] = {"", "trap", "read", "walk"};

	for (unsigned i = TM_STOP_HIT; i <= TM_STOP_WALK; i++) {
		if (!strcmp(arg, names[i])) {
			o->stop = (enum tm_stop)i;
			return 0;
		}
	}
	return bad(state, "--stop-after", arg, "trap, read or walk");
}

static int parse_domains(struct argp_state *state, const char *arg, struct options *o)
{
	char copy[64], *save = NULL;

	o->python = o->native = false;
	snprintf(copy, sizeof(copy), "%s", arg);
	for (char *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
		if (!strcmp(w, "python"))
			o->python = true;
		else if (!strcmp(w, "native"))
			o->native = true;
		else
			return bad(state, "--domains", arg, "a list of python, native");
	}
	return o->python || o->native ? 0
				      : bad(state, "--domains", arg, "a list of python, native");
}

/* A number within bounds, or a usage error. */
static uint64_t number(struct argp_state *state, const char *opt, const char *arg, uint64_t min,
		       uint64_t max, const char *want)
{
	uint64_t n = min;

	if (units_parse_count(arg, min, max, &n))
		bad(state, opt, arg, want);
	return n;
}

static int parse_positional(struct argp_state *state, char *arg, struct options *o)
{
	uint64_t ns;

	switch (state->arg_num) {
	case 0:
		if (isalpha((unsigned char)arg[0]))
			argp_error(state, "no verb '%s': there are watch (the default) and sites",
				   arg);
		if (units_parse_duration(arg, &ns) || ns < 10000000)
			return bad(state, "INTERVAL", arg,
				   "a duration of 10 ms or more, like 10, 30s, 5m");
		o->interval_s = (double)ns / 1e9;
		return 0;
	case 1:
		o->count = number(state, "COUNT", arg, 1, UINT32_MAX, "a number of 1 or more");
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
	case 'p':
		o->pid = (pid_t)number(state, "-p", arg, 1, INT32_MAX, "a process number");
		return 0;
	case 'T':
		o->top = (unsigned)number(state, "-T", arg, 0, UINT32_MAX, "a number, 0 = all");
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
	case OPT_MODE:
		return parse_mode(state, arg, o);
	case OPT_LINKS:
		o->perf_links = !strcmp(arg, "perf");
		return o->perf_links || !strcmp(arg, "multi")
			       ? 0
			       : bad(state, "--links", arg, "multi or perf");
	case OPT_STOP_AFTER:
		return parse_stop(state, arg, o);
	case OPT_DOMAINS:
		return parse_domains(state, arg, o);
	case OPT_FRAMES:
		o->frames = (unsigned)number(state, "--frames", arg, 1, TM_FRAMES_MAX, "1 to 128");
		return 0;
	case OPT_OVERHEAD:
		return units_parse_percent(arg, &o->overhead) || o->overhead <= 0
			       ? bad(state, "--overhead", arg, "a percentage like 5%")
			       : 0;
	case OPT_BLOCKS:
		return units_parse_size(arg, &o->blocks) || !o->blocks || o->blocks > 1ull << 32
			       ? bad(state, "--blocks", arg,
				     "a number of blocks up to 4G, like 32M")
			       : 0;
	case OPT_THREADS:
		o->threads = true;
		return 0;
	case OPT_NO_CACHE:
		o->use_cache = false;
		return 0;
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
	case ARGP_KEY_END:
		if (!o->pid)
			argp_error(state, "which process? give its number with -p PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

void options_parse(int argc, char **argv, struct options *out)
{
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.args_doc = "-p PID [INTERVAL [COUNT]]\nsites FILE | sites -p PID",
		.doc = "Which source lines hold and grow the memory of a running process.\v"
		       "Examples:\n"
		       "  sudo tmbpf -p 4711             a report every 10 s until Ctrl-C\n"
		       "  sudo tmbpf -p 4711 5 3         three reports, 5 s apart\n"
		       "  sudo tmbpf -p 4711 --by traceback -v\n"
		       "  sudo tmbpf -p 4711 -j 60       for a program to read\n"
		       "  tmbpf sites /usr/bin/python3   which instructions would be probed\n\n"
		       "Exit status: 0 done, 2 usage, 3 no such target or not supported in it, 4 not permitted, "
		       "5 this kernel cannot, 7 cannot write output.",
	};

	*out = (struct options){
		.interval_s = 10,
		.frames = 25,
		.top = 10,
		.overhead = 0.05,
		.use_cache = true,
		.python = true,
		.native = true,
	};
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, out);
}
