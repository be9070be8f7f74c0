// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A child maps six bytes of code from an anonymous file and calls them with and without a probe on
 * the first instruction, a push, which the kernel emulates as it does at our sites.
 */
#include "probe/calibrate.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "probe/session_priv.h"
#include "probe/uprobe_link.h"

#define ROUNDS	   9
#define CALLS	   400
#define TIMEOUT_MS 2000

static const unsigned char code[] = {0x53, 0x5b, 0xc3}; /* push %rbx; pop %rbx; ret */

static double thread_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In the child: sorted ns per call of each round. */
static void measure_rounds(void (*fn)(void), double rounds[ROUNDS])
{
	for (int r = 0; r < ROUNDS; r++) {
		double start = thread_ns();

		for (int i = 0; i < CALLS; i++)
			fn();
		rounds[r] = (thread_ns() - start) / CALLS;
	}
	qsort(rounds, ROUNDS, sizeof(double), by_value);
}

/* Without an end of the pipe that it writes to itself, it sees when the parent has died, and ends. */
static void child_main(int memfd, const int to[2], const int from[2])
{
	int in = to[0], out = from[1];
	double rounds[ROUNDS];
	void (*fn)(void);
	char go;
	void *p;

	close(to[1]);
	close(from[0]);
	p = mmap(NULL, sizeof(code), PROT_READ | PROT_EXEC, MAP_PRIVATE, memfd, 0);
	if (p == MAP_FAILED)
		_exit(1);
	memcpy(&fn, &p, sizeof(fn));
	fn();
	if (write(out, "r", 1) != 1 || read(in, &go, 1) != 1)
		_exit(1);
	measure_rounds(fn, rounds);
	if (write(out, rounds, sizeof(rounds)) != (ssize_t)sizeof(rounds))
		_exit(1);
	_exit(0);
}

static bool read_in_time(int fd, void *data, size_t len)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, TIMEOUT_MS) == 1 && read(fd, data, len) == (ssize_t)len;
}

static int run_child(const struct bpf_session *s, pid_t child, int memfd, int in, int out,
		     double rounds[ROUNDS])
{
	_cleanup_(uprobe_link_freep) struct uprobe_link *link = NULL;
	uint64_t off = 0;
	char path[64], ready;
	struct uprobe_sites sites = {.path = path, .offsets = &off, .count = 1, .pid = child};
	int err;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	if (!read_in_time(in, &ready, 1))
		return -EIO;
	err = uprobe_link_attach(s->skel->progs.record_site, &sites, s->multi, &link);
	if (err)
		return err;
	if (write(out, "g", 1) != 1 || !read_in_time(in, rounds, ROUNDS * sizeof(double)))
		return -EIO;
	return 0;
}

int calibrate_trap(const struct bpf_session *s, double *ns, double *spread)
{
	_cleanup_close_ int memfd = -1;
	int to[2], from[2], err;
	double rounds[ROUNDS];
	pid_t child;

	memfd = memfd_create("tmbpf-calibrate", MFD_CLOEXEC);
	if (memfd < 0 || write(memfd, code, sizeof(code)) != (ssize_t)sizeof(code))
		return -errno;
	if (pipe(to))
		return -errno;
	if (pipe(from)) {
		close(to[0]);
		close(to[1]);
		return -EMFILE;
	}
	child = fork();
	if (child == 0)
		child_main(memfd, to, from);
	close(to[0]);
	close(from[1]);
	err = child < 0 ? -EAGAIN : run_child(s, child, memfd, from[0], to[1], rounds);
	close(to[1]);
	close(from[0]);
	if (child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (err)
		return err;
	*ns = rounds[ROUNDS / 2];
	*spread = (rounds[ROUNDS * 3 / 4] - rounds[ROUNDS / 4]) / 2 / *ns;
	return 0;
}
