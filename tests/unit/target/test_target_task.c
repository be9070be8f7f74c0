/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "target/proc_fs.h"
#include "target/target.h"
#include "target/target_task.h"

#define STACK_BYTES 65536

static void the_tracer_is_parsed(void **state)
{
	assert_int_equal(proc_tracer_parse("Name:\tx\nPPid:\t1\nTracerPid:\t4711\nUid:\t0\n"),
			 4711);
	assert_int_equal(proc_tracer_parse("Name:\tx\nTracerPid:\t0\nUid:\t0\n"), 0);
	assert_int_equal(proc_tracer_parse("Name:\tTracerPid:\t7\nPPid:\t1\n"), 0);
	assert_int_equal(proc_tracer_parse("Name:\tx\nTracerPid:\t-1\n"), 0);
	assert_int_equal(proc_tracer_parse("Name:\tx\nTracerPid:\t99999999999\n"), 0);
	assert_int_equal(proc_tracer_parse(""), 0);
}

static void a_tracer_is_seen(void **state)
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	pid_t pid = child_start(argv, NULL, 0);
	struct target *t = NULL;

	usleep(50000);
	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(target_tracer(t, false), 0);
	assert_int_equal(target_tracer(t, true), 0);
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, 0, 0), 0);
	assert_int_equal(target_tracer(t, false), getpid());
	assert_int_equal(target_tracer(t, true), getpid());
	child_stop(pid);
	target_free(t);
}

static char seen_by_the_other = 'x';

static void *stay(void *arg)
{
	pause();
	return NULL;
}

/* A process whose main thread ends while another one stays. */
static pid_t start_headless(void)
{
	pid_t pid = fork();
	pthread_t thread;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seen_by_the_other = 'y';
	pthread_create(&thread, NULL, stay, NULL);
	usleep(200000);
	syscall(SYS_exit, 0); /* of this thread alone */
	__builtin_unreachable();
}

static void wait_for_state(pid_t pid, char want)
{
	struct proc_stat st = {0};

	for (int i = 0; i < 500 && st.state != want; i++) {
		usleep(10000);
		assert_int_equal(proc_stat_read(pid, &st), 0);
	}
	assert_int_equal(st.state, want);
}

static void check_headless(pid_t pid, struct target *t)
{
	uint64_t rss = 0;
	char c = 0;

	assert_true(target_is_alive(t));
	assert_true(target_same_image(t));
	assert_int_equal(target_read(t, (uint64_t)(uintptr_t)&seen_by_the_other, &c, 1), 0);
	assert_int_equal(c, 'y');
	assert_true(target_main_thread_ended(t));
	assert_int_equal(target_rss(t, &rss), 0);
	assert_true(rss > 0);
	assert_int_equal(target_refresh_maps(t), 0);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(target_is_alive(t));
	assert_false(target_same_image(t));
	target_free(t);
}

static void a_process_outlives_its_main_thread(void **state)
{
	pid_t pid = start_headless();
	struct target *t = NULL;

	assert_int_equal(target_open(pid, &t), 0);
	assert_false(target_main_thread_ended(t));
	wait_for_state(pid, 'Z');
	check_headless(pid, t);
}

static void a_process_without_main_thread_is_opened(void **state)
{
	pid_t pid = start_headless();
	struct target *t = NULL;

	wait_for_state(pid, 'Z');
	assert_int_equal(target_open(pid, &t), 0);
	check_headless(pid, t);
}

static int sleep_in_memory(void *arg)
{
	for (;;)
		pause();
	return 0;
}

static void who_shares_the_memory_is_counted(void **state)
{
	char *stack = malloc(STACK_BYTES);
	struct target *t = NULL;
	pid_t pid, first = 0;

	assert_int_equal(target_open(getpid(), &t), 0);
	assert_int_equal(target_memory_sharers(t, &first), 0);
	pid = clone(sleep_in_memory, stack + STACK_BYTES, CLONE_VM | SIGCHLD, NULL);
	assert_true(pid > 0);
	assert_int_equal(target_memory_sharers(t, &first), 1);
	assert_int_equal(first, pid);
	child_stop(pid);
	assert_int_equal(target_memory_sharers(t, &first), 0);
	target_free(t);
	free(stack);
}

static void a_file_is_attached_by_its_descriptor(void **state)
{
	struct target *t = NULL;
	struct stat st;

	assert_int_equal(target_open(getpid(), &t), 0);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	assert_int_equal(stat(t->objects[0]->attach_path, &st), 0);
	assert_int_equal(st.st_ino, t->objects[0]->inode);
	assert_int_equal(st.st_uid, t->objects[0]->image->owner);
	target_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tracer_is_parsed),
		cmocka_unit_test(a_tracer_is_seen),
		cmocka_unit_test(a_process_outlives_its_main_thread),
		cmocka_unit_test(a_process_without_main_thread_is_opened),
		cmocka_unit_test(who_shares_the_memory_is_counted),
		cmocka_unit_test(a_file_is_attached_by_its_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
