// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/record_stdout.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "base/slow_out.h"
#include "trace/stop_signals.h"

#define PIECE_BYTES 65536

int record_stdout_begin(char **path)
{
	_cleanup_(buf_release) struct buf b = {0};
	const char *tmp = getenv("TMPDIR");
	size_t dir_len;

	if (isatty(STDOUT_FILENO))
		return log_coded_err(-EINVAL, "E201", "-o FILE, or send stdout to a file or a pipe",
				     "-o -: a recording is no text for a terminal");
	if (buf_printf(&b, "%s/tmbpf-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp"))
		return -ENOMEM;
	if (!mkdtemp(b.data))
		return log_coded_err(-errno, "E703",
				     "set TMPDIR to a directory that you may write to",
				     "cannot create a directory for the recording: %s: %s", b.data,
				     strerror(errno));
	dir_len = b.len;
	if (buf_append_str(&b, "/recording.tmb")) {
		b.data[dir_len] = '\0';
		(void)rmdir(b.data);
		return -ENOMEM;
	}
	*path = take_ptr(b.data);
	return 0;
}

/* Wait for a slow reader until a second signal, because the first one ended the recording only. */
static bool asked_twice(void *ctx)
{
	(void)ctx;
	return stop_signals_twice();
}

static int copy_out(int from, int to)
{
	const struct cancel cancel = {.asked = asked_twice};
	char piece[PIECE_BYTES];
	ssize_t n;
	int err = 0;

	while (!err && (n = read(from, piece, sizeof(piece))) != 0)
		err = n < 0 ? -errno : slow_out_write(to, piece, (size_t)n, &cancel);
	return err;
}

int record_stdout_send(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int out, err;

	if (fd < 0)
		return log_coded_err(-errno, "E703", NULL, "cannot read %s: %s", path,
				     strerror(errno));
	out = slow_out_open(STDOUT_FILENO);
	err = copy_out(fd, out);
	slow_out_close(out, STDOUT_FILENO);
	if (!err || err == -EPIPE || err == -ECANCELED)
		return err;
	return log_coded_err(err, "E701", NULL, "cannot write to stdout: %s", strerror(-err));
}

void record_stdout_end(const char *path)
{
	char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = strndup(path, (size_t)(slash - path));

	(void)unlink(path);
	if (dir)
		(void)rmdir(dir);
}
