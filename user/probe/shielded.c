// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A child by clone(CLONE_FILES) without CLONE_VM, because the OOM killer takes all that share the
 * memory.
 */
#include "probe/shielded.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOW_MS 1000

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Signals are blocked, those for our process group do not reach it, nor does "killall -9 tmbpf". */
static _Noreturn void child_main(int (*fn)(const void *), const void *arg, int *result)
{
	setsid();
	prctl(PR_SET_NAME, "uprobe-attach");
	*result = fn(arg);
	syscall(SYS_exit_group, 0); /* the parent's atexit() and stdio are not ours to run */
	__builtin_unreachable();
}

/* Wait for the child; call slow() once when it takes longer than SLOW_MS. */
static void child_wait(pid_t pid, void (*slow)(void))
{
	int fd = slow ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	struct pollfd ends = {.fd = fd, .events = POLLIN};
	int64_t until = now_ms() + SLOW_MS, left;
	int ready = -1;

	if (fd >= 0) {
		do {
			left = until - now_ms();
			ready = poll(&ends, 1, left > 0 ? (int)left : 0);
		} while (ready < 0 && errno == EINTR);
		close(fd);
	}
	if (ready == 0)
		slow();
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static bool clone_and_wait(int (*fn)(const void *), const void *arg, int *result,
			   void (*slow)(void))
{
	sigset_t all, before;
	long pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		child_main(fn, arg, result);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (pid > 0)
		child_wait((pid_t)pid, slow);
	return pid > 0;
}

bool shielded_call(int (*fn)(const void *arg), const void *arg, void (*slow)(void), int *ret)
{
	int *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool done;

	if (result == MAP_FAILED)
		return false;
	*result = -EINTR;
	done = clone_and_wait(fn, arg, result, slow);
	if (done)
		*ret = *result;
	munmap(result, sizeof(*result));
	return done;
}
