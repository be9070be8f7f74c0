/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"

static void an_empty_buffer_holds_nothing_and_releases(void **state)
{
	struct buf b = {0};

	assert_null(b.data);
	buf_reset(&b);
	buf_release(&b);
	buf_release(&b);
	assert_null(b.data);
}

static void appends_join_and_stay_terminated(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};

	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_string_equal(b.data, "");
	assert_int_equal(buf_append(&b, "ab\0c", 4), 0);
	assert_int_equal(buf_append_str(&b, "de"), 0);
	assert_int_equal(buf_printf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(b.len, 10);
	assert_memory_equal(b.data, "ab\0cde42-x", 11);
	buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
}

static void a_buffer_grows_far_past_its_first_size(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};

	for (int i = 0; i < 10000; i++)
		assert_int_equal(buf_printf(&b, "%05d", i), 0);
	assert_int_equal(b.len, 50000);
	assert_memory_equal(b.data + 49995, "09999", 6);
}

static void extend_gives_room_at_the_end(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};
	char *room;

	buf_append_str(&b, "a");
	room = buf_extend(&b, 3);
	assert_non_null(room);
	memcpy(room, "bcd", 3);
	assert_string_equal(b.data, "abcd");
}

static void out_of_memory_is_sticky_until_reset(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};

	buf_append_str(&b, "kept");
	assert_null(buf_extend(&b, SIZE_MAX));
	assert_null(buf_extend(&b, SIZE_MAX / 2 + 9));
	assert_true(b.oom);
	assert_int_equal(buf_append_str(&b, "x"), -ENOMEM);
	assert_int_equal(buf_printf(&b, "x"), -ENOMEM);
	assert_string_equal(b.data, "kept");
	buf_reset(&b);
	assert_false(b.oom);
	assert_int_equal(buf_append_str(&b, "x"), 0);
}

static void an_array_grows_by_doubling_or_stays_untouched(void **state)
{
	size_t cap = 0, before;
	uint64_t *a = array_grow(NULL, &cap, 1, sizeof(*a)), *b;

	assert_non_null(a);
	assert_true(cap >= 1);
	a[0] = 7;
	before = cap;
	b = array_grow(a, &cap, cap, sizeof(*a));
	assert_ptr_equal(a, b);
	assert_int_equal(cap, before);
	b = array_grow(a, &cap, cap + 1, sizeof(*a));
	assert_non_null(b);
	assert_int_equal(cap, before * 2);
	assert_int_equal(b[0], 7);
	assert_null(array_grow(b, &cap, SIZE_MAX / 4, sizeof(*a)));
	assert_null(array_grow(b, &cap, SIZE_MAX, 1));
	assert_int_equal(cap, before * 2);
	free(b);
}

static void a_file_is_read_whole_or_refused(void **state)
{
	_cleanup_(buf_release) struct buf b = {0};
	_cleanup_(buf_release) struct buf big = {0};
	char path[] = "/tmp/test_buf.XXXXXX";
	_cleanup_close_ int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(buf_read_fd(&b, fd, 10), 0);
	assert_int_equal(b.len, 0);
	assert_string_equal(b.data, "");
	for (int i = 0; i < 2000; i++)
		assert_int_equal(write(fd, "0123456789", 10), 10);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(buf_read_fd(&b, fd, 20000), 0);
	assert_int_equal(b.len, 20000);
	assert_memory_equal(b.data + 19990, "0123456789", 11);
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(buf_read_fd(&big, fd, 19999), -EFBIG);
	assert_int_equal(big.len, 19999);
	assert_int_equal(buf_read_fd(&big, -1, 1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_buffer_holds_nothing_and_releases),
		cmocka_unit_test(appends_join_and_stay_terminated),
		cmocka_unit_test(a_buffer_grows_far_past_its_first_size),
		cmocka_unit_test(extend_gives_room_at_the_end),
		cmocka_unit_test(out_of_memory_is_sticky_until_reset),
		cmocka_unit_test(an_array_grows_by_doubling_or_stays_untouched),
		cmocka_unit_test(a_file_is_read_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
