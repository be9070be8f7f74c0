/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/caller.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/units.h"

static bool env_id(const char *name, unsigned *id)
{
	const char *text = getenv(name);
	uint64_t v;

	/* The last value is no id: -1 means "leave it" to fchown(). */
	if (!text || units_parse_count(text, 0, UINT_MAX - 1, &v))
		return false;
	*id = (unsigned)v;
	return true;
}

int caller_give(int fd)
{
	unsigned uid, gid;

	if (geteuid() != 0 || !env_id("SUDO_UID", &uid) || !env_id("SUDO_GID", &gid))
		return 0;
	return fchown(fd, uid, gid) ? -errno : 0;
}
