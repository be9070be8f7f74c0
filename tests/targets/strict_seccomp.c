/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Allocates under a seccomp filter that kills at every system call it does not need. READY, waits for a line,
 * works, "done", waits. argv[1]: number of blocks that are kept.
 */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ALLOW(nr)                                        \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static void filter_install(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(SYS_read),
		ALLOW(SYS_write),
		ALLOW(SYS_brk),
		ALLOW(SYS_mmap),
		ALLOW(SYS_munmap),
		ALLOW(SYS_mremap),
		ALLOW(SYS_getrandom),
		ALLOW(SYS_exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		exit(2);
}

static void wait_line(void)
{
	char c = 0;

	while (c != '\n') {
		if (read(0, &c, 1) <= 0)
			_exit(0);
	}
}

__attribute__((noinline)) void *keep(size_t bytes)
{
	return malloc(bytes);
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
	void *volatile block = NULL;

	filter_install();
	if (write(1, "READY\n", 6) < 0)
		return 1;
	wait_line();
	for (long i = 0; i < count; i++) {
		block = keep(3000);
		block = realloc(malloc(10), 200000 + (size_t)i);
		free(block);
	}
	if (write(1, "done\n", 5) < 0)
		return 1;
	wait_line();
	_exit(0);
}
