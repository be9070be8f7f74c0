/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting a CPython of pythons.h. Apart from it: <signal.h> takes the names of registers in sites/decode.h. */
#ifndef TM_TESTS_PYTHON_PROCESS_H
#define TM_TESTS_PYTHON_PROCESS_H

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "tests/unit/pythons.h"

#define PYTHON_ARGS 8

/*
 * Starts it with args (NULL ends them). in, out: ends of pipes to its stdin and from its stdout; NULL: not
 * redirected. It ends with this process. Returns: its pid, -1.
 */
static inline pid_t python_start(const struct python *p, const char *const args[],
				 char *const envp[], int *in, int *out)
{
	char *argv[PYTHON_ARGS + 2] = {(char *)(uintptr_t)p->program};
	int in_fds[2] = {-1, -1}, out_fds[2] = {-1, -1};

	for (size_t i = 0; i < PYTHON_ARGS && args[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)args[i];
	if ((in && pipe2(in_fds, O_CLOEXEC)) || (out && pipe2(out_fds, O_CLOEXEC)))
		return -1;
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (in)
			dup2(in_fds[0], 0);
		if (out)
			dup2(out_fds[1], 1);
		if (*p->root && (chroot(p->root) || chdir("/")))
			_exit(126);
		execve(argv[0], argv, envp ? envp : environ);
		_exit(127);
	}
	if (in) {
		close(in_fds[0]);
		*in = in_fds[1];
	}
	if (out) {
		close(out_fds[1]);
		*out = out_fds[0];
	}
	return pid;
}

/* The text of a script beside the test's source, for python -c: a root does not hold our files. */
static inline char *python_script(const char *test_source, const char *name)
{
	const char *slash = strrchr(test_source, '/');
	char path[PYTHONS_PATH];
	char *text = NULL;
	size_t cap = 0;

	snprintf(path, sizeof(path), "%.*s/%s", slash ? (int)(slash - test_source) : 1,
		 slash ? test_source : ".", name);
	FILE *f = fopen(path, "r");

	if (!f)
		return NULL;
	if (getdelim(&text, &cap, '\0', f) < 0) {
		free(text);
		text = NULL;
	}
	fclose(f);
	return text;
}

#endif
