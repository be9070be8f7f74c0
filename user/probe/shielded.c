// SPDX-License-Identifier: GPL-2.0-or-later
/* A child by clone(CLONE_FILES): not CLONE_VM, the OOM killer takes all that share the memory. */
#include "probe/shielded.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Signals are blocked, those for our process group do not reach it, nor does "killall -9 tmbpf". */
static _Noreturn void child(int (*fn)(const void *), const void *arg, int *result)
{
	setsid();
	prctl(PR_SET_NAME, "uprobe-attach");
	*result = fn(arg);
	syscall(SYS_exit_group, 0); /* the parent's atexit() and stdio are not ours to run */
	__builtin_unreachable();
}

static bool clone_and_wait(int (*fn)(const void *), const void *arg, int *result)
{
	sigset_t all, before;
	long pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (!pid)
		child(fn, arg, result);
	sigprocmask(SIG_SETMASK, &before, NULL);
	while (pid > 0 && waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
		;
	return pid > 0;
}

bool shielded_call(int (*fn)(const void *arg), const void *arg, int *ret)
{
	int *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool done;

	if (result == MAP_FAILED)
		return false;
	*result = -EINTR;
	done = clone_and_wait(fn, arg, result);
	if (done)
		*ret = *result;
	munmap(result, sizeof(*result));
	return done;
}
