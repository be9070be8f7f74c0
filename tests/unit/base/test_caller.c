// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/caller.h"

#define OTHER "65534"

struct place {
	char dir[64], file[96], fifo[96], link[96];
};

static int setup(void **state)
{
	static struct place p;
	int fd;

	snprintf(p.dir, sizeof(p.dir), "/tmp/tmbpf-caller-XXXXXX");
	if (!mkdtemp(p.dir) || chmod(p.dir, 0755))
		return -1;
	snprintf(p.file, sizeof(p.file), "%s/file", p.dir);
	snprintf(p.fifo, sizeof(p.fifo), "%s/fifo", p.dir);
	snprintf(p.link, sizeof(p.link), "%s/link", p.dir);
	fd = open(p.file, O_CREAT | O_WRONLY, 0600);
	if (fd < 0 || close(fd) || mkfifo(p.fifo, 0600) || symlink(p.file, p.link))
		return -1;
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;

	unlink(p->file);
	unlink(p->fifo);
	unlink(p->link);
	return rmdir(p->dir);
}

static int open_and_close(const char *path)
{
	int fd = caller_open_regular(path);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* A pipe that nobody writes to would be waited for; the time limit of the run is the test. */
static void only_regular_files_are_opened(void **state)
{
	struct place *p = *state;

	assert_int_equal(open_and_close(p->file), 0);
	assert_int_equal(open_and_close(p->link), 0);
	assert_int_equal(open_and_close(p->fifo), -EINVAL);
	assert_int_equal(open_and_close("/dev/tty0"),
			 access("/dev/tty0", F_OK) ? -ENOENT : -EINVAL);
	assert_int_equal(open_and_close(p->dir), -EINVAL);
	assert_int_equal(open_and_close("/nowhere"), -ENOENT);
}

static void through_sudo_the_caller_must_be_able_to(void **state)
{
	struct place *p = *state;
	gid_t before[64], after[64];
	int groups = getgroups(64, before);

	if (geteuid() != 0) {
		print_message("skipped: only root can be called through sudo\n");
		skip();
	}
	setenv("SUDO_UID", OTHER, 1);
	setenv("SUDO_GID", OTHER, 1);
	assert_int_equal(open_and_close(p->file), -EACCES);
	/* Root's groups do not count either. */
	assert_int_equal(chmod(p->file, 0640), 0);
	assert_int_equal(open_and_close(p->file), -EACCES);
	assert_int_equal(chmod(p->file, 0644), 0);
	assert_int_equal(open_and_close(p->file), 0);
	assert_int_equal(chmod(p->dir, 0700), 0);
	assert_int_equal(open_and_close(p->file), -EACCES);
	unsetenv("SUDO_UID");
	unsetenv("SUDO_GID");
	assert_int_equal(open_and_close(p->file), 0);
	assert_int_equal(geteuid(), 0);
	assert_int_equal(getegid(), 0);
	assert_int_equal(getgroups(64, after), groups);
	assert_memory_equal(before, after, (size_t)groups * sizeof(*before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_regular_files_are_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(through_sudo_the_caller_must_be_able_to, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
