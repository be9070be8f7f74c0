// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/process_setup.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* open(2) gives the lowest free number, and those below fd are taken. */
static void take_descriptor(int fd, int flags)
{
	if (fcntl(fd, F_GETFD) < 0)
		(void)!open("/dev/null", flags);
}

void process_setup(void)
{
	struct rlimit files;

	take_descriptor(STDIN_FILENO, O_WRONLY);
	take_descriptor(STDOUT_FILENO, O_RDONLY); /* writing fails, as it would have */
	take_descriptor(STDERR_FILENO, O_WRONLY);
	if (getrlimit(RLIMIT_NOFILE, &files) || files.rlim_cur >= files.rlim_max)
		return;
	files.rlim_cur = files.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &files);
}

unsigned long long process_open_files_max(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) ? 0 : files.rlim_cur;
}
