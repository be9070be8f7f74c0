// SPDX-License-Identifier: GPL-2.0-or-later
/* The live report: attach, print every INTERVAL, until Ctrl-C, COUNT, or the end of the target. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/watch_options.h"
#include "trace/capture_facts.h"
#include "trace/capture_loop.h"

#define HELD_MAX 16

struct watch {
	struct options opts;
	struct capture capture;
	struct report *report;
	struct snapshot *last; /* what was printed last */
	int signals;	       /* signalfd */
	bool cost_warned;
	bool said_hello;
	struct held { /* coded messages from before hello, which is the first line of -j */
		char *code, *message, *fix;
	} held[HELD_MAX];
	size_t held_count;
};

static void on_message(void *ctx, enum log_level level, const char *code, const char *message,
		       const char *fix)
{
	struct watch *w = ctx;

	(void)level;
	if (!w->opts.json || !w->report)
		return;
	if (w->said_hello)
		report_warning(w->report, code, message, fix);
	else if (w->held_count < HELD_MAX)
		w->held[w->held_count++] =
			(struct held){strdup(code), strdup(message), fix ? strdup(fix) : NULL};
}

/* Say what was held back, and forget it. */
static void release_held(struct watch *w)
{
	w->said_hello = true;
	for (size_t i = 0; i < w->held_count; i++) {
		struct held *h = &w->held[i];

		if (h->code && h->message)
			report_warning(w->report, h->code, h->message, h->fix);
		free(h->code);
		free(h->message);
		free(h->fix);
	}
	w->held_count = 0;
}

static unsigned terminal_width(void)
{
	struct winsize ws;
	const char *columns = getenv("COLUMNS");

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) && ws.ws_col)
		return ws.ws_col;
	return columns ? (unsigned)strtoul(columns, NULL, 10) : 0;
}

static int report_open(struct watch *w)
{
	const char *no_color = getenv("NO_COLOR");
	struct report_opts ro = {
		.by = w->opts.by,
		.top = w->opts.top,
		.verbose = w->opts.verbose,
		.width = terminal_width(),
		.color = isatty(STDOUT_FILENO) && !(no_color && *no_color),
		.interval_s = w->opts.interval_s,
	};
	int err = w->opts.json ? report_ndjson_new(stdout, &ro, &w->report)
			       : report_text_new(stdout, &ro, &w->report);

	if (!err)
		log_set_sink(on_message, w);
	return err;
}

static int say_hello(struct watch *w)
{
	const struct capture *c = &w->capture;
	char libc[48] = "", container[CONTAINER_ID_LEN + 1] = "";
	struct timespec ts;
	struct report_hello h = {
		.pid = (int)w->opts.pid,
		.comm = c->target->comm,
		.python_version = c->has_python ? c->py.version : NULL,
		.libc = capture_libc_text(c, libc, sizeof(libc)),
		.mode = c->pools_mode ? "pools" : "exact",
		.mode_reason = c->guard.reason[0] ? c->guard.reason : NULL,
		.trial = c->guard.measured,
		.trial_s = c->guard.trial_s,
		.trial_events_per_s = c->guard.events_per_s,
		.projected_cost_ratio = c->guard.projected_ratio,
		.frames = w->opts.frames,
		.domains = {c->has_python, c->has_native},
		.pop_sites = alloc_facts(c->alloc).pop_sites,
		.newref_sites = probes_count(c->probes, TM_PROG_NEWREF),
		.libc_sites = alloc_facts(c->alloc).libc_functions,
	};

	if (process_container(c->target->pid, container)) {
		container[CONTAINER_SHORT] = '\0';
		h.container = container;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	h.time_ns = ts.tv_sec * 1000000000LL + ts.tv_nsec;
	return report_hello(w->report, &h);
}

static int print_interval(struct watch *w, bool final)
{
	struct snapshot *now = NULL;
	int err = capture_snapshot(&w->capture, final, &now);

	if (err)
		return err;
	err = report_interval(w->report, now, w->last);
	capture_warn_cost(&w->capture, now, &w->cost_warned);
	snapshot_free(w->last);
	w->last = now;
	return err;
}

/*
 * An interpreter has come up in the target: probes, tables and offsets were laid out without it, so
 * everything is set up anew, the report with it.
 */
static int start_anew(struct watch *w)
{
	int err;

	log_coded_warn("W124", NULL,
		       "an interpreter has started in process %d: tracing starts anew, now with it",
		       (int)w->opts.pid);
	snapshot_free(w->last);
	w->last = NULL;
	report_free(w->report);
	w->report = NULL;
	capture_close(&w->capture);
	err = report_open(w);
	if (!err)
		err = capture_open(&w->opts, &w->capture);
	return err ? err : say_hello(w);
}

/* Until it is time for a report, or over; with those that are asked for by signal in between. */
static const char *wait_interval(struct watch *w, int64_t *next, int *err)
{
	for (;;) {
		const char *why = capture_loop_until(&w->capture, w->signals, *next, err);

		if (*err || (why != CAPTURE_LOOP_ANEW && why != CAPTURE_LOOP_NOW))
			return why;
		if (why == CAPTURE_LOOP_NOW) {
			*err = print_interval(w, false);
		} else {
			*err = start_anew(w);
			*next = clock_after(monotonic_ns(), w->opts.interval_s);
		}
		if (*err)
			return NULL;
	}
}

/* Returns why it ended; *err what went wrong, if anything. */
static const char *run(struct watch *w, int *err)
{
	int64_t next = monotonic_ns();

	for (uint64_t n = 0; !*err && (!w->opts.count || n < w->opts.count); n++) {
		const char *why;

		next = clock_after(next, w->opts.interval_s);
		why = wait_interval(w, &next, err);
		if (!*err)
			*err = print_interval(w, why != NULL);
		if (why)
			return why;
	}
	return *err ? "error" : "count";
}

static int watch_status(struct watch *w, const char *why, int err)
{
	struct report_end end = {.reason = why, .target_gone = !strncmp(why, "target-", 7)};

	if (err == -EPIPE)
		return 0;
	if (err) {
		if (log_exit_status(0) == 0)
			log_err(err, "tracing of %d stopped", (int)w->opts.pid);
		if (!end.target_gone)
			end.reason = "error";
		end.exit_status = log_exit_status(1);
	}
	capture_detach(&w->capture);
	err = report_end(w->report, &end, w->last);
	if (err && err != -EPIPE) {
		log_coded_err(err, "E701", NULL, "cannot write the report");
		return 7;
	}
	return end.exit_status;
}

int cmd_watch(int argc, char **argv)
{
	struct watch w = {.signals = -1};
	const char *why = "error";
	int status = 1, err;

	options_parse(argc, argv, &w.opts);
	if (w.opts.pid == getpid()) {
		log_coded_err(-EINVAL, "E201", NULL, "tmbpf does not trace itself");
		return 2;
	}
	w.signals = capture_signals_open();
	err = w.signals < 0 ? w.signals : report_open(&w);
	if (!err)
		err = capture_open(&w.opts, &w.capture);
	if (!err)
		err = say_hello(&w);
	/* Also when there was no hello: then the errors are all there is to say. */
	release_held(&w);
	if (!err) {
		why = run(&w, &err);
		status = watch_status(&w, why, err);
	} else {
		/* A target that ended takes everything down with it, whatever was said first. */
		status = err == -EPIPE ? 0 : err == -ESRCH ? 3 : log_exit_status(1);
	}
	log_set_sink(NULL, NULL);
	capture_close(&w.capture);
	snapshot_free(w.last);
	report_free(w.report);
	if (w.signals >= 0)
		close(w.signals);
	return status;
}
