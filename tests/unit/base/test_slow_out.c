// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/slow_out.h"

static char data[300000];

static bool asked_third_time(void *ctx)
{
	return ++*(int *)ctx >= 3;
}

static void an_unread_pipe_is_given_up_when_asked(void **state)
{
	int ends[2], asked = 0, slow;
	struct cancel cancel = {.asked = asked_third_time, .ctx = &asked};

	(void)state;
	assert_int_equal(pipe(ends), 0);
	slow = slow_out_open(ends[1]);
	assert_int_not_equal(slow, ends[1]);
	assert_int_equal(slow_out_write(slow, data, sizeof(data), &cancel), -ECANCELED);
	assert_int_equal(asked, 3);
	/* Others that have the pipe still block in it. */
	assert_false(fcntl(ends[1], F_GETFL) & O_NONBLOCK);
	slow_out_close(slow, ends[1]);
	assert_int_equal(fcntl(ends[1], F_GETFD) >= 0, 1);
	close(ends[0]);
	close(ends[1]);
}

static void a_pipe_without_reader_is_an_error(void **state)
{
	int ends[2], slow;

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	slow = slow_out_open(ends[1]);
	close(ends[0]);
	assert_int_equal(slow_out_write(slow, data, 10, NULL), -EPIPE);
	slow_out_close(slow, ends[1]);
	close(ends[1]);
}

static void what_was_not_writable_stays_so(void **state)
{
	int fd = open("/dev/null", O_RDONLY), slow = slow_out_open(fd);

	(void)state;
	assert_int_equal(slow_out_write(slow, data, 10, NULL), -EBADF);
	slow_out_close(slow, fd);
	close(fd);
}

static void a_file_gets_all_of_it(void **state)
{
	char name[] = "/tmp/tmbpf-slow-XXXXXX", back[11] = "";
	int fd = mkstemp(name), slow;

	(void)state;
	assert_true(fd >= 0);
	slow = slow_out_open(fd);
	assert_int_equal(slow, fd);
	assert_int_equal(slow_out_write(slow, "0123456789", 10, NULL), 0);
	assert_int_equal(slow_out_write(slow, data, sizeof(data), NULL), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 10 + sizeof(data));
	assert_int_equal(pread(fd, back, 10, 0), 10);
	assert_string_equal(back, "0123456789");
	close(fd);
	unlink(name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unread_pipe_is_given_up_when_asked),
		cmocka_unit_test(a_pipe_without_reader_is_an_error),
		cmocka_unit_test(what_was_not_writable_stays_so),
		cmocka_unit_test(a_file_gets_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
