// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Handlers instead of a signalfd, because a second signal must end the process while it is in a system call or
 * in a library. They only touch atomics, an eventfd, a timer and _exit(2).
 */
#include "trace/stop_signals.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define MS_NS 1000000LL
/*
 * Count two signals that come together as one, because timeout(1) signals the process and then its
 * group.
 */
#define SAME_MS 100

static const struct {
	int number;
	enum trace_end_reason reason; /* NONE: a snapshot now */
} taken[] = {
	{SIGINT, TRACE_END_SIGINT},
	{SIGTERM, TRACE_END_SIGTERM},
	{SIGHUP, TRACE_END_SIGHUP},
	{SIGUSR1, TRACE_END_NONE},
};

static volatile sig_atomic_t first_reason, now_asked, second_number, final_begun;
static volatile int64_t first_ns; /* before first_reason */
static int wake_fd = -1;

static void wake_up(void)
{
	uint64_t one = 1;

	if (wake_fd >= 0)
		(void)!write(wake_fd, &one, sizeof(one));
}

static void on_last_timer(int number)
{
	(void)number;
	_exit(128 + second_number);
}

/* Let the work that was interrupted tidy up; the timer ends it otherwise. */
static void second_signal(int number)
{
	struct itimerval last = {.it_value.tv_usec = STOP_LAST_MS * 1000};

	if (second_number)
		_exit(128 + number);
	second_number = number;
	signal(SIGALRM, on_last_timer);
	(void)setitimer(ITIMER_REAL, &last, NULL);
}

static void on_stop(int number)
{
	int saved = errno;
	int64_t now = monotonic_ns();

	if (!first_reason) {
		first_ns = now;
		for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
			if (taken[i].number == number)
				first_reason = taken[i].reason;
		}
	} else if (now - first_ns > SAME_MS * MS_NS) {
		second_signal(number);
	}
	wake_up();
	errno = saved;
}

static void on_now(int number)
{
	int saved = errno;

	(void)number;
	now_asked = 1;
	wake_up();
	errno = saved;
}

/* Leave signals inherited as SIG_IGN (nohup) alone. */
static bool is_ignored(int number)
{
	struct sigaction old;

	return !sigaction(number, NULL, &old) && old.sa_handler == SIG_IGN;
}

int stop_signals_open(void)
{
	/* Restart what was interrupted: libraries are not written for EINTR. poll(2) returns all the same. */
	struct sigaction action = {.sa_flags = SA_RESTART};

	first_reason = now_asked = second_number = final_begun = 0;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0)
		return -errno;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		action.sa_handler = taken[i].reason == TRACE_END_NONE ? on_now : on_stop;
		if (!is_ignored(taken[i].number) && sigaction(taken[i].number, &action, NULL))
			return -errno;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes */
	return wake_fd;
}

void stop_signals_close(void)
{
	int fd = wake_fd;

	wake_fd = -1;
	if (fd >= 0)
		close(fd);
}

enum trace_end_reason stop_signals_reason(void)
{
	return (enum trace_end_reason)first_reason;
}

bool stop_signals_take_now(void)
{
	uint64_t count;
	bool asked;

	(void)!read(wake_fd, &count, sizeof(count));
	asked = now_asked;
	now_asked = 0;
	return asked;
}

bool stop_signals_came(void *ctx)
{
	(void)ctx;
	return first_reason;
}

void stop_signals_begin_final(void)
{
	final_begun = 1;
}

bool stop_signals_overdue(void *ctx)
{
	int64_t grace_ms = final_begun ? STOP_FINAL_MS : STOP_GRACE_MS;

	(void)ctx;
	return second_number || (first_reason && monotonic_ns() - first_ns > grace_ms * MS_NS);
}

bool stop_signals_twice(void)
{
	return second_number;
}
