/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sites/cache_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"

#define SUM_LEN 8

/* Catches torn and damaged files, not forgers (the owner check does). */
static uint64_t file_checksum(const void *data, size_t len)
{
	return hash_bytes(HASH_BYTES_START, data, len);
}

static int dir_path(char *out, size_t len)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int n;

	if (xdg && xdg[0] == '/')
		n = snprintf(out, len, "%s/tmbpf", xdg);
	else if (geteuid() == 0)
		n = snprintf(out, len, "/var/cache/tmbpf");
	else if (home && home[0] == '/')
		n = snprintf(out, len, "%s/.cache/tmbpf", home);
	else
		return -ENOENT;
	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* The directory, made when absent (its parent too). Returns: descriptor or -errno. */
static int dir_open(bool make)
{
	char path[PATH_MAX], *slash;
	int fd, err = dir_path(path, sizeof(path));

	if (err)
		return err;
	if (make) {
		slash = strrchr(path, '/');
		*slash = '\0';
		mkdir(path, 0700); /* the open below reports a failure */
		*slash = '/';
		mkdir(path, 0700);
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_ours(fd)) {
		close(fd);
		return -EPERM;
	}
	return fd;
}

static int file_name(const struct text_id *id, const char *kind, char *out, size_t len)
{
	int n = snprintf(out, len, "%s.%s", id->hex, kind);

	return n < 0 || (size_t)n >= len ? -ENAMETOOLONG : 0;
}

int cache_file_read(const struct text_id *id, const char *kind, struct buf *out)
{
	_cleanup_close_ int dir = -1, fd = -1;
	struct buf b = {0};
	uint64_t sum = 0;
	char name[NAME_MAX];
	int err = file_name(id, kind, name, sizeof(name));

	if (err)
		return err;
	dir = dir_open(false);
	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_ours(fd))
		return -EPERM;
	err = buf_read_fd(&b, fd, CACHE_FILE_MAX);
	if (!err && b.len <= SUM_LEN)
		err = -EBADMSG;
	if (!err) {
		memcpy(&sum, b.data + b.len - SUM_LEN, SUM_LEN);
		b.len -= SUM_LEN;
	}
	if (!err && file_checksum(b.data, b.len) != sum)
		err = -EBADMSG;
	if (err)
		buf_release(&b);
	else
		*out = b;
	return err;
}

static int write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

struct oldest {
	char name[NAME_MAX + 1];
	struct timespec time;
	unsigned files;
};

static void take_older(int dir, const char *name, struct oldest *o)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
		return;
	if (!o->files++ || st.st_mtim.tv_sec < o->time.tv_sec ||
	    (st.st_mtim.tv_sec == o->time.tv_sec && st.st_mtim.tv_nsec < o->time.tv_nsec)) {
		o->time = st.st_mtim;
		snprintf(o->name, sizeof(o->name), "%s", name);
	}
}

/* Make room for one more. */
static void drop_oldest(int dir_fd)
{
	struct oldest o = {.files = 0};
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		cleanup_closep(&copy);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));)
		take_older(dir_fd, e->d_name, &o);
	closedir(dir);
	if (o.files >= CACHE_FILES_MAX)
		unlinkat(dir_fd, o.name, 0);
}

int cache_file_write(const struct text_id *id, const char *kind, const struct buf *data)
{
	_cleanup_close_ int dir = -1, fd = -1;
	uint64_t sum = file_checksum(data->data, data->len);
	char name[NAME_MAX], tmp[64];
	int err = file_name(id, kind, name, sizeof(name));

	if (err)
		return err;
	if (data->len + SUM_LEN > CACHE_FILE_MAX)
		return -EFBIG;
	dir = dir_open(true);
	if (dir < 0)
		return dir;
	snprintf(tmp, sizeof(tmp), ".new.%ld", (long)getpid());
	unlinkat(dir, tmp, 0); /* left by a run with our pid that was killed */
	fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, data->data, data->len);
	if (!err)
		err = write_all(fd, &sum, sizeof(sum));
	if (!err)
		drop_oldest(dir);
	if (!err && renameat(dir, tmp, dir, name) < 0)
		err = -errno;
	if (err)
		unlinkat(dir, tmp, 0);
	return err;
}
