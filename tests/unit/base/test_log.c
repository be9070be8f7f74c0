/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"

/*
 * The log has process-wide state (level, sink, first code), so each case runs in a child of its own
 * with stderr on a pipe. out: what it wrote. Returns: what the case returned.
 */
static int in_child(int (*fn)(void), struct buf *out)
{
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		_exit(fn());
	}
	close(fds[1]);
	assert_int_equal(buf_read_fd(out, fds[0], 1 << 20), 0);
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int log_three_errors(void)
{
	errno = EBADF; /* must not be looked at */
	int a = log_err(-ENOENT, "cannot open %s", "x");
	int b = log_err(0, "odd");
	int c = log_err(ENOENT, "pos");

	return a == -ENOENT && b == 0 && c == ENOENT ? 0 : 1;
}

static void an_error_is_said_with_its_reason_and_given_back(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(log_three_errors, &out), 0);
	assert_string_equal(out.data, "tmbpf: error: cannot open x: No such file or directory\n"
				      "tmbpf: error: odd\n"
				      "tmbpf: error: pos: No such file or directory\n");
}

static int log_at_each_level(void)
{
	if (log_get_level() != LOG_WARN)
		return 1;
	log_warn("w%d", 1);
	log_info("i1");
	log_set_level(LOG_INFO);
	log_info("i%d\n", 2);
	log_debug("d2");
	log_set_level(LOG_DEBUG);
	log_debug("d%d", 3);
	log_set_level(LOG_ERROR);
	log_warn("w4");
	log_err(0, "e4");
	return log_get_level() == LOG_ERROR ? 0 : 1;
}

static void the_level_decides_what_is_said(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(log_at_each_level, &out), 0);
	assert_string_equal(out.data, "tmbpf: warning: w1\ntmbpf: i2\ntmbpf: debug: d3\n"
				      "tmbpf: error: e4\n");
}

static int log_coded(void)
{
	log_coded_warn("W101", "--ring 64M", "lost %d", 5);
	if (log_exit_status(1) != 1)
		return 100;
	if (log_coded_err(-ESRCH, "E301", NULL, "no process %d", 4711) != -ESRCH)
		return 101;
	log_coded_err(-EPERM, "E401", "sudo", "not root");
	return log_exit_status(1);
}

static void the_first_error_code_decides_the_exit_status(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(log_coded, &out), 3);
	assert_string_equal(out.data, "tmbpf: warning W101: lost 5\ntmbpf:   fix: --ring 64M\n"
				      "tmbpf: error E301: no process 4711\n"
				      "tmbpf: error E401: not root\ntmbpf:   fix: sudo\n");
}

static int status_e2(void)
{
	log_coded_err(-EINVAL, "E201", NULL, "x");
	return log_exit_status(0);
}

static int status_e7(void)
{
	log_coded_err(-EIO, "E701", NULL, "x");
	return log_exit_status(0);
}

static int status_e9(void)
{
	log_coded_err(-EIO, "E901", NULL, "x");
	return log_exit_status(0);
}

static int status_none(void)
{
	log_err(-EIO, "x");
	return log_exit_status(9);
}

static void each_class_of_code_has_its_status(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(status_e2, &out), 2);
	assert_int_equal(in_child(status_e7, &out), 7);
	assert_int_equal(in_child(status_e9, &out), 1);
	assert_int_equal(in_child(status_none, &out), 9);
}

static struct buf heard;

static void remember(void *ctx, enum log_level level, const char *code, const char *message,
		     const char *fix)
{
	buf_printf(&heard, "%s %d %s|%s|%s;", (const char *)ctx, (int)level, code, message,
		   fix ? fix : "NULL");
}

static int log_to_sink(void)
{
	static char ctx[] = "ctx";

	log_set_sink(remember, ctx);
	log_coded_warn("W1", "f", "a");
	log_coded_err(-1, "E301", NULL, "b");
	log_warn("plain");
	log_set_sink(NULL, NULL);
	log_coded_warn("W2", NULL, "c");
	return strcmp(heard.data, "ctx 1 W1|a|f;ctx 0 E301|b|NULL;") != 0;
}

static void the_sink_hears_coded_messages_only(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(log_to_sink, &out), 0);
}

static int log_hostile(void)
{
	log_warn("a\x1b[2Jb\x7f\tc");
	log_warn("%s", "");
	log_warn("forged\ntmbpf: error\xc2\x9b"
		 "2J\xe2\x80\xae\xff\n");
	log_coded_warn("W1", "kill\n\x1b", "%s", "x");
	return 0;
}

static void escape_bytes_do_not_reach_the_terminal(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(log_hostile, &out), 0);
	assert_string_equal(out.data, "tmbpf: warning: a?[2Jb??c\ntmbpf: warning: \n"
				      "tmbpf: warning: forged?tmbpf: error?2J??\n"
				      "tmbpf: warning W1: x\ntmbpf:   fix: kill??\n");
}

static void ratelimit_lets_the_first_ones_through(void **state)
{
	int through = 0;

	for (int i = 0; i < 10; i++)
		through += log_ratelimit(3);
	assert_int_equal(through, 3);
}

static char diverted[256];

static void keep_message(void *ctx, enum log_level level, const char *code, const char *message,
			 const char *fix)
{
	size_t len = strlen(diverted);

	(void)ctx;
	snprintf(diverted + len, sizeof(diverted) - len, "%d %s %s %s|", (int)level, code, message,
		 fix ? fix : "-");
}

static int divert_three(void)
{
	log_divert(keep_message, NULL);
	log_coded_err(-EPERM, "E401", "sudo", "not allowed");
	log_coded_warn("W120", NULL, "odd");
	log_err(-ENOENT, "cannot open %s", "x");
	log_divert(NULL, NULL);
	log_talk("on %s", "again");
	return strcmp(diverted, "0 E401 not allowed sudo|1 W120 odd -|0  cannot open x -|") ||
	       log_exit_status(77) != 77;
}

static void diverted_messages_are_only_handed_on(void **state)
{
	_cleanup_(buf_release) struct buf out = {0};

	assert_int_equal(in_child(divert_three, &out), 0);
	assert_string_equal(out.data, "on again\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_said_with_its_reason_and_given_back),
		cmocka_unit_test(the_level_decides_what_is_said),
		cmocka_unit_test(the_first_error_code_decides_the_exit_status),
		cmocka_unit_test(each_class_of_code_has_its_status),
		cmocka_unit_test(the_sink_hears_coded_messages_only),
		cmocka_unit_test(escape_bytes_do_not_reach_the_terminal),
		cmocka_unit_test(ratelimit_lets_the_first_ones_through),
		cmocka_unit_test(diverted_messages_are_only_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
