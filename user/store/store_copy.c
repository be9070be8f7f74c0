/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A recorder that was killed in the middle of a commit leaves a journal, and the file is whole again only
 * after SQLite has played it back. A reader must not write to the file, and often cannot; so it plays
 * the journal back into a private copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/store_priv.h"

#define COPY_CHUNK ((size_t)16 << 20)

/* ---- signals: one that ends us must not leave a copy of a user's data on disk ---- */

static void hold_signals(struct store_copy *c)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action;
	sigset_t blocked;

	sigemptyset(&c->held);
	(void)sigprocmask(SIG_BLOCK, NULL, &blocked);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		if (!sigaction(ending[i], NULL, &action) && action.sa_handler != SIG_IGN &&
		    !sigismember(&blocked, ending[i]))
			sigaddset(&c->held, ending[i]);
	}
	(void)sigprocmask(SIG_BLOCK, &c->held, NULL);
}

static bool is_signalled(const struct store_copy *c)
{
	sigset_t pending;

	if (sigpending(&pending))
		return false;
	return !sigandset(&pending, &pending, &c->held) && !sigisemptyset(&pending);
}

/* ---- copying ---- */

static int copy_extent(const struct store_copy *c, int from, int to, off_t at, off_t end)
{
	if (lseek(to, at, SEEK_SET) < 0)
		return -errno;
	while (at < end) {
		size_t left = (size_t)(end - at);
		ssize_t n = sendfile(to, from, &at, left < COPY_CHUNK ? left : COPY_CHUNK);

		if (is_signalled(c))
			return -EINTR;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!n) /* cut off meanwhile */
			return 0;
	}
	return 0;
}

/* Preserve holes, because an untrusted file may be almost entirely sparse. */
static int copy_fd(const struct store_copy *c, int from, int to)
{
	off_t at = 0, hole;
	struct stat st;
	int err = 0;

	if (fstat(from, &st) || ftruncate(to, st.st_size))
		return -errno;
	while (!err && at < st.st_size) {
		at = lseek(from, at, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			return 0;
		if (at < 0) /* a file system that does not tell */
			return copy_extent(c, from, to, 0, st.st_size);
		hole = lseek(from, at, SEEK_HOLE);
		if (hole < 0)
			hole = st.st_size;
		err = copy_extent(c, from, to, at, hole);
		at = hole;
	}
	return err;
}

static int copy_to(const struct store_copy *c, int from, const char *name)
{
	_cleanup_close_ int to =
		open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	return to < 0 ? -errno : copy_fd(c, from, to);
}

/* ---- what is copied ---- */

struct parts { /* descriptors, -1: not there */
	int file, journal;
};

static void parts_close(struct parts *p)
{
	if (p->file >= 0)
		close(p->file);
	if (p->journal >= 0)
		close(p->journal);
}

static int cannot_copy(const char *path, const char *tmp, int err)
{
	return log_coded_err(
		err, "E317", "set TMPDIR to a directory with room for a copy",
		"%s was cut off while it was written, and cannot be copied to %s to repair: %s",
		path, tmp, strerror(-err));
}

/* Returns: a descriptor; -ENOENT; else logged. */
static int open_part(const char *path, const char *name, const char *tmp)
{
	_cleanup_close_ int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && (errno == EACCES || errno == EPERM))
		return log_coded_err(
			-EACCES, "E411", "read it as its owner, or give it to you with chown",
			"%s was cut off while it was written, and not permitted to read %s", path,
			name);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st))
		return cannot_copy(path, tmp, -errno);
	if (!S_ISREG(st.st_mode))
		return cannot_copy(path, tmp, -EINVAL);
	return take_fd(&fd);
}

static int open_parts(const char *path, const char *file, const char *tmp, struct parts *p)
{
	char journal[PATH_MAX];

	snprintf(journal, sizeof(journal), "%s-journal", file);
	p->journal = open_part(path, journal, tmp);
	if (p->journal < 0 && p->journal != -ENOENT)
		return p->journal;
	p->file = open_part(path, file, tmp);
	if (p->file == -ENOENT)
		return cannot_copy(path, tmp, -ENOENT);
	return p->file < 0 ? p->file : 0;
}

static int check_room(const char *dir, const struct parts *p)
{
	uint64_t need = store_data_bytes(p->file);
	struct statvfs fs;

	if (p->journal >= 0)
		need += store_data_bytes(p->journal);
	if (statvfs(dir, &fs))
		return -errno;
	return need / fs.f_frsize >= fs.f_bavail ? -ENOSPC : 0;
}

static int copy_parts(const struct store_copy *c, const struct parts *p)
{
	char journal[PATH_MAX];
	int err = check_room(c->dir, p);

	/* The journal first: if the owner repairs the file meanwhile, playing it back again changes nothing. */
	if (!err && p->journal >= 0) {
		snprintf(journal, sizeof(journal), "%s-journal", c->file);
		err = copy_to(c, p->journal, journal);
	}
	return err ? err : copy_to(c, p->file, c->file);
}

/* ---- the copy ---- */

static char *name_in(const char *dir, const char *name)
{
	struct buf b = {0};

	if (buf_printf(&b, "%s/%s", dir, name))
		buf_release(&b);
	return b.data;
}

void store_copy_remove(struct store_copy *c)
{
	char journal[PATH_MAX];

	if (c->file) {
		snprintf(journal, sizeof(journal), "%s-journal", c->file);
		(void)unlink(journal);
		(void)unlink(c->file);
	}
	if (c->dir)
		(void)rmdir(c->dir);
	free(c->file);
	free(c->dir);
	c->file = c->dir = NULL;
	(void)sigprocmask(SIG_UNBLOCK, &c->held, NULL);
}

static int make_directory(struct store_copy *c, const char *tmp)
{
	char *dir = name_in(tmp, "tmbpf-XXXXXX");
	int err;

	if (!dir)
		return -ENOMEM;
	if (!mkdtemp(dir)) {
		err = -errno;
		free(dir);
		return err;
	}
	c->dir = dir;
	c->file = name_in(dir, "copy" STORE_SUFFIX);
	return c->file ? 0 : -ENOMEM;
}

int store_copy_make(const char *path, const char *file, struct store_copy *c)
{
	_cleanup_(parts_close) struct parts parts = {-1, -1};
	const char *tmp = getenv("TMPDIR");
	int err;

	tmp = tmp && *tmp == '/' ? tmp : "/tmp";
	*c = (struct store_copy){0};
	err = open_parts(path, file, tmp, &parts);
	if (err)
		return err;
	hold_signals(c);
	err = make_directory(c, tmp);
	if (!err)
		err = copy_parts(c, &parts);
	if (!err)
		return 0;
	store_copy_remove(c);
	return cannot_copy(path, tmp, err);
}
