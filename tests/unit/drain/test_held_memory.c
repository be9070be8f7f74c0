// SPDX-License-Identifier: GPL-2.0-or-later
/* Live blocks against what the process holds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "drain/held_memory.h"

#define MIB (1ull << 20)

static void status_is_read(void **state)
{
	struct held_memory m;

	assert_int_equal(
		held_memory_parse(
			"Name:\tx\nVmSize:\t  9000 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n"
			"VmSwap:\t      66 kB\nHugetlbPages:\t    2048 kB\n",
			&m),
		0);
	assert_int_equal(m.resident, (1234 + 66 + 2048) * 1024);
	assert_int_equal(m.mapped, 9000 * 1024);
	/* A zombie and a kernel thread have none; a name is no field. */
	assert_int_equal(held_memory_parse("Name:\tVmRSS:\nState:\tZ\n", &m), -EBADMSG);
	assert_int_equal(held_memory_parse("", &m), -EBADMSG);
	assert_int_equal(held_memory_parse("Name:\tx\nVmRSS:\t99999999999999999999999 kB\n", &m),
			 0);
	assert_int_equal(held_memory_read(getpid(), &m), 0);
	assert_true(m.resident > MIB && m.mapped > m.resident);
}

static void small_objects_never_exceed_what_is_resident(void **state)
{
	struct held_memory held = {.resident = 100 * MIB, .mapped = 1000 * MIB};

	assert_int_equal(held_memory_judge(&held, 0, 0), HELD_FITS);
	assert_int_equal(held_memory_judge(&held, 100 * MIB, 100 * MIB), HELD_FITS);
	assert_int_equal(held_memory_judge(&held, 106 * MIB, 106 * MIB), HELD_FITS);
	assert_int_equal(held_memory_judge(&held, 107 * MIB, 107 * MIB), HELD_EXCEEDED);
}

static void blocks_of_malloc_may_be_untouched_but_are_mapped(void **state)
{
	struct held_memory held = {.resident = 100 * MIB, .mapped = 1000 * MIB};

	assert_int_equal(held_memory_judge(&held, 50 * MIB, 106 * MIB), HELD_FITS);
	assert_int_equal(held_memory_judge(&held, 50 * MIB, 107 * MIB), HELD_UNTOUCHED);
	assert_int_equal(held_memory_judge(&held, 0, 1004 * MIB), HELD_UNTOUCHED);
	assert_int_equal(held_memory_judge(&held, 0, 1005 * MIB), HELD_EXCEEDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_is_read),
		cmocka_unit_test(small_objects_never_exceed_what_is_resident),
		cmocka_unit_test(blocks_of_malloc_may_be_untouched_but_are_mapped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
