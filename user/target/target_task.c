/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "target/target_task.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "target/proc_fs.h"
#include "target/target.h"

/* Owned by struct target. What changes with the threads of the process, not with ours. */
struct target_access {
	int pidfd; /* -1: the kernel has none */
	pid_t tid;
};

int target_task_open(struct target *t)
{
	struct target_access *a = calloc(1, sizeof(*a));
	long fd;

	if (!a)
		return -ENOMEM;
	fd = syscall(SYS_pidfd_open, t->pid, 0);
	a->pidfd = fd < 0 ? -1 : (int)fd;
	a->tid = t->pid;
	t->access = a;
	return fd < 0 && errno == ESRCH ? -ESRCH : 0;
}

void target_task_close(struct target *t)
{
	if (!t->access)
		return;
	cleanup_closep(&t->access->pidfd);
	free(take_ptr(t->access));
}

pid_t target_task(const struct target *t)
{
	return t->access ? t->access->tid : t->pid;
}

bool target_main_thread_ended(const struct target *t)
{
	return target_task(t) != t->pid;
}

static bool is_living(pid_t tid)
{
	struct proc_stat st;

	return proc_stat_read(tid, &st) == 0 && st.state != 'Z' && st.state != 'X';
}

/* Calls fn for at most max threads; stops when it returns true. Returns: true when stopped. */
static bool each_thread(pid_t pid, unsigned max, bool (*fn)(pid_t tid, void *ctx), void *ctx)
{
	char path[64];
	bool stopped = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return false;
	for (struct dirent *e; !stopped && max && (e = readdir(dir));) {
		char *end;
		long tid = strtol(e->d_name, &end, 10);

		if (end == e->d_name || *end || tid <= 0 || tid > INT_MAX)
			continue;
		max--;
		stopped = fn((pid_t)tid, ctx);
	}
	closedir(dir);
	return stopped;
}

static bool take_living(pid_t tid, void *ctx)
{
	pid_t *found = ctx;

	if (!is_living(tid))
		return false;
	*found = tid;
	return true;
}

bool target_task_next(const struct target *t)
{
	pid_t found = 0;

	if (!t->access)
		return false;
	if (is_living(t->access->tid) || !each_thread(t->pid, UINT_MAX, take_living, &found))
		return false;
	t->access->tid = found;
	return true;
}

bool target_is_alive(const struct target *t)
{
	struct proc_stat st;

	/* Readable once the last thread has ended; pidfd_open(2). */
	if (t->access && t->access->pidfd >= 0) {
		struct pollfd p = {.fd = t->access->pidfd, .events = POLLIN};

		return poll(&p, 1, 0) == 0;
	}
	if (proc_stat_read(t->pid, &st) || st.start_ticks != t->start_time_ticks)
		return false;
	return (st.state != 'Z' && st.state != 'X') || is_living(target_task(t)) ||
	       target_task_next(t);
}

pid_t proc_tracer_parse(const char *status)
{
	static const char key[] =
		"\nTracerPid:"; /* a name cannot hold a newline: status escapes it */
	const char *p = strstr(status, key);
	long v = p ? strtol(p + sizeof(key) - 1, NULL, 10) : 0;

	return v > 0 && v <= INT_MAX ? (pid_t)v : 0;
}

static bool take_tracer(pid_t tid, void *ctx)
{
	_cleanup_(buf_release) struct buf text = {0};
	pid_t *found = ctx;

	if (proc_read(tid, "status", &text))
		return false;
	*found = proc_tracer_parse(text.data);
	return *found != 0;
}

pid_t target_tracer(const struct target *t, bool all)
{
	pid_t found = 0;

	if (!take_tracer(target_task(t), &found) && all)
		(void)each_thread(t->pid, TRACER_THREADS_MAX, take_tracer, &found);
	return found;
}

struct sharers {
	const struct target *target;
	pid_t first;
	unsigned count;
};

static bool count_sharer(pid_t pid, void *ctx)
{
	struct sharers *s = ctx;

	if (pid == s->target->pid ||
	    syscall(SYS_kcmp, target_task(s->target), pid, KCMP_VM, 0, 0) != 0)
		return false;
	if (!s->count++)
		s->first = pid;
	return false;
}

unsigned target_memory_sharers(const struct target *t, pid_t *first)
{
	struct sharers s = {.target = t};

	proc_for_each(count_sharer, &s);
	*first = s.first;
	return s.count;
}
