/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and parsing the small files of /proc/PID. A process that is gone gives -ESRCH. */
#include "target/proc_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/timed_io.h"

#define PROC_FILE_MAX ((size_t)4 << 20) /* environ is the largest: bounded by ARG_MAX */

static int process_gone(int err)
{
	return err == -ENOENT ? -ESRCH : err;
}

int proc_read(pid_t pid, const char *name, struct buf *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	/*
	 * Read these with a time limit, because they are in the memory of the process, which can block a
	 * reader. The kernel keeps the rest.
	 */
	if (!strcmp(name, "cmdline") || !strcmp(name, "environ")) {
		int err = timed_read_file(path, PROC_FILE_MAX, TIMED_IO_MS, out);

		return process_gone(err ? err : buf_append_str(out, ""));
	}
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return process_gone(-errno);
	int err = buf_read_fd(out, fd, PROC_FILE_MAX);

	if (!err)
		err = buf_append_str(out, ""); /* make it a string also when empty */
	return process_gone(err);
}

int proc_readlink(pid_t pid, const char *name, char **out)
{
	char path[64], target[PATH_MAX];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0)
		return process_gone(-errno);
	target[n] = '\0';
	char *copy = strdup(target);

	if (!copy)
		return -ENOMEM;
	*out = copy;
	return 0;
}

int proc_stat_parse(const char *text, struct proc_stat *out)
{
	struct proc_stat st = {0};
	const char *open_paren = strchr(text, '(');
	const char *close_paren = strrchr(text, ')');

	if (!open_paren || !close_paren || close_paren < open_paren || close_paren[1] != ' ' ||
	    close_paren[2] == '\0')
		return -EBADMSG;
	size_t len = (size_t)(close_paren - open_paren) - 1;

	memcpy(st.comm, open_paren + 1, len < sizeof(st.comm) - 1 ? len : sizeof(st.comm) - 1);
	st.state = close_paren[2];
	const char *p = close_paren + 3;

	for (int field = 4; field <= 28; field++) {
		char *end;

		errno = 0;
		uint64_t v = strtoull(p, &end, 10); /* some are negative: not ones we use */
		if (end == p)
			return -EBADMSG;
		if (field == 4)
			st.ppid = (pid_t)v;
		else if (field == 22)
			st.start_ticks = v;
		else if (field == 28)
			st.start_stack = v;
		p = end;
	}
	*out = st;
	return 0;
}

int proc_stat_read(pid_t pid, struct proc_stat *out)
{
	struct buf b = {0};
	int err = proc_read(pid, "stat", &b);

	if (!err)
		err = proc_stat_parse(b.data, out);
	buf_release(&b);
	return err;
}

unsigned proc_nspid_parse(const char *status, pid_t *outer, pid_t *inner)
{
	static const char key[] = "\nNSpid:"; /* a name cannot hold a newline: status escapes it */
	const char *p = strstr(status, key);
	unsigned count = 0;

	if (!p)
		return 0;
	for (p += sizeof(key) - 1; *p == '\t' || *p == ' ';) {
		char *end;
		long v = strtol(p, &end, 10);

		if (end == p)
			break;
		if (count++ == 0)
			*outer = (pid_t)v;
		*inner = (pid_t)v;
		p = end;
	}
	return count;
}

bool proc_for_each(bool (*fn)(pid_t pid, void *ctx), void *ctx)
{
	DIR *dir = opendir("/proc");
	bool stopped = false;

	if (!dir)
		return false;
	for (struct dirent *e; !stopped && (e = readdir(dir));) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (end != e->d_name && *end == '\0' && pid > 0 && pid <= INT_MAX)
			stopped = fn((pid_t)pid, ctx);
	}
	closedir(dir);
	return stopped;
}
