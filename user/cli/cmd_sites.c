// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf sites FILE|-p PID`: which instructions would be probed, and why they are believed. No attach. */
#include <argp.h>
#include <errno.h>
#include <string.h>

#include "alloc/alloc.h"
#include "base/log.h"
#include "base/units.h"
#include "cli/cmd.h"

struct sites_options {
	pid_t pid;
	const char *file;
	bool verbose, use_cache;
};

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct sites_options *o = state->input;
	uint64_t pid;

	switch (key) {
	case 'p':
		if (units_parse_count(arg, 1, INT32_MAX, &pid))
			argp_error(state, "-p %s: expected a process number", arg);
		o->pid = (pid_t)pid;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	case 'C':
		o->use_cache = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "one file at a time: %s", arg);
		o->file = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->file == !o->pid)
			argp_error(state, "give either a file or -p PID");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int sites_of_file(const struct sites_options *o)
{
	_cleanup_(elf_image_freep) struct elf_image *img = NULL;
	int err = elf_image_open(o->file, &img);

	if (err == -EBADMSG)
		return log_coded_err(err, "E302", NULL, "%s is not an x86-64 ELF file", o->file);
	if (err)
		return log_coded_err(err, "E301", NULL, "cannot read %s: %s", o->file,
				     strerror(-err));
	err = alloc_print_file(img, stdout, o->verbose, o->use_cache);
	if (err == -ENOENT)
		return log_coded_err(
			err, "E302", "give it a python executable, a libpython, or a libc",
			"%s is neither CPython 3.11+ nor does it define malloc and free", o->file);
	return err;
}

static int sites_of_process(const struct sites_options *o)
{
	_cleanup_(target_freep) struct target *t = NULL;
	_cleanup_(alloc_freep) struct alloc_set *set = NULL;
	struct alloc_opts opts = {.python = true, .native = true, .use_cache = o->use_cache};
	int err = target_open(o->pid, &t);

	if (!err)
		err = alloc_find(t, &opts, &set);
	return err ? err : alloc_print(set, stdout, o->verbose);
}

int cmd_sites(int argc, char **argv)
{
	static const struct argp_option table[] = {
		{"pid", 'p', "PID", 0, "the files of this process", 0},
		{"verbose", 'v', NULL, 0, "a line for every site", 0},
		{"cached", 'C', NULL, 0, "what the cache holds, as tracing would use it", 0},
		{0},
	};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.args_doc = "FILE\n-p PID",
		.doc = "Which instructions would be probed in a file or a process, and why they are believed.",
	};
	struct sites_options o = {0};
	char name[] = "tmbpf sites";
	int err;

	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = o.file ? sites_of_file(&o) : sites_of_process(&o);
	if (!err && fflush(stdout))
		err = -EIO;
	return err ? log_exit_status(err == -EIO ? 7 : 3) : 0;
}
