/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>

#include "target/proc_maps.h"

static int parse(const char *text, struct proc_maps *out)
{
	size_t len = strlen(text);
	char *copy = malloc(len ? len : 1); /* no byte behind: ASan sees an overrun */

	memcpy(copy, text, len);
	return proc_maps_parse(copy, len, out);
}

static void ordinary_lines_give_all_fields(void **state)
{
	struct proc_maps m = {0};

	assert_int_equal(
		parse("00400000-0041f000 r--p 00000000 fe:00 1234                       /usr/bin/x\n"
		      "0041f000-006d2000 r-xp 0001f000 fe:00 1234  /usr/bin/x\n"
		      "7f0000000000-7f0000001000 rw-s 00000000 00:05 77 /dev/shm/a b\n"
		      "7f0000002000-7f0000003000 rw-p 00000000 00:00 0 \n"
		      "7f0000004000-7f0000005000 rw-p 00000000 00:00 0\n"
		      "7f0000006000-7f0000007000 rw-p 00000000 00:00 0          [heap]\n"
		      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0  [vsyscall]\n",
		      &m),
		0);
	assert_int_equal(m.count, 7);
	assert_int_equal(m.items[1].start, 0x41f000);
	assert_int_equal(m.items[1].end, 0x6d2000);
	assert_int_equal(m.items[1].file_off, 0x1f000);
	assert_int_equal(m.items[1].dev_major, 0xfe);
	assert_int_equal(m.items[1].inode, 1234);
	assert_true(m.items[1].read && m.items[1].exec && !m.items[1].write && !m.items[1].shared);
	assert_string_equal(m.items[1].path, "/usr/bin/x");
	assert_true(m.items[2].shared);
	assert_string_equal(m.items[2].path, "/dev/shm/a b");
	assert_string_equal(m.items[3].path, "");
	assert_string_equal(m.items[4].path, "");
	assert_string_equal(m.items[5].path, "[heap]");
	assert_ptr_equal(proc_maps_find(&m, 0x41f000), &m.items[1]);
	assert_ptr_equal(proc_maps_find(&m, 0x6d1fff), &m.items[1]);
	assert_null(proc_maps_find(&m, 0x6d2000));
	assert_null(proc_maps_find(&m, 0));
	assert_null(proc_maps_find(&m, UINT64_MAX));
	proc_maps_release(&m);
	assert_int_equal(m.count, 0);
}

static void deleted_and_newline_are_undone(void **state)
{
	struct proc_maps m = {0};

	assert_int_equal(parse("1000-2000 r-xp 00000000 fe:00 9 /a/b (deleted)\n"
			       "3000-4000 r-xp 00000000 fe:00 9 /a\\012b\\040c\\01\n"
			       "5000-6000 rw-p 00000000 00:00 0 [anon: x (deleted)]\n"
			       "7000-8000 rw-p 00000000 00:00 7  (deleted)\n"
			       "9000-a000 r-xp 00000000 00:01 8 /x (deleted) (deleted)\n",
			       &m),
			 0);
	assert_true(m.items[0].deleted);
	assert_string_equal(m.items[0].path, "/a/b");
	assert_false(m.items[1].deleted);
	assert_string_equal(m.items[1].path, "/a\nb\\040c\\01"); /* only the newline is escaped */
	assert_false(m.items[2].deleted);
	assert_string_equal(m.items[3].path, "(deleted)");
	assert_true(m.items[4].deleted);
	assert_string_equal(m.items[4].path, "/x (deleted)");
	proc_maps_release(&m);
}

static void hostile_text_is_refused(void **state)
{
	static const char *const bad[] = {
		"x\n",
		"\n",
		"1000-2000 r-xp 00000000 fe:00 9 /a", /* cut off */
		"2000-1000 r-xp 00000000 fe:00 9 /a\n",
		"1000-1000 r-xp 00000000 fe:00 9 /a\n",
		"-2000 r-xp 00000000 fe:00 9 /a\n",
		"11111111111111111-2 r-xp 00000000 fe:00 9 /a\n",
		"1000-2000 r-x 00000000 fe:00 9 /a\n",
		"1000-2000 abcd 00000000 fe:00 9 /a\n",
		"1000-2000 r-xp 00000000 fe00 9 /a\n",
		"1000-2000 r-xp 00000000 100000000:00 9 /a\n",
		"1000-2000 r-xp 00000000 fe:00 99999999999999999999 /a\n",
		"1000-2000 r-xp 00000000 fe:00 9x /a\n",
		"1000-2000 r-xp 00000000 fe:00 \n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct proc_maps m = {.count = 42};

		assert_int_equal(parse(bad[i], &m), -EBADMSG);
		assert_int_equal(m.count, 42);
	}
	char *nul = calloc(1, 8);
	struct proc_maps m = {0};

	memcpy(nul, "1-2\0 r\n", 7);
	assert_int_equal(proc_maps_parse(nul, 7, &m), -EBADMSG);
}

static void empty_and_unsorted_text_are_fine(void **state)
{
	struct proc_maps m = {0};

	assert_int_equal(parse("", &m), 0);
	assert_int_equal(m.count, 0);
	assert_null(proc_maps_find(&m, 0));
	proc_maps_release(&m);
	assert_int_equal(parse("3000-4000 r-xp 0 0:0 0\n1000-2000 r-xp 0 0:0 0\n", &m), 0);
	assert_int_equal(m.items[0].start, 0x1000);
	proc_maps_release(&m);
}

static void own_maps_hold_own_code(void **state)
{
	struct proc_maps m = {0};
	const struct mapping *found;

	assert_int_equal(proc_maps_read(getpid(), &m), 0);
	found = proc_maps_find(&m, (uint64_t)(uintptr_t)own_maps_hold_own_code);
	assert_non_null(found);
	assert_true(found->exec);
	assert_non_null(strstr(found->path, "test_proc_maps"));
	proc_maps_release(&m);
	assert_int_equal(proc_maps_read(0x3fffff, &m), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_lines_give_all_fields),
		cmocka_unit_test(deleted_and_newline_are_undone),
		cmocka_unit_test(hostile_text_is_refused),
		cmocka_unit_test(empty_and_unsorted_text_are_fine),
		cmocka_unit_test(own_maps_hold_own_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
