/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/out_file.h"
#include "base/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/caller.h"
#include "base/log.h"

#define TRIES 100 /* for a name that is taken by no file */

struct out_file {
	const char *path; /* as the caller named it; borrowed */
	char *name;	  /* its last component; owned */
	char tmp[64];	  /* what it is called until then; "": it has no name */
	int dir;	  /* where */
	FILE *f;	  /* stdout is not ours to close */
	bool force;
};

static void out_file_free(struct out_file *o)
{
	if (o->f && o->f != stdout)
		fclose(o->f);
	if (o->tmp[0] && o->dir >= 0)
		(void)unlinkat(o->dir, o->tmp, 0);
	if (o->dir >= 0)
		close(o->dir);
	free(o->name);
	free(o);
}

DEFINE_CLEANUP(struct out_file *, out_file_free);

static int report_failure(const char *path, int err)
{
	if (!strcmp(path, "-"))
		return err == -EPIPE ? err
				     : log_coded_err(err, "E701", NULL,
						     "cannot write to stdout: %s", strerror(-err));
	switch (err) {
	case -EEXIST:
		return log_coded_err(err, "E702", command_with("--force", NULL), "%s exists", path);
	case -ENOSPC:
	case -EDQUOT:
		return log_coded_err(err, "E704", "free space, or write to another place with -o",
				     "cannot write %s: no space left", path);
	case -ELOOP:
		return log_coded_err(err, "E703", "give the path that it points to",
				     "cannot write %s: it is a symbolic link", path);
	case -ENOENT:
		return log_coded_err(err, "E703",
				     "make the directory first, or give another with -o",
				     "cannot write %s: no such directory", path);
	case -EISDIR:
		return log_coded_err(err, "E703", "give the name of a file with -o",
				     "cannot write %s: it is a directory", path);
	case -ENOTSUP:
		return log_coded_err(err, "E703", "-o - writes to stdout, for > and |",
				     "cannot write %s: it is no regular file", path);
	default:
		return log_coded_err(err, "E703", NULL, "cannot write %s: %s", path,
				     strerror(-err));
	}
}

/* Open the directory once, so that the checks and the write see the same one. */
static int open_dir(struct out_file *o)
{
	const char *slash = strrchr(o->path, '/');
	size_t len = slash ? (size_t)(slash - o->path) + 1 : 0;
	_cleanup_free_ char *dir = slash ? strndup(o->path, len) : strdup(".");

	o->name = strdup(slash ? slash + 1 : o->path);
	if (!dir || !o->name)
		return -ENOMEM;
	if (!o->name[0] || !strcmp(o->name, ".") || !strcmp(o->name, ".."))
		return *o->path ? -EISDIR : -ENOENT;
	o->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return o->dir < 0 ? -errno : 0;
}

static int look_at_old(const struct out_file *o)
{
	struct stat st;

	if (fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	return o->force ? 0 : -EEXIST;
}

static int random_name(struct out_file *o)
{
	unsigned long long number;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return -EIO;
	snprintf(o->tmp, sizeof(o->tmp), ".tmbpf-%016llx.tmp", number);
	return 0;
}

/* A file without a name vanishes with us, however we end. Not every file system has them. */
static int create_temporary(struct out_file *o)
{
	int fd = openat(o->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -errno;
	for (int i = 0; i < TRIES; i++) {
		int err = random_name(o);

		if (err)
			return err;
		fd = openat(o->dir, o->tmp, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC,
			    0600);
		if (fd >= 0)
			return fd;
		o->tmp[0] = '\0'; /* not ours */
		if (errno != EEXIST)
			return -errno;
	}
	return -EEXIST;
}

static int start_file(struct out_file *o)
{
	_cleanup_close_ int fd = -1;
	int err = open_dir(o);

	if (!err)
		err = look_at_old(o);
	if (err)
		return err;
	fd = create_temporary(o);
	if (fd < 0)
		return fd == -EEXIST ? -EIO : fd;
	if (fchmod(fd, 0600))
		return -errno;
	err = caller_give(fd);
	if (err)
		return err;
	o->f = fdopen(fd, "w");
	if (!o->f)
		return -errno;
	(void)take_fd(&fd);
	return 0;
}

int out_file_open(const char *path, bool force, struct out_file **out)
{
	_cleanup_(out_file_freep) struct out_file *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	*o = (struct out_file){.path = path, .dir = -1, .force = force};
	if (!strcmp(path, "-")) {
		o->f = stdout;
	} else {
		err = start_file(o);
		if (err)
			return report_failure(path, err);
	}
	*out = take_ptr(o);
	return 0;
}

FILE *out_file_stream(struct out_file *o)
{
	return o->f;
}

/* The file without a name gets `name`, which must not exist. */
static int link_to(const struct out_file *o, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fileno(o->f));
	return linkat(AT_FDCWD, self, o->dir, name, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

/* From the temporary name to the real one, which must not exist. */
static int rename_new(struct out_file *o)
{
	if (!renameat2(o->dir, o->tmp, o->dir, o->name, RENAME_NOREPLACE)) {
		o->tmp[0] = '\0';
		return 0;
	}
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* The file system cannot: a second name, then the first one goes, when o is freed. */
	return linkat(o->dir, o->tmp, o->dir, o->name, 0) ? -errno : 0;
}

static int publish_file(struct out_file *o)
{
	int err;

	if (!o->force)
		return o->tmp[0] ? rename_new(o) : link_to(o, o->name);
	for (int i = 0; !o->tmp[0] && i < TRIES; i++) {
		err = random_name(o);
		if (!err)
			err = link_to(o, o->tmp);
		if (err)
			o->tmp[0] = '\0';
		if (err && err != -EEXIST)
			return err;
	}
	/* Check the destination again, since it may have become a link or device: those stay. */
	err = look_at_old(o);
	if (err)
		return err;
	if (renameat(o->dir, o->tmp, o->dir, o->name))
		return -errno;
	o->tmp[0] = '\0';
	return 0;
}

static int finish_file(struct out_file *o)
{
	int err;

	errno = 0;
	if (fflush(o->f) || ferror(o->f))
		return errno ? -errno : -EIO;
	if (o->f == stdout)
		return 0;
	if (fsync(fileno(o->f)) && errno != EINVAL)
		return -errno;
	err = publish_file(o);
	if (!err)
		(void)fsync(o->dir);
	return err;
}

int out_file_commit(struct out_file *o)
{
	int err = finish_file(o);

	if (err)
		(void)report_failure(o->path, err);
	out_file_free(o);
	return err;
}

int out_file_discard(struct out_file *o, int err)
{
	if (!o)
		return err;
	if (err)
		(void)report_failure(o->path, err);
	out_file_free(o);
	return err;
}
