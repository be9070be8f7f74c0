/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "target/process_info.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "target/memory_group.h"
#include "target/proc_fs.h"

#define SECOND_NS 1000000000LL

bool container_id_parse(const char *cgroup, char id[CONTAINER_ID_LEN + 1])
{
	bool found = false;

	for (const char *p = cgroup; *p;) {
		size_t n = 0;

		while (isxdigit((unsigned char)p[n]) && !isupper((unsigned char)p[n]))
			n++;
		if (n == CONTAINER_ID_LEN) {
			memcpy(id, p, n);
			id[n] = '\0';
			found = true;
		}
		p += n ? n : 1;
	}
	return found;
}

bool process_container(pid_t pid, char id[CONTAINER_ID_LEN + 1])
{
	_cleanup_(buf_release) struct buf text = {0};

	return !proc_read(pid, "cgroup", &text) && container_id_parse(text.data, id);
}

uint64_t process_memory_limit(pid_t pid)
{
	struct memory_group group;

	memory_group_find(pid, &group);
	return group.limit_bytes;
}

/* The argument after `arg`, or NULL. */
static const char *next_arg(const char *arg, const char *end)
{
	arg += strlen(arg) + 1;
	return arg < end ? arg : NULL;
}

const char *command_parse(const char *cmdline, size_t len, char *out, size_t cap)
{
	_cleanup_free_ char *copy = malloc(len + 1); /* the last argument may lack its NUL */
	const char *end, *program, *arg;

	*out = '\0';
	if (!len || !copy)
		return out;
	memcpy(copy, cmdline, len);
	copy[len] = '\0';
	end = copy + len;
	/* "/usr/bin/x", or a title that the process gave itself: "gunicorn: worker [app]" */
	program = *copy == '/' ? text_base_name(copy) : copy;
	snprintf(out, cap, "%s", program);
	if (strncmp(program, "python", 6) != 0 && strncmp(program, "pypy", 4) != 0)
		return out;
	for (arg = next_arg(copy, end); arg; arg = next_arg(arg, end)) {
		const char *module = next_arg(arg, end);

		if (!strcmp(arg, "-m")) {
			snprintf(out, cap, "%s -m %s", program, module ? module : "");
			break;
		}
		if (!strcmp(arg, "-c")) {
			snprintf(out, cap, "%s -c", program);
			break;
		}
		if (!strcmp(arg, "-X") || !strcmp(arg, "-W")) { /* takes a value */
			if (!module)
				break;
			arg = module;
		} else if (*arg != '-') {
			snprintf(out, cap, "%s %s", program, arg);
			break;
		}
	}
	return out;
}

const char *process_command(pid_t pid, char *out, size_t cap)
{
	_cleanup_(buf_release) struct buf text = {0};

	*out = '\0';
	if (proc_read(pid, "cmdline", &text))
		return out;
	return command_parse(text.data, text.len, out, cap);
}

uint64_t process_rss(pid_t pid)
{
	_cleanup_(buf_release) struct buf text = {0};
	unsigned long long pages;

	if (proc_read(pid, "statm", &text) || sscanf(text.data, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

int64_t process_start_ns(uint64_t start_ticks)
{
	int64_t ticks_per_s = sysconf(_SC_CLK_TCK);
	struct timespec now, since_boot;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &since_boot);
	return (now.tv_sec - since_boot.tv_sec) * SECOND_NS + now.tv_nsec - since_boot.tv_nsec +
	       (int64_t)(start_ticks / (uint64_t)ticks_per_s) * SECOND_NS +
	       (int64_t)(start_ticks % (uint64_t)ticks_per_s) * (SECOND_NS / ticks_per_s);
}
