/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "target/python_process.h"

static void a_name_says_what_runs(void **state)
{
	static const struct {
		const char *path, *version;
		enum python_kind kind;
	} cases[] = {
		{"python", "", PYTHON_CPYTHON},
		{"python3", "", PYTHON_CPYTHON},
		{"/usr/bin/python3.11", "3.11", PYTHON_CPYTHON},
		{"/usr/lib/x86_64-linux-gnu/libpython3.12.so.1.0", "3.12", PYTHON_CPYTHON},
		{"/opt/lib/libpython3.so", "", PYTHON_CPYTHON},
		{"python-config", "", PYTHON_CPYTHON},
		{"python2.7", "2.7", PYTHON_CPYTHON},
		{"/opt/pypy3.10/bin/pypy3.10", "3.10", PYTHON_PYPY},
		{"/opt/lib/libpypy3.9-c.so", "3.9", PYTHON_PYPY},
		{"pythonista", "", PYTHON_NONE},
		{"/home/python3/bin/node", "", PYTHON_NONE},
		{"libc.so.6", "", PYTHON_NONE},
		{"lib", "", PYTHON_NONE},
		{"", "", PYTHON_NONE},
		{"/", "", PYTHON_NONE},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char version[PYTHON_NAME_VERSION] = "x";

		assert_int_equal(python_name(cases[i].path, version), cases[i].kind);
		assert_string_equal(version, cases[i].version);
	}
}

static void hostile_numbers_fit(void **state)
{
	char version[PYTHON_NAME_VERSION];

	assert_int_equal(python_name("python3.4294967295", version), PYTHON_CPYTHON);
	assert_true(strlen(version) < sizeof(version));
	assert_int_equal(python_name("python99999999999.1", version), PYTHON_CPYTHON);
	assert_true(strlen(version) < sizeof(version));
}

static void this_process_is_no_python_and_nobody_is_none(void **state)
{
	char version[PYTHON_NAME_VERSION];

	assert_int_equal(python_process_kind(getpid(), version), PYTHON_NONE);
	assert_int_equal(python_process_kind(0x7ffffff, version), PYTHON_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_what_runs),
		cmocka_unit_test(hostile_numbers_fit),
		cmocka_unit_test(this_process_is_no_python_and_nobody_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
