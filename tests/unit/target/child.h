/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Starting and ending the processes that a test looks at. */
#ifndef TM_TEST_TARGET_CHILD_H
#define TM_TEST_TARGET_CHILD_H

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs argv; with ready, waits until it has written a byte to stdout. Returns: its pid. */
static inline pid_t child_start(char *const argv[], char *const envp[], int ready)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fds[1], 1);
		close(fds[0]);
		close(fds[1]);
		execve(argv[0], argv, envp ? envp : environ);
		_exit(127);
	}
	close(fds[1]);
	if (ready) {
		struct pollfd p = {.fd = fds[0], .events = POLLIN};
		char c = 0;

		assert_int_equal(poll(&p, 1, 60000), 1);
		assert_int_equal(read(fds[0], &c, 1), 1);
	}
	close(fds[0]);
	return pid;
}

static inline void child_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif
