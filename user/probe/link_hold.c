// SPDX-License-Identifier: GPL-2.0-or-later
#include "probe/link_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "target/target.h"
#include "target/target_task.h"

#define LOOK_MS	     200
#define FD_SCAN_MAX  65536 /* descriptors are given out from 0 on, and we have some hundreds */
#define STATUS_BYTES 2048  /* TracerPid: stands in the first lines, which have bounds */

/* The child makes only calls that are safe after fork(), without malloc and stdio. */

static bool is_link(int fd)
{
	char path[PROC_FD_PATH_LEN], name[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	if (n < 0)
		return false;
	name[n] = '\0';
	return !strcmp(name, "anon_inode:bpf_link") || !strcmp(name, "anon_inode:bpf-link") ||
	       !strcmp(name, "anon_inode:[perf_event]");
}

/* The pipes of our caller end with us, not with the debugger. */
static void close_all_but_links(void)
{
	struct rlimit limit;
	int top = INT_MAX;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < INT_MAX)
		top = (int)limit.rlim_cur;
	if (top > FD_SCAN_MAX)
		top = FD_SCAN_MAX;
	for (int fd = 0; fd < top; fd++)
		if (!is_link(fd))
			close(fd);
}

static bool is_traced(pid_t tid)
{
	char path[64], text[STATUS_BYTES];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return proc_tracer_parse(text) != 0;
}

static _Noreturn void hold_links(pid_t tid)
{
	sigset_t none;

	setsid();
	prctl(PR_SET_NAME, "uprobe-hold");
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	close_all_but_links();
	while (is_traced(tid))
		(void)poll(NULL, 0, LOOK_MS);
	_exit(0); /* closes the links: the kernel restores the instructions */
}

pid_t link_hold_start(pid_t tid)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid)
		hold_links(tid);
	return pid;
}
