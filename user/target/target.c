/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Identity of a process. The files it has mapped are target_objects.c, its memory target_memory.c.
 */
#include "target/target.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "base/timed_io.h"
#include "target/proc_fs.h"
#include "target/py_offsets.h"
#include "target/target_objects.h"
#include "target/target_task.h"

#define MAPS_SHARE     50 /* reading the maps may take 1/50 of the time */
#define DELETED_SUFFIX " (deleted)"

struct inner_pid {
	pid_t wanted; /* the number seen inside a container */
	pid_t outer;  /* ours, 0 = not found */
	unsigned found;
};

static bool has_inner_pid(pid_t pid, void *ctx)
{
	struct inner_pid *search = ctx;
	struct buf status = {0};
	pid_t outer = 0, inner = 0;

	if (proc_read(pid, "status", &status) == 0 &&
	    proc_nspid_parse(status.data, &outer, &inner) > 1 && inner == search->wanted) {
		search->outer = pid;
		search->found++;
	}
	buf_release(&status);
	return false; /* all of them: the number may mean several processes */
}

static int no_such_process(pid_t pid)
{
	struct inner_pid search = {.wanted = pid};
	char fix[PATH_MAX], outer[16];

	proc_for_each(has_inner_pid, &search);
	if (search.found == 1) {
		snprintf(outer, sizeof(outer), "%d", search.outer);
		snprintf(fix, sizeof(fix),
			 "if %d is the number inside a container, its pid here is %d: %s", pid,
			 search.outer, command_with("-p", outer));
		return log_coded_err(-ESRCH, "E301", fix, "pid %d is not visible here", pid);
	}
	if (search.found > 1)
		return log_coded_err(-ESRCH, "E301",
				     "give the number that ps shows outside the container",
				     "pid %d is not visible here; %u containers have a process "
				     "with that number",
				     pid, search.found);
	return log_coded_err(-ESRCH, "E301", command_other("ls"), "no process %d", pid);
}

static int no_permission(const struct target *t, int err)
{
	const char *fix =
		geteuid()
			? command_as_root()
			: "give this container the capability (docker, podman: --cap-add=SYS_PTRACE)";

	return log_coded_err(err, "E401", fix,
			     "not allowed to look into process %d (%s): need cap_sys_ptrace",
			     t->pid, t->comm);
}

static bool same_namespace(pid_t pid, const char *name, bool *known)
{
	_cleanup_free_ char *ours = NULL, *theirs = NULL;

	*known =
		proc_readlink(getpid(), name, &ours) == 0 && proc_readlink(pid, name, &theirs) == 0;
	return *known && strcmp(ours, theirs) == 0;
}

static void read_namespaces(struct target *t)
{
	struct buf status = {0};
	pid_t outer = t->pid, inner = t->pid;
	bool known = false;

	if (proc_read(t->pid, "status", &status) == 0)
		t->other_pid_ns = proc_nspid_parse(status.data, &outer, &inner) > 1;
	buf_release(&status);
	t->ns_pid = inner;
	if (!same_namespace(t->pid, "ns/pid", &known) && known)
		t->other_pid_ns = true;
	t->other_mnt_ns = !same_namespace(t->pid, "ns/mnt", &known) && known;
	_cleanup_free_ char *root = NULL;

	if (proc_readlink(target_task(t), "root", &root) == 0 && strcmp(root, "/") != 0) {
		t->chrooted = true;
		if (!t->other_mnt_ns)
			t->root = take_ptr(root);
	}
}

static int read_exe(struct target *t)
{
	const size_t cut = sizeof(DELETED_SUFFIX) - 1;
	char path[64];
	struct stat st;
	int err = proc_readlink(target_task(t), "exe", &t->exe);

	if (err)
		return err;
	size_t len = strlen(t->exe);

	if (len > cut && strcmp(t->exe + len - cut, DELETED_SUFFIX) == 0) {
		t->exe[len - cut] = '\0';
		t->exe_deleted = true;
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", target_task(t));
	if (timed_stat(path, target_limit_ms(t), &st) == 0) {
		t->exe_dev = st.st_dev;
		t->exe_inode = st.st_ino;
		if (st.st_nlink > 0 && t->exe_deleted) /* a live file whose name ends like that */
			log_debug("executable '%s' has a name still", t->exe);
	}
	return 0;
}

static int read_identity(struct target *t)
{
	struct proc_stat st;
	int err = target_task_open(t);

	if (!err)
		err = proc_stat_read(t->pid, &st);
	if (err == -ESRCH)
		return no_such_process(t->pid);
	if (err)
		return log_err(err, "cannot read /proc/%d/stat", t->pid);
	t->start_time_ticks = st.start_ticks;
	memcpy(t->comm, st.comm, sizeof(t->comm));
	if (st.state != 'Z' && st.state != 'X') {
		t->start_stack = st.start_stack;
		return 0;
	}
	if (!target_task_next(t))
		return log_coded_err(
			-ESRCH, "E305", NULL,
			"process %d (%s) has ended and waits for its parent (state %c)", t->pid,
			t->comm, st.state);
	log_info("the main thread of %d (%s) has ended: looking through thread %d", t->pid, t->comm,
		 target_task(t));
	if (!proc_stat_read(target_task(t), &st))
		t->start_stack = st.start_stack;
	return 0;
}

static int read_maps(struct target *t, struct proc_maps *out)
{
	int64_t from = monotonic_ns();
	int err = proc_maps_read(target_task(t), out);

	t->maps_at_ns = monotonic_ns();
	t->maps_took_ns = t->maps_at_ns - from;
	return err;
}

static int read_image(struct target *t)
{
	int err = read_maps(t, &t->maps);

	if (err == -EACCES || err == -EPERM)
		return no_permission(t, err);
	if (err)
		return log_err(err, "cannot read /proc/%d/maps", t->pid);
	err = read_exe(t);
	if (err == -EACCES || err == -EPERM)
		return no_permission(t, err);
	if (err && err != -ESRCH)
		return log_err(err, "cannot read /proc/%d/exe", t->pid);
	if (err || t->maps.count == 0) {
		if (!target_is_alive(t))
			return log_coded_err(-ESRCH, "E301", NULL, "process %d (%s) has ended",
					     t->pid, t->comm);
		return log_coded_err(-ESRCH, "E301", "name a process that runs a program",
				     "%d (%s) is a kernel thread: it has no memory of its own",
				     t->pid, t->comm);
	}
	/* maps needs less than reading memory does (Yama, a container without SYS_PTRACE): find out now. */
	char byte;

	err = target_read(t, t->maps.items[0].start, &byte, 1);
	return err == -EPERM || err == -EACCES ? no_permission(t, err) : 0;
}

int target_open(pid_t pid, struct target **out)
{
	_cleanup_(target_freep) struct target *t = calloc(1, sizeof(*t));

	if (!t)
		return log_err(-ENOMEM, "cannot open process %d", pid);
	t->pid = pid;
	int err = target_reads_new(t);

	if (!err)
		err = read_identity(t);

	if (err)
		return err;
	read_namespaces(t);
	err = read_image(t);
	if (err)
		return err;
	err = target_objects_update(t);
	if (err)
		return log_err(err, "cannot list the files of process %d", pid);
	*out = take_ptr(t);
	return 0;
}

void target_free(struct target *t)
{
	if (!t)
		return;
	target_objects_release(t);
	target_task_close(t);
	proc_maps_release(&t->maps);
	free(t->blocked);
	free(t->py_row);
	free(t->root);
	free(t->exe);
	free(t);
}

/* The stat of a thread that has the memory. Returns: false when the process has ended. */
static bool read_task_stat(const struct target *t, struct proc_stat *st)
{
	if (!target_is_alive(t))
		return false;
	if (proc_stat_read(target_task(t), st) == 0 && st->state != 'Z' && st->state != 'X')
		return true;
	return target_task_next(t) && proc_stat_read(target_task(t), st) == 0;
}

bool target_same_image(const struct target *t)
{
	struct proc_stat ps;
	struct stat st;
	char path[64];

	if (!read_task_stat(t, &ps))
		return false;
	/*
	 * Compare the stack, because running the same file again leaves dev:inode equal, and mappings prove nothing:
	 * a program may make lower ones.
	 */
	if (t->start_stack && ps.start_stack && t->start_stack != ps.start_stack)
		return false;
	if (!t->exe_inode)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/exe", target_task(t));
	int err = timed_stat(path, target_limit_ms(t), &st);

	if (err)
		return err != -ENOENT && err != -ESRCH; /* on its way out: the memory is gone */
	return st.st_dev == t->exe_dev && st.st_ino == t->exe_inode;
}

bool target_maps_due(const struct target *t)
{
	return monotonic_ns() - t->maps_at_ns >= t->maps_took_ns * MAPS_SHARE;
}

int target_refresh_maps(struct target *t)
{
	struct proc_maps now = {0};
	int err = read_maps(t, &now);

	if ((err == -ESRCH || (!err && !now.count)) && target_task_next(t)) {
		proc_maps_release(&now);
		err = read_maps(t, &now);
	}
	if (err)
		return err;
	struct proc_maps old = t->maps;

	t->maps = now;
	err = target_objects_update(t);
	if (err) { /* nothing points into the new maps, since the update failed first */
		t->maps = old;
		proc_maps_release(&now);
		return err;
	}
	proc_maps_release(&old);
	return 0;
}

int target_rss(const struct target *t, uint64_t *bytes)
{
	struct buf b = {0};
	unsigned long long pages = 0;
	int err = proc_read(target_task(t), "statm", &b);

	if (!err && sscanf(b.data, "%*u %llu", &pages) != 1) /* size resident shared ... */
		err = -ESRCH;
	buf_release(&b);
	if (!err)
		*bytes = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return err;
}
