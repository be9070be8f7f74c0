/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process may do that looks like another program or another process. Usage: identity CASE
 *
 *   steady         one block of 3000 bytes a millisecond, freed again
 *   low            "go": map a page below all others, then 100 blocks of 1000 bytes
 *   leader-ends    "go": the main thread ends, another one makes 100 blocks of 1000 bytes, one each 10 ms
 *   shared-memory  "go": clone(CLONE_VM), the child makes 10 blocks
 *   vforks         "go": vfork and posix_spawn
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCKS 100
#define BYTES  1000

static void *volatile kept[BLOCKS];

static void wait_for(const char *word)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin))
		if (!strncmp(line, word, strlen(word)))
			return;
	exit(0);
}

static void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

__attribute__((noinline)) static void make_blocks(unsigned pause_us)
{
	for (int i = 0; i < BLOCKS; i++) {
		kept[i] = malloc(BYTES);
		if (pause_us)
			usleep(pause_us);
	}
}

static void *second_thread(void *arg)
{
	pthread_t *first = arg;

	if (first)
		pthread_join(*first, NULL);
	make_blocks(10000);
	say("done");
	wait_for("quit");
	exit(0);
}

static int child_in_memory(void *arg)
{
	for (int i = 0; i < 10; i++)
		kept[i] = malloc(BYTES);
	return 0;
}

static void spawn_children(void)
{
	char *const argv[] = {(char *)"true", NULL};
	pid_t pid = vfork();

	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
	if (!posix_spawnp(&pid, "true", NULL, NULL, argv, argv + 1))
		waitpid(pid, NULL, 0);
}

static void run_case(const char *name)
{
	static pthread_t self;
	pthread_t other;

	if (!strcmp(name, "low")) {
		mmap((void *)0x10000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		     0);
		make_blocks(0);
	} else if (!strcmp(name, "leader-ends")) {
		self = pthread_self();
		pthread_create(&other, NULL, second_thread, &self);
		pthread_exit(NULL);
	} else if (!strcmp(name, "shared-memory")) {
		char *stack = malloc(1 << 20);
		pid_t pid = clone(child_in_memory, stack + (1 << 20), CLONE_VM | SIGCHLD, NULL);

		waitpid(pid, NULL, 0);
	} else if (!strcmp(name, "vforks")) {
		spawn_children();
	}
}

int main(int argc, char **argv)
{
	say("READY");
	if (argc > 1 && !strcmp(argv[1], "steady")) {
		for (;;) {
			void *volatile p = malloc(3000);

			usleep(1000);
			free(p);
		}
	}
	wait_for("go");
	run_case(argc > 1 ? argv[1] : "");
	say("done");
	wait_for("quit");
	return 0;
}
