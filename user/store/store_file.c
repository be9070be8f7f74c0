/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of a series as an object of the file system: made without ever following a link or touching
 * what is there, locked by its one recorder, recognised by its first bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/caller.h"
#include "base/command.h"
#include "base/log.h"
#include "base/text.h"
#include "store/store_priv.h"

/*
 * The recorder's lock: one byte far after those that SQLite locks (0x40000000 on), of the open file
 * description, so that closing other descriptors of the file does not drop it, and a SIGKILL does.
 */
#define LOCK_BYTE ((off_t)1 << 62)

static struct flock recorder_lock(void)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_BYTE, .l_len = 1};
}

int store_lock(int fd)
{
	struct flock lock = recorder_lock();

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EAGAIN || errno == EACCES ? -EBUSY : -errno;
}

bool store_is_locked(int fd)
{
	struct flock lock = recorder_lock();

	return !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

static uint32_t big_endian32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t store_schema_of(const void *head)
{
	return big_endian32((const unsigned char *)head + 60);
}

enum store_format store_format_of(const void *head, size_t len)
{
	static const char magic[16] = "SQLite format 3"; /* with its NUL */
	const unsigned char *p = head;

	if (!len)
		return STORE_FORMAT_EMPTY;
	if (len < STORE_HEAD_BYTES || memcmp(p, magic, sizeof(magic)) != 0)
		return STORE_FORMAT_FOREIGN;
	if (big_endian32(p + 68) != STORE_APPLICATION_ID)
		return STORE_FORMAT_SQLITE;
	if (store_schema_of(head) != STORE_SCHEMA_VERSION)
		return STORE_FORMAT_NEWER;
	/* Write and read version: 1 rollback journal, 2 write-ahead log. */
	return p[18] == 1 && p[19] == 1 ? STORE_FORMAT_OURS : STORE_FORMAT_WAL;
}

#define EXTENTS_MAX 65536 /* what a recorder writes is one */

uint64_t store_data_bytes(int fd)
{
	uint64_t sum = 0;
	off_t end = 0;
	struct stat st;

	for (int i = 0; i < EXTENTS_MAX; i++) {
		off_t start = lseek(fd, end, SEEK_DATA);

		if (start < 0 && errno == ENXIO) /* only a hole after it */
			return sum;
		end = start < 0 ? start : lseek(fd, start, SEEK_HOLE);
		if (end < 0) /* a file system that does not tell */
			return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
		sum += (uint64_t)(end - start);
	}
	return sum;
}

static int cannot_create(const char *path, int err)
{
	const char *fix = NULL;

	if (err == -ENOENT || err == -ENOTDIR)
		fix = "make the directory first, or give another with -o";
	else if (err == -EACCES || err == -EPERM || err == -EROFS)
		fix = "record to a directory that you may write to, with -o";
	if (err == -ENOSPC || err == -EDQUOT)
		return log_coded_err(-ENOSPC, "E704",
				     "free space, or record to another place with -o",
				     "cannot create %s: no space left", path);
	return log_coded_err(err, "E703", fix, "cannot create %s: %s", path, strerror(-err));
}

int store_file_resolve(const char *path, char **out)
{
	_cleanup_(buf_release) struct buf b = {0};
	_cleanup_free_ char *dir = NULL, *real = NULL;
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	if (!dir)
		return -ENOMEM;
	real = realpath(dir, NULL);
	if (!real)
		return cannot_create(path, -errno);
	if (buf_printf(&b, "%s/%s", strcmp(real, "/") ? real : "", name))
		return -ENOMEM;
	*out = take_ptr(b.data);
	return 0;
}

static int file_is_busy(const char *path)
{
	return log_coded_err(-EBUSY, "E705", "record to another file with -o",
			     "another tmbpf is recording to %s", path);
}

/*
 * An existing path must be a file, is replaced only with force, and must not be in use by a
 * recorder.
 * Returns: 0 and *fd, open and locked (or -1 when nothing is there); else logged.
 */
static int look_at_old(const char *path, bool force, int *fd)
{
	_cleanup_close_ int old = -1;
	struct stat st;
	int err;

	*fd = -1;
	if (lstat(path, &st))
		return errno == ENOENT ? 0 : cannot_create(path, -errno);
	if (S_ISDIR(st.st_mode))
		return log_coded_err(-EISDIR, "E703", NULL, "cannot create %s: it is a directory",
				     path);
	if (S_ISLNK(st.st_mode))
		return log_coded_err(-ELOOP, "E703", "give the path that it points to",
				     "cannot create %s: it is a symbolic link", path);
	if (!S_ISREG(st.st_mode))
		return log_coded_err(-EEXIST, "E703", NULL,
				     "cannot create %s: it is no regular file", path);
	/* Writable: a lock for writing needs it. */
	old = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (old < 0)
		return cannot_create(path, -errno);
	err = store_lock(old);
	if (err == -EBUSY)
		return file_is_busy(path);
	if (err)
		return cannot_create(path, err);
	if (!force)
		return log_coded_err(-EEXIST, "E702", command_with("--force", NULL), "%s exists",
				     path);
	*fd = take_fd(&old);
	return 0;
}

int store_check(const char *path, const struct store_opts *opts)
{
	_cleanup_free_ char *file = NULL;
	_cleanup_close_ int old = -1;
	char *slash;
	int err = store_file_resolve(path, &file);

	if (!err)
		err = look_at_old(file, opts->force, &old);
	if (err)
		return err;
	slash = strrchr(file, '/');
	if (!slash[1])
		return log_coded_err(-EISDIR, "E703", NULL, "cannot create %s: it is a directory",
				     path);
	*slash = '\0';
	if (faccessat(AT_FDCWD, *file ? file : "/", W_OK | X_OK, AT_EACCESS))
		return cannot_create(path, -errno);
	return 0;
}

bool store_file_is(const char *file, int fd)
{
	struct stat st, now;

	return !fstat(fd, &st) && !lstat(file, &now) && st.st_ino == now.st_ino &&
	       st.st_dev == now.st_dev;
}

int store_file_remove(const char *file, int fd)
{
	if (!store_file_is(file, fd))
		return -EEXIST;
	return unlink(file) ? -errno : 0;
}

static void journal_name(const char *file, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s-journal", file);
}

static int journal_is_taken(const char *journal)
{
	return log_coded_err(-EEXIST, "E703",
			     "record to a directory in which only you may create files, with -o",
			     "cannot create %s: another user put a file there", journal);
}

/*
 * The journal is made before the file and stays until the recording ends (journal_mode=TRUNCATE): in a
 * directory like /tmp any local user could take its name between two snapshots, and stop the recording. One
 * that an earlier recorder left would be played back into the new file.
 */
static int make_journal(const char *file, int *out)
{
	_cleanup_close_ int fd = -1;
	char journal[PATH_MAX];

	journal_name(file, journal);
	if (unlink(journal) && errno != ENOENT)
		return errno == EPERM || errno == EACCES ? journal_is_taken(journal)
							 : cannot_create(journal, -errno);
	fd = open(journal, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno == EEXIST ? journal_is_taken(journal) : cannot_create(journal, -errno);
	if (fchmod(fd, 0600) || caller_give(fd)) {
		(void)store_file_remove(journal, fd);
		return cannot_create(journal, -errno);
	}
	*out = take_fd(&fd);
	return 0;
}

void store_file_remove_journal(const char *file, int fd)
{
	char journal[PATH_MAX];
	struct stat st;

	journal_name(file, journal);
	/*
	 * Keep a journal with contents, because it belongs to a write that was cut off and the next
	 * reader needs it.
	 */
	if (!fstat(fd, &st) && !st.st_size)
		(void)store_file_remove(journal, fd);
}

static int make_file(const char *path, int old, int *out)
{
	_cleanup_close_ int made = -1;
	int err = old < 0 ? 0 : store_file_remove(path, old);

	if (err)
		return cannot_create(path, err);
	made = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (made < 0)
		return cannot_create(path, -errno);
	err = store_lock(made);
	if (err == -EBUSY)
		return file_is_busy(path);
	/* A file system without locks: then there is no protection, but there is a recording. */
	if (err)
		log_debug("%s: no lock: %s", path, strerror(-err));
	err = fchmod(made, 0600) ? -errno : caller_give(made);
	if (err) {
		(void)store_file_remove(path, made);
		return cannot_create(path, err);
	}
	*out = take_fd(&made);
	return 0;
}

int store_file_create(const char *path, bool force, int *fd, int *journal)
{
	_cleanup_close_ int old = -1, made = -1;
	int err = look_at_old(path, force, &old);

	if (!err)
		err = make_journal(path, &made);
	if (err)
		return err;
	err = make_file(path, old, fd);
	if (err)
		store_file_remove_journal(path, made);
	else
		*journal = take_fd(&made);
	return err;
}

int store_path_in(const char *dir, int pid, int64_t time_ns, char **path)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t len = strlen(dir);
	char text[32];

	if (!text_format_time(text, sizeof(text), time_ns, TEXT_UTC_NAME))
		return -EINVAL;
	if (buf_printf(&b, "%s%stmbpf-%d-%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", pid,
		       text, STORE_SUFFIX))
		return -ENOMEM;
	*path = take_ptr(b.data);
	return 0;
}
