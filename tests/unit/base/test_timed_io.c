/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/timed_io.h"

#define PAGES	  64
#define BLOCKED	  32 /* this page blocks who reads it */
#define PAGE_SIZE 4096

static uint8_t *memory;
static pid_t child;

/* A child whose page BLOCKED is registered with a userfaultfd that is never served. */
static int start_child(void **state)
{
	int ready[2];
	char c;

	memory = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	if (memory == MAP_FAILED || pipe(ready))
		return -1;
	child = fork();
	if (child == 0) {
		struct uffdio_api api = {.api = UFFD_API};
		struct uffdio_register reg = {
			.range = {(uintptr_t)memory + BLOCKED * PAGE_SIZE, PAGE_SIZE},
			.mode = UFFDIO_REGISTER_MODE_MISSING};
		int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < PAGES; i++) {
			if (i != BLOCKED)
				memset(memory + i * PAGE_SIZE, (int)i, PAGE_SIZE);
		}
		if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
			_exit(1);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	close(ready[1]);
	return read(ready[0], &c, 1) == 1 ? 0 : -1;
}

static int stop_child(void **state)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	munmap(memory, PAGES * PAGE_SIZE);
	return 0;
}

static ssize_t read_page(size_t page, uint8_t *out, int limit_ms)
{
	struct iovec local = {out, PAGE_SIZE}, remote = {memory + page * PAGE_SIZE, PAGE_SIZE};

	return timed_vm_read(child, &local, &remote, 1, limit_ms);
}

static void memory_is_read_with_and_without_a_copy(void **state)
{
	uint8_t *shared = timed_buffer_new(3 * PAGE_SIZE), plain[3 * PAGE_SIZE];
	uint8_t *into[] = {shared, plain};

	for (size_t i = 0; i < 2; i++) {
		struct iovec local[] = {{into[i], 100}, {into[i] + 100, 2 * PAGE_SIZE}};
		struct iovec remote[] = {{memory + 5 * PAGE_SIZE, 100},
					 {memory + 7 * PAGE_SIZE, 2 * PAGE_SIZE}};

		memset(into[i], 0xee, 3 * PAGE_SIZE);
		assert_int_equal(timed_vm_read(child, local, remote, 2, 1000), 100 + 2 * PAGE_SIZE);
		assert_int_equal(into[i][99], 5);
		assert_int_equal(into[i][100], 7);
		assert_int_equal(into[i][100 + PAGE_SIZE], 8);
		assert_int_equal(into[i][100 + 2 * PAGE_SIZE], 0xee);
	}
	timed_buffer_free(shared);
	timed_buffer_free(NULL);
}

static void a_read_that_blocks_is_given_up_and_the_next_one_works(void **state)
{
	uint64_t before = timed_io_abandoned();
	uint8_t out[PAGE_SIZE];

	for (int i = 0; i < 2; i++) {
		int64_t from = monotonic_ns();

		assert_int_equal(read_page(BLOCKED, out, 200), -ETIMEDOUT);
		int64_t took = (monotonic_ns() - from) / 1000000;

		assert_true(took >= 200 && took < 3000);
		assert_int_equal(read_page(BLOCKED + 1, out, 1000), PAGE_SIZE);
		assert_int_equal(out[0], BLOCKED + 1);
	}
	assert_int_equal(timed_io_abandoned(), before + 2);
}

static void buffers_outlive_a_helper(void **state)
{
	uint8_t *shared = timed_buffer_new(PAGE_SIZE);

	assert_int_equal(read_page(1, shared, 1000), PAGE_SIZE);
	assert_int_equal(read_page(BLOCKED, shared, 100), -ETIMEDOUT);
	assert_int_equal(shared[0], 1);
	assert_int_equal(read_page(2, shared, 1000), PAGE_SIZE);
	assert_int_equal(shared[0], 2);
	timed_buffer_free(shared);
}

static void a_helper_that_was_killed_is_replaced(void **state)
{
	_cleanup_(buf_release) struct buf children = {0};
	uint8_t out[PAGE_SIZE];
	char path[64];
	unsigned killed = 0;

	assert_int_equal(read_page(3, out, 1000), PAGE_SIZE);
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		skip(); /* a kernel without CONFIG_PROC_CHILDREN */
	assert_int_equal(buf_read_fd(&children, fd, 4096), 0);
	close(fd);
	for (char *p = children.data, *end; (end = p, strtol(p, &end, 10)) && end != p; p = end) {
		pid_t pid = (pid_t)strtol(p, NULL, 10);

		killed += pid != child && kill(pid, SIGKILL) == 0;
	}
	assert_int_equal(killed, 1);
	assert_int_equal(read_page(3, out, 1000), -EIO);
	assert_int_equal(read_page(3, out, 1000), PAGE_SIZE);
}

static void files_are_opened_and_read(void **state)
{
	struct timed_file file;
	struct stat st;
	char out[64] = "";

	assert_int_equal(timed_open("/nonexistent", 1000, &file), -ENOENT);
	assert_int_equal(timed_stat("/nonexistent", 1000, &st), -ENOENT);
	assert_int_equal(timed_open("/proc/self/exe", 1000, &file), 0);
	assert_int_equal(timed_stat("/proc/self/exe", 1000, &st), 0);
	assert_int_equal(st.st_ino, file.st.st_ino);
	assert_int_equal(timed_pread(file.fd, out, 4, 0, 1000), 4);
	assert_memory_equal(out,
			    "\x7f"
			    "ELF",
			    4);
	assert_int_equal(timed_pread(file.fd, out, 64, (uint64_t)st.st_size - 10, 1000), 10);
	close(file.fd);
}

static void a_file_of_many_parts_is_read_whole_or_to_the_limit(void **state)
{
	char path[] = "/tmp/tmbpf-timed-XXXXXX";
	int fd = mkstemp(path);
	size_t len = 2 * TIMED_IO_BYTES + 17;
	_cleanup_free_ char *data = malloc(len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i % 251);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	for (size_t max = len - 1; max <= len + 1; max++) {
		_cleanup_(buf_release) struct buf b = {0};

		assert_int_equal(timed_read_file(path, max, 1000, &b), max < len ? -EFBIG : 0);
		assert_int_equal(b.len, max < len ? max : len);
		assert_memory_equal(b.data, data, b.len);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_read_with_and_without_a_copy),
		cmocka_unit_test(a_read_that_blocks_is_given_up_and_the_next_one_works),
		cmocka_unit_test(buffers_outlive_a_helper),
		cmocka_unit_test(a_helper_that_was_killed_is_replaced),
		cmocka_unit_test(files_are_opened_and_read),
		cmocka_unit_test(a_file_of_many_parts_is_read_whole_or_to_the_limit),
	};

	return cmocka_run_group_tests(tests, start_child, stop_child);
}
