/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control group whose memory limit ends a process, and how close it is. Versions 1 and 2: cgroups(7). */
#ifndef TM_TARGET_MEMORY_GROUP_H
#define TM_TARGET_MEMORY_GROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct memory_group {
	char dir[PATH_MAX];   /* of the group with the lowest limit; "" without a limit */
	uint64_t limit_bytes; /* 0: none, or not to be seen */
	bool v2;
};

/** The lowest memory limit of its control group and those above it. */
void memory_group_find(pid_t pid, struct memory_group *out);
/** Is three quarters of the limit in use, files that can be dropped not counted? False without a limit. */
bool memory_group_is_near_limit(const struct memory_group *g);

#endif
