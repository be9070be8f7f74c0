/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "target/proc_fs.h"
#include "target/process_info.h"

#define ID "3f9c1a0be2d4567890abcdef3f9c1a0be2d4567890abcdef3f9c1a0be2d45678"

static void a_container_is_named_by_its_control_group(void **state)
{
	static const struct {
		const char *cgroup, *id;
	} cases[] = {
		{"0::/system.slice/docker-" ID ".scope\n", ID},
		{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234abcd_0000.slice/"
		 "cri-containerd-" ID ".scope\n",
		 ID},
		{"12:memory:/docker/" ID "\n11:cpu:/docker/" ID "\n0::/\n", ID},
		{"0::/machine.slice/libpod-" ID ".scope/container\n", ID},
		{"0::/user.slice/user-1000.slice/session-3.scope\n", NULL},
		{"0::/docker/" ID "0\n", NULL},			/* one too many */
		{"0::/x/3F9C1A0BE2D4567890ABCDEF" ID "\n", ID}, /* upper case is no id */
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char id[CONTAINER_ID_LEN + 1] = "";
		bool found = container_id_parse(cases[i].cgroup, id);

		assert_int_equal(found, cases[i].id != NULL);
		if (found)
			assert_string_equal(id, cases[i].id);
	}
}

#define CMD(s) (s), sizeof(s) - 1

static void a_command_never_shows_its_arguments(void **state)
{
	static const struct {
		const char *cmdline;
		size_t len;
		const char *want;
	} cases[] = {
		{CMD("/usr/bin/python3\0/srv/app.py\0--password\0hunter2\0"),
		 "python3 /srv/app.py"},
		{CMD("python3\0-m\0flask\0run\0--key=x\0"), "python3 -m flask"},
		{CMD("python3\0-X\0dev\0-W\0error\0-u\0app.py\0secret\0"), "python3 app.py"},
		{CMD("python3.12\0-c\0print('secret')\0"), "python3.12 -c"},
		{CMD("python3\0"), "python3"},
		{CMD("python3\0-X"), "python3"},
		{CMD("python3\0-m"), "python3 -m "},
		{CMD("python3\0app.py"), "python3 app.py"}, /* no NUL at the end */
		{CMD("/usr/sbin/nginx\0-g\0daemon off;\0"), "nginx"},
		{CMD("mysql\0-psecret\0"), "mysql"},
		{CMD("gunicorn: worker [app]\0\0\0"), "gunicorn: worker [app]"},
		{CMD("\0\0\0"), ""},
		{CMD(""), ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[64] = "x";

		assert_string_equal(command_parse(cases[i].cmdline, cases[i].len, out, sizeof(out)),
				    cases[i].want);
	}
}

static void a_long_command_is_cut(void **state)
{
	char out[16];

	command_parse(CMD("python3\0/a/very/long/path/to/a/script.py\0"), out, sizeof(out));
	assert_string_equal(out, "python3 /a/very");
}

static void this_process_is_known(void **state)
{
	struct proc_stat st;
	struct timespec now;
	char command[128];
	int64_t start;

	assert_non_null(
		strstr(process_command(getpid(), command, sizeof(command)), "process_info"));
	assert_true(process_rss(getpid()) > 1 << 20);
	assert_int_equal(proc_stat_read(getpid(), &st), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	start = process_start_ns(st.start_ticks);
	assert_true(start / 1000000000 <= now.tv_sec + 1);
	assert_true(start / 1000000000 > now.tv_sec - 600);
	(void)process_memory_limit(getpid());
}

static void nobody_is_not_known(void **state)
{
	char command[8] = "x", id[CONTAINER_ID_LEN + 1];

	assert_string_equal(process_command(0x3ffffff, command, sizeof(command)), "");
	assert_int_equal(process_rss(0x3ffffff), 0);
	assert_int_equal(process_memory_limit(0x3ffffff), 0);
	assert_false(process_container(0x3ffffff, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_container_is_named_by_its_control_group),
		cmocka_unit_test(a_command_never_shows_its_arguments),
		cmocka_unit_test(a_long_command_is_cut),
		cmocka_unit_test(this_process_is_known),
		cmocka_unit_test(nobody_is_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
