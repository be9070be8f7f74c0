// SPDX-License-Identifier: GPL-2.0-or-later
#include "target/memory_group.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "target/proc_fs.h"

#define CGROUP_ROOT	"/sys/fs/cgroup"
#define NO_LIMIT	(1ull << 60) /* v1 writes "none" as LONG_MAX rounded down to pages */
#define NUMBER_BYTES	64
#define STAT_FILE_BYTES 8192

/* The number in a file; NO_LIMIT when there is none ("max") or no file. */
static uint64_t read_number(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[NUMBER_BYTES] = "";
	unsigned long long v;

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || !isdigit((unsigned char)*text))
		return NO_LIMIT;
	errno = 0;
	v = strtoull(text, NULL, 10);
	return errno || v > NO_LIMIT ? NO_LIMIT : v;
}

static uint64_t number_in(const char *dir, const char *name)
{
	char path[PATH_MAX + 32];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return read_number(path);
}

/* A group and all above it. `group` begins with a slash, and is cut on the way. */
static void take_lowest(struct memory_group *g, const char *root, char *group, bool v2)
{
	for (;;) {
		char dir[PATH_MAX];
		char *slash = strrchr(group, '/');
		int len = snprintf(dir, sizeof(dir), "%s%s", root, group);
		uint64_t limit =
			len < PATH_MAX ? number_in(dir, v2 ? "memory.max" : "memory.limit_in_bytes")
				       : NO_LIMIT;

		if (limit < NO_LIMIT && (!g->limit_bytes || limit < g->limit_bytes)) {
			memcpy(g->dir, dir, sizeof(g->dir));
			g->limit_bytes = limit;
			g->v2 = v2;
		}
		if (!slash)
			return;
		*slash = '\0';
	}
}

void memory_group_find(pid_t pid, struct memory_group *out)
{
	_cleanup_(buf_release) struct buf text = {0};
	char *save = NULL;

	*out = (struct memory_group){.limit_bytes = 0};
	if (proc_read(pid, "cgroup", &text))
		return;
	/* "0::/group" is version 2; "7:memory:/group" version 1. */
	for (char *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group || group[1] != '/')
			continue;
		*group++ = '\0';
		if (!controllers[1])
			take_lowest(out, CGROUP_ROOT, group, true);
		else if (!strcmp(controllers + 1, "memory"))
			take_lowest(out, CGROUP_ROOT "/memory", group, false);
	}
}

/* Page cache that the kernel drops before it kills. */
static uint64_t droppable_bytes(const struct memory_group *g)
{
	const char *key = g->v2 ? "\ninactive_file " : "\ntotal_inactive_file ";
	char path[PATH_MAX + 32], text[STAT_FILE_BYTES];
	_cleanup_close_ int fd = -1;
	const char *at;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/memory.stat", g->dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

bool memory_group_is_near_limit(const struct memory_group *g)
{
	uint64_t used, near = g->limit_bytes - g->limit_bytes / 4;

	if (!g->limit_bytes)
		return false;
	used = number_in(g->dir, g->v2 ? "memory.current" : "memory.usage_in_bytes");
	return used != NO_LIMIT && used >= near && used - near >= droppable_bytes(g);
}
