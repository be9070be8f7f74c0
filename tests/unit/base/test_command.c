/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/command.h"

static void remember(char **argv)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	command_remember(argc, argv);
}

static int setup(void **state)
{
	return unsetenv("SUDO_UID");
}

static void an_option_is_replaced_or_added(void **state)
{
	char *added[] = {"tmbpf", "record", "-p", "4711", NULL};
	char *spaced[] = {"./tmbpf", "-p", "4711", "--mode", "auto", "5", "3", NULL};
	char *joined[] = {"tmbpf", "--mode=auto", "-p4711", "--model", NULL};

	remember(added);
	assert_string_equal(command_with("--mode", "pools"), "tmbpf record -p 4711 --mode pools");
	assert_string_equal(command_with("--force", NULL), "tmbpf record -p 4711 --force");
	assert_string_equal(command_with("-p", "12"), "tmbpf record -p 12");
	assert_string_equal(command_edited(NULL, 0), "tmbpf record -p 4711");
	remember(spaced);
	assert_string_equal(command_with("--mode", "exact"), "./tmbpf -p 4711 --mode exact 5 3");
	remember(joined);
	assert_string_equal(command_with("--mode", "exact"), "tmbpf --mode exact -p4711 --model");
	assert_string_equal(command_with("-p", "12"), "tmbpf --mode=auto -p 12 --model");
}

static void an_option_given_twice_stands_once(void **state)
{
	char *argv[] = {"tmbpf", "-p", "1", "-p2", "-v", "-v", NULL};

	remember(argv);
	assert_string_equal(command_with("-p", "3"), "tmbpf -p 3 -v -v");
	assert_string_equal(command_with("-v", NULL), "tmbpf -p 1 -p2 -v");
}

static void an_option_without_its_value_at_the_end(void **state)
{
	char *argv[] = {"tmbpf", "-p", NULL};

	remember(argv);
	assert_string_equal(command_with("-p", "3"), "tmbpf -p 3");
}

static void words_are_quoted_for_a_shell(void **state)
{
	char *argv[] = {"tmbpf", "record", "-o", "my run's.tmb", "", "$(reboot)", NULL};

	remember(argv);
	assert_string_equal(command_edited(NULL, 0),
			    "tmbpf record -o 'my run'\\''s.tmb' '' '$(reboot)'");
}

static void the_array_may_be_permuted_later(void **state)
{
	char *argv[] = {"tmbpf", "a", "b", NULL};

	remember(argv);
	argv[1] = argv[2];
	assert_string_equal(command_edited(NULL, 0), "tmbpf a b");
}

static void sites_becomes_the_live_report_to_trace(void **state)
{
	char *sites[] = {"tmbpf", "sites", "-p", "1", NULL};
	char *record[] = {"tmbpf", "record", "-p", "1", NULL};

	remember(sites);
	assert_string_equal(command_to_trace("--domains", "native"), "tmbpf -p 1 --domains native");
	assert_string_equal(command_with("-p", "2"), "tmbpf sites -p 2");
	remember(record);
	assert_string_equal(command_to_trace("--domains", "native"),
			    "tmbpf record -p 1 --domains native");
}

static void several_options_are_changed_at_once(void **state)
{
	const struct command_edit edits[] = {{"-p", "PID"}, {"--by", "traceback"}, {"-v", NULL}};
	char *argv[] = {"tmbpf", "-p", "1", "5", "3", "-v", NULL};

	remember(argv);
	assert_string_equal(command_edited(edits, ARRAY_LEN(edits)),
			    "tmbpf -p PID 5 3 -v --by traceback");
}

static void sudo_is_repeated(void **state)
{
	char *argv[] = {"tmbpf", "-p", "1", NULL};

	remember(argv);
	/* With the path of this program: sudo has a search path of its own. */
	assert_memory_equal(command_as_root(), "sudo /", 6);
	assert_string_equal(strrchr(command_as_root(), '/'), "/test_command -p 1");
	assert_string_equal(command_other("sites -p %d", 7), "tmbpf sites -p 7");
	if (geteuid())
		skip();
	setenv("SUDO_UID", "1000", 1);
	assert_string_equal(command_edited(NULL, 0), "sudo tmbpf -p 1");
	assert_string_equal(command_with("-p", "2"), "sudo tmbpf -p 2");
	assert_string_equal(command_other("sites -p %d", 7), "sudo tmbpf sites -p 7");
}

static void without_a_command_there_is_the_name(void **state)
{
	char *argv[] = {NULL};

	remember(argv);
	assert_string_equal(command_with("--force", NULL), "tmbpf --force");
}

#define CASE(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_option_is_replaced_or_added),
		CASE(an_option_given_twice_stands_once),
		CASE(an_option_without_its_value_at_the_end),
		CASE(words_are_quoted_for_a_shell),
		CASE(the_array_may_be_permuted_later),
		CASE(sites_becomes_the_live_report_to_trace),
		CASE(several_options_are_changed_at_once),
		CASE(sudo_is_repeated),
		CASE(without_a_command_there_is_the_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
