/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
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

#define GROUPS_MAX 256

struct rights {
	uid_t uid;
	gid_t gid, groups[GROUPS_MAX];
	int group_count;
};

static bool caller_ids(unsigned *uid, unsigned *gid)
{
	return geteuid() == 0 && env_id("SUDO_UID", uid) && env_id("SUDO_GID", gid);
}

int caller_give(int fd)
{
	unsigned uid, gid;

	if (!caller_ids(&uid, &gid))
		return 0;
	return fchown(fd, uid, gid) ? -errno : 0;
}

static int rights_of_caller(unsigned uid, unsigned gid, struct rights *r)
{
	const struct passwd *pw = getpwuid(uid);

	*r = (struct rights){.uid = uid, .gid = gid, .groups = {gid}, .group_count = GROUPS_MAX};
	if (!pw)
		r->group_count = 1;
	else if (getgrouplist(pw->pw_name, gid, r->groups, &r->group_count) < 0)
		r->group_count = GROUPS_MAX; /* the first of them */
	return 0;
}

static int rights_of_process(struct rights *r)
{
	r->uid = geteuid();
	r->gid = getegid();
	r->group_count = getgroups(GROUPS_MAX, r->groups);
	return r->group_count < 0 ? -errno : 0;
}

/* Change groups first on the way down and last on the way up, because only root can. */
static int rights_drop(const struct rights *r)
{
	if (setgroups((size_t)r->group_count, r->groups) || setegid(r->gid) || seteuid(r->uid))
		return -errno;
	return 0;
}

static void rights_restore(const struct rights *r)
{
	/* Going on with unknown rights would be worse than to end. */
	if (seteuid(r->uid) || setegid(r->gid) || setgroups((size_t)r->group_count, r->groups))
		abort();
}

/*
 * Open through the first descriptor, which only names the file, so that the checked file is the one
 * opened.
 */
static int open_regular(const char *path)
{
	_cleanup_close_ int named = open(path, O_PATH | O_CLOEXEC);
	char self[64];
	struct stat st;
	int fd;

	if (named < 0 || fstat(named, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", named);
	fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int caller_open_regular(const char *path)
{
	struct rights ours, theirs;
	unsigned uid, gid;
	int fd, err;

	if (!caller_ids(&uid, &gid) || !uid)
		return open_regular(path);
	err = rights_of_process(&ours);
	if (!err)
		err = rights_of_caller(uid, gid, &theirs);
	if (err)
		return err;
	err = rights_drop(&theirs);
	fd = err ? err : open_regular(path);
	rights_restore(&ours);
	return fd;
}
