// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/slow_out.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS	 20  /* between two looks at the cancel */
#define STUCK_MS 300 /* a reader that takes nothing for so long does not read */

int slow_out_open(int fd)
{
	char self[64];
	int slow, flags = fcntl(fd, F_GETFL);
	struct stat st;

	/* Opening it again must not make writable what was not. */
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return fd;
	if (fstat(fd, &st) || (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode)))
		return fd;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	slow = open(self, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return slow < 0 ? fd : slow;
}

void slow_out_close(int slow, int fd)
{
	if (slow >= 0 && slow != fd)
		close(slow);
}

/* Room for PIPE_BUF bytes is what POLLOUT promises of a pipe that blocks. */
static ssize_t write_piece(int slow, const char *data, size_t len)
{
	ssize_t n = write(slow, data, len < PIPE_BUF ? len : PIPE_BUF);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	return n < 0 ? -errno : n;
}

int slow_out_write(int slow, const void *data, size_t len, const struct cancel *cancel)
{
	const char *at = data;
	int stuck_ms = 0;

	while (len) {
		struct pollfd fd = {.fd = slow, .events = POLLOUT};
		ssize_t n;

		if (poll(&fd, 1, LOOK_MS) <= 0) {
			stuck_ms += LOOK_MS;
			if (stuck_ms >= STUCK_MS && cancel_asked(cancel))
				return -ECANCELED;
			continue;
		}
		n = write_piece(slow, at, len);
		if (n < 0)
			return (int)n;
		if (n) {
			stuck_ms = 0;
		} else { /* there was room, but for less than was written */
			(void)poll(NULL, 0, LOOK_MS);
			stuck_ms += LOOK_MS;
			if (stuck_ms >= STUCK_MS && cancel_asked(cancel))
				return -ECANCELED;
		}
		at += n;
		len -= (size_t)n;
	}
	return 0;
}
