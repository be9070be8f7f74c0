// SPDX-License-Identifier: GPL-2.0-or-later
/* Pages that block their reader: each is tried once, and after a few nothing is read from the process any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timed_io.h"
#include "target/target.h"

#define PAGE  4096u
#define PAGES 32u
#define STUCK 16u /* from this page on they block */
#define TRIED 8	  /* target_memory.c: BLOCKS_MAX */

static uint8_t *memory;
static struct target target;
static unsigned first_blocked, given_up;

static void count_warning(void *ctx, enum log_level level, const char *code, const char *message,
			  const char *fix)
{
	first_blocked += strcmp(code, "W131") == 0;
	given_up += strcmp(code, "W132") == 0;
}

static int block_pages(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {
		.range = {(uintptr_t)memory + STUCK * PAGE, (PAGES - STUCK) * PAGE},
		.mode = UFFDIO_REGISTER_MODE_MISSING};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	return fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg);
}

static int setup(void **state)
{
	int ready[2];
	char c;

	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED || pipe(ready))
		return -1;
	target = (struct target){.pid = fork()};
	if (target.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint32_t i = 0; i < STUCK; i++)
			memset(memory + i * PAGE, (int)i, PAGE);
		if (!block_pages() && write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	first_blocked = given_up = 0;
	log_divert(count_warning, NULL);
	return target_reads_new(&target) || read(ready[0], &c, 1) != 1 || close(ready[0]);
}

static int teardown(void **state)
{
	log_divert(NULL, NULL);
	kill(target.pid, SIGKILL);
	waitpid(target.pid, NULL, 0);
	free(target.blocked);
	munmap(memory, PAGES * PAGE);
	return 0;
}

static int read_page(uint32_t page)
{
	uint8_t out[64];
	int err = target_read(&target, (uintptr_t)memory + page * PAGE + 100, out, sizeof(out));

	if (!err)
		assert_int_equal(out[63], page);
	return err;
}

static void a_range_that_blocked_is_not_tried_again(void **state)
{
	uint8_t out[3][64];
	struct iovec local[3], remote[3];
	uint64_t abandoned;

	for (uint32_t i = 0; i < 3; i++) {
		local[i] = (struct iovec){out[i], sizeof(out[i])};
		remote[i] = (struct iovec){memory + (STUCK - 1 + i) * PAGE, sizeof(out[i])};
	}
	/* What comes before it is read. */
	assert_int_equal(target_readv(&target, local, remote, 3), sizeof(out[0]));
	assert_int_equal(out[0][0], STUCK - 1);
	assert_int_equal(first_blocked, 1);
	abandoned = timed_io_abandoned();
	for (int i = 0; i < 3; i++)
		assert_int_equal(read_page(STUCK), -EFAULT);
	assert_int_equal(timed_io_abandoned(), abandoned);
	assert_int_equal(read_page(3), 0);
	assert_int_equal(first_blocked, 1);
}

static void after_some_nothing_is_read_any_more(void **state)
{
	uint64_t abandoned;

	for (uint32_t i = 0; i < TRIED; i++) {
		assert_int_equal(read_page(i), 0);
		assert_false(target_is_unreadable(&target));
		assert_int_equal(read_page(STUCK + i), -EFAULT);
	}
	assert_true(target_is_unreadable(&target));
	assert_int_equal(first_blocked, 1);
	assert_int_equal(given_up, 1);
	abandoned = timed_io_abandoned();
	assert_int_equal(read_page(STUCK + TRIED), -EFAULT);
	assert_int_equal(read_page(3), -EFAULT);
	assert_int_equal(timed_io_abandoned(), abandoned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_range_that_blocked_is_not_tried_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(after_some_nothing_is_read_any_more, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
