/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/keyed_hash.h"

static uint64_t hash_in_another_process(const char *text)
{
	uint64_t h = 0;
	int fds[2];
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (!child) {
		h = keyed_hash_bytes(text, strlen(text));
		_exit(write(fds[1], &h, sizeof(h)) == (ssize_t)sizeof(h) ? 0 : 1);
	}
	assert_int_equal(read(fds[0], &h, sizeof(h)), (ssize_t)sizeof(h));
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(fds[0]);
	close(fds[1]);
	return h;
}

/* First of all: nobody has drawn the point in this process yet. */
static void it_differs_from_process_to_process(void **state)
{
	uint64_t a = hash_in_another_process("/srv/cache.py");

	(void)state;
	assert_int_not_equal(a, hash_in_another_process("/srv/cache.py"));
	a = keyed_hash_bytes("/srv/cache.py", 13);
	assert_int_equal(a, hash_in_another_process("/srv/cache.py")); /* drawn before the fork */
}

static void different_bytes_differ(void **state)
{
	static const struct {
		const char *s;
		size_t len;
	} texts[] = {{"", 0},
		     {"\0", 1},
		     {"\0\0", 2},
		     {"a", 1},
		     {"a\0", 2},
		     {"\0a", 2},
		     {"abcdefg", 7},
		     {"abcdefg\0", 8},
		     {"abcdefgh", 8},
		     {"\0\0\0\0\0\0\0", 7},
		     {"abcdefgabcdefg", 14},
		     {"abcdefgabcdefh", 14}};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		uint64_t h = keyed_hash_bytes(texts[i].s, texts[i].len);

		assert_int_equal(h, keyed_hash_bytes(texts[i].s, texts[i].len));
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(h, keyed_hash_bytes(texts[k].s, texts[k].len));
	}
}

static void a_step_stays_below_the_prime(void **state)
{
	const uint64_t most = KEYED_HASH_PRIME - 1;

	(void)state;
	assert_true(keyed_hash_step(most, (1ull << 61) - 1, most) < KEYED_HASH_PRIME);
	/* (p - 1)^2 = 1, and p = 0 */
	assert_int_equal(keyed_hash_step(most, 0, most), 1);
	assert_int_equal(keyed_hash_step(0, KEYED_HASH_PRIME, 5), 0);
	assert_int_equal(keyed_hash_step(3, 4, 5), 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_differs_from_process_to_process),
		cmocka_unit_test(different_bytes_differ),
		cmocka_unit_test(a_step_stays_below_the_prime),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
