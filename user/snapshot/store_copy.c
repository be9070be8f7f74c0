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

#include "base/buf.h"
#include "base/log.h"
#include "snapshot/store_priv.h"

#define COPY_CHUNK ((size_t)16 << 20)

static int copy_fd(int from, int to)
{
	for (;;) {
		ssize_t n = sendfile(to, from, NULL, COPY_CHUNK);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : 0;
	}
}

static int copy_file(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_close_ int out = -1;
	struct stat st;

	if (in < 0 || fstat(in, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	return out < 0 ? -errno : copy_fd(in, out);
}

static char *name_in(const char *dir, const char *name)
{
	struct buf b = {0};

	if (buf_printf(&b, "%s/%s", dir, name))
		buf_release(&b);
	return b.data;
}

void store_copy_remove(char *dir, char *copy)
{
	char journal[PATH_MAX];

	if (copy) {
		snprintf(journal, sizeof(journal), "%s-journal", copy);
		(void)unlink(journal);
		(void)unlink(copy);
	}
	if (dir)
		(void)rmdir(dir);
	free(copy);
	free(dir);
}

int store_copy_make(const char *path, const char *file, char **dir, char **copy)
{
	const char *tmp = getenv("TMPDIR");
	char *made = name_in(tmp && *tmp == '/' ? tmp : "/tmp", "tmbpf-XXXXXX");
	char *to = NULL, from_journal[PATH_MAX], to_journal[PATH_MAX];
	int err;

	if (!made)
		return -ENOMEM;
	if (!mkdtemp(made)) {
		err = -errno;
		log_coded_err(
			err, "E317", "set TMPDIR to a directory with room for a copy",
			"%s was cut off while it was written, and a copy to repair cannot be made in %s: %s",
			path, made, strerror(-err));
		free(made);
		return err;
	}
	to = name_in(made, "copy" STORE_SUFFIX);
	if (!to) {
		store_copy_remove(made, NULL);
		return -ENOMEM;
	}
	snprintf(from_journal, sizeof(from_journal), "%s-journal", file);
	snprintf(to_journal, sizeof(to_journal), "%s-journal", to);
	/* The journal first: if the owner repairs the file meanwhile, playing it back again changes nothing. */
	err = copy_file(from_journal, to_journal);
	if (!err || err == -ENOENT)
		err = copy_file(file, to);
	if (err) {
		log_coded_err(
			err, "E317", "set TMPDIR to a directory with room for a copy",
			"%s was cut off while it was written, and cannot be copied to %s to repair: %s",
			path, made, strerror(-err));
		store_copy_remove(made, to);
		return err;
	}
	*dir = made;
	*copy = to;
	return 0;
}
