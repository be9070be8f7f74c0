/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop of every tracing verb: signals, the ring buffer, the state of the target. */
#include "trace/capture_loop.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "trace/target_end.h"

#define STEP_MS 100
/* How long a process may take to end after it has lost its memory. */
#define EXIT_LOOKS   10
#define EXIT_LOOK_MS 30

const char CAPTURE_LOOP_ANEW[] = "python-appeared";
const char CAPTURE_LOOP_NOW[] = "sigusr1";

static const struct {
	int number;
	const char *reason;
} taken[] = {
	{SIGINT, "sigint"},
	{SIGTERM, "sigterm"},
	{SIGHUP, "sighup"},
	{SIGUSR1, CAPTURE_LOOP_NOW},
};

/* Ignored by the will of whoever started us: a descriptor would bring it all the same. */
static bool is_ignored(int number)
{
	struct sigaction old;

	return !sigaction(number, NULL, &old) && old.sa_handler == SIG_IGN;
}

int capture_signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if (!is_ignored(taken[i].number))
			sigaddset(&set, taken[i].number);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

const char *capture_signal(int signals)
{
	struct signalfd_siginfo si;

	if (read(signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(taken); i++) {
		if ((uint32_t)taken[i].number == si.ssi_signo)
			return taken[i].reason;
	}
	return NULL;
}

/* Wait for a signal or the end of the step. Returns the reason to stop, or NULL. */
static const char *wait_step(const struct capture *c, int signals, int timeout_ms)
{
	struct pollfd fds[2] = {
		{.fd = signals, .events = POLLIN},
		{.fd = bpf_session_ring_fd(c->session), .events = POLLIN},
	};

	if (poll(fds, 2, timeout_ms) <= 0 || !(fds[0].revents & POLLIN))
		return NULL;
	return capture_signal(signals);
}

static const char *target_state(const struct capture *c)
{
	struct target_end end = target_end_now(c->target, c->session);

	/* A process that ends has no image for a moment before the kernel tells how it ended: look again. */
	for (int i = 0; i < EXIT_LOOKS && (end.state == TARGET_ENDED || !end.ns); i++) {
		if (end.state == TARGET_RUNS)
			return NULL;
		(void)poll(NULL, 0, EXIT_LOOK_MS);
		end = target_end_now(c->target, c->session);
	}
	log_debug("target: state %d, code %d", (int)end.state, end.code);
	if (end.state == TARGET_RUNS)
		return NULL;
	return end.state == TARGET_EXECED ? "target-exec" : "target-exit";
}

const char *capture_loop_until(struct capture *c, int signals, int64_t deadline_ns, int *err)
{
	const char *why = NULL;

	while (!*err && !why && monotonic_ns() < deadline_ns) {
		int64_t left_ms = (deadline_ns - monotonic_ns()) / 1000000 + 1;

		why = wait_step(c, signals, left_ms < STEP_MS ? (int)left_ms : STEP_MS);
		*err = capture_step(c);
		/* A probe could not be moved because the target ended: the next line says so. */
		if (*err == -ESRCH)
			*err = 0;
		if (!why)
			why = target_state(c);
		if (!*err && !why && capture_python_appeared(c))
			why = CAPTURE_LOOP_ANEW;
		if (!*err && !why && deadline_ns - monotonic_ns() > STEP_MS * 2000000LL)
			(void)capture_refresh(c);
	}
	return why;
}
