/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "target/return_probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "target/proc_fs.h"

#define FIRST_MINOR 11 /* of 6.x: the first kernel with uretprobe(2) on x86-64 */
#define LAST_MINOR  13

bool return_probe_kills(const char *release, const char *status)
{
	const char *line = strstr(status, "\nSeccomp:");
	unsigned major, minor, mode;

	if (sscanf(release, "%u.%u", &major, &minor) != 2 || major != 6 || minor < FIRST_MINOR ||
	    minor > LAST_MINOR)
		return false;
	/* 0: none, 1: strict (kills as well), 2: a filter; proc_pid_status(5) */
	return !line || sscanf(line, "\nSeccomp: %u", &mode) != 1 || mode != 0;
}

bool return_probe_kills_process(pid_t pid)
{
	_cleanup_(buf_release) struct buf text = {0};
	struct utsname kernel;

	if (uname(&kernel))
		return false;
	return return_probe_kills(kernel.release, proc_read(pid, "status", &text) ? "" : text.data);
}
