/* SPDX-License-Identifier: GPL-2.0-or-later */
/* argp table of what every tracing verb takes: which process, what of it, at which cost. */
#include "cli/capture_options.h"

#include <errno.h>
#include <string.h>

#include "base/units.h"

enum {
	OPT_FRAMES = 1100,
	OPT_MODE,
	OPT_OVERHEAD,
	OPT_BLOCKS,
	OPT_STACKS,
	OPT_NO_CACHE,
	OPT_DOMAINS,
	OPT_STOP_AFTER,
	OPT_LINKS,
	OPT_THREADS,
};

/* Longer is a typing error, and near the end of what nanoseconds can count. */
#define DURATION_MIN_NS 10000000ull
#define DURATION_MAX_NS (3650 * 86400 * 1000000000ull)

static const struct argp_option table[] = {
	{"pid", 'p', "PID", 0, "process to trace", 0},
	{"frames", OPT_FRAMES, "N", 0, "frames of a stack to keep, 1 to 128 (25)", 0},
	{"threads", OPT_THREADS, NULL, 0,
	 "tell the stacks of threads apart (more stacks; for statistics by thread)", 0},
	{"domains", OPT_DOMAINS, "LIST", 0, "python,native (both)", 0},
	{"mode", OPT_MODE, "MODE", 0,
	 "exact: every block, whatever it costs unless --overhead is given too; pools: where the heap grows, for little; auto: exact while it fits the budget (auto)",
	 0},
	{"overhead", OPT_OVERHEAD, "P%", 0,
	 "how much tracing may slow the target, in percent of its own CPU time (5%); when it costs more, probes are taken away until there is room again",
	 0},
	{"stacks", OPT_STACKS, "N", 0,
	 "distinct stacks to keep at most, 400 bytes of tmbpf's memory each (1835008)", 0},
	{"blocks", OPT_BLOCKS, "N", 0,
	 "live blocks to prepare for, e.g. 32M (from the target's size)", 0},
	{"no-cache", OPT_NO_CACHE, NULL, 0, "decode the files again, save nothing", 0},
	{"links", OPT_LINKS, "KIND", 0,
	 "multi (one link for all sites) or perf (one event a site, for kernels before 6.6) (multi where it exists)",
	 0},
	{"stop-after", OPT_STOP_AFTER, "PART", 0,
	 "for benchmarks: end each hit after its trap, read or walk; nothing is recorded", 0},
	{0},
};

int options_bad(struct argp_state *state, const char *opt, const char *arg, const char *want)
{
	argp_error(state, "%s %s: expected %s", opt, arg, want);
	return EINVAL;
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
	return options_bad(state, "--mode", arg, "auto, exact or pools");
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
	return options_bad(state, "--stop-after", arg, "trap, read or walk");
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
			return options_bad(state, "--domains", arg, "a list of python, native");
	}
	return o->python || o->native
		       ? 0
		       : options_bad(state, "--domains", arg, "a list of python, native");
}

/* A number within bounds, or a usage error. */
uint64_t options_number(struct argp_state *state, const char *opt, const char *arg, uint64_t min,
			uint64_t max, const char *want)
{
	uint64_t n = min;

	if (units_parse_count(arg, min, max, &n))
		options_bad(state, opt, arg, want);
	return n;
}

double options_duration(struct argp_state *state, const char *opt, const char *arg)
{
	uint64_t ns = DURATION_MIN_NS;

	if (units_parse_duration(arg, &ns) || ns < DURATION_MIN_NS || ns > DURATION_MAX_NS)
		options_bad(state, opt, arg,
			    "a duration of 10 ms to 3650 days, like 10s, 5m, 1h30m");
	return (double)ns / 1e9;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'p':
		o->pid = (pid_t)options_number(state, "-p", arg, 1, INT32_MAX, "a process number");
		return 0;
	case ARGP_KEY_END:
		if (!o->pid)
			argp_error(state, "-p PID is required");
		return 0;
	case OPT_MODE:
		return parse_mode(state, arg, o);
	case OPT_LINKS:
		o->perf_links = !strcmp(arg, "perf");
		return o->perf_links || !strcmp(arg, "multi")
			       ? 0
			       : options_bad(state, "--links", arg, "multi or perf");
	case OPT_STOP_AFTER:
		return parse_stop(state, arg, o);
	case OPT_DOMAINS:
		return parse_domains(state, arg, o);
	case OPT_FRAMES:
		o->frames = (unsigned)options_number(state, "--frames", arg, 1, TM_FRAMES_MAX,
						     "1 to 128");
		return 0;
	case OPT_OVERHEAD:
		o->overhead_given = true;
		return units_parse_percent(arg, &o->overhead) || o->overhead <= 0
			       ? options_bad(state, "--overhead", arg, "a percentage like 5%")
			       : 0;
	case OPT_BLOCKS:
		return units_parse_size(arg, &o->blocks) || !o->blocks || o->blocks > 1ull << 32
			       ? options_bad(state, "--blocks", arg,
					     "a number of blocks up to 4G, like 32M")
			       : 0;
	case OPT_STACKS:
		return units_parse_size(arg, &o->stacks) || o->stacks < TM_STACK_WAYS ||
				       o->stacks > 32u << 20
			       ? options_bad(state, "--stacks", arg,
					     "a number of stacks from 8 to 32M, like 4M")
			       : 0;
	case OPT_THREADS:
		o->threads = true;
		return 0;
	case OPT_NO_CACHE:
		o->use_cache = false;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp capture_options_argp = {.options = table, .parser = parse_one};
