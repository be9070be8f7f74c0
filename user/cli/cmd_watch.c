// SPDX-License-Identifier: GPL-2.0-or-later
/* The live report: a sink that prints every snapshot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/cmd.h"
#include "cli/watch_options.h"
#include "trace/capture_facts.h"
#include "trace/session.h"
#include "trace/stop_signals.h"

struct watch {
	struct options opts;
	struct report *report; /* NULL until the header, unless JSON */
	struct cancel cancel;
};

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
		.cancel = &w->cancel,
	};

	report_free(w->report);
	w->report = NULL;
	return w->opts.json ? report_ndjson_new(stdout, &ro, &w->report)
			    : report_text_new(stdout, &ro, &w->report);
}

/* A reader that leaves ends the session without a word. */
static int write_failed(int err)
{
	if (!err || err == -EPIPE || err == -ECANCELED)
		return err;
	return log_coded_err(err, "E701", NULL, "cannot write the report: %s", strerror(-err));
}

static int on_header(void *ctx, struct capture *c)
{
	struct capture_facts facts;
	struct report_hello hello;
	struct watch *w = ctx;
	int err = report_open(w); /* a new one: nothing of before a re-attach can be compared */

	if (err)
		return err;
	capture_hello(c, &facts, &hello);
	return write_failed(report_hello(w->report, &hello));
}

static int on_snapshot(void *ctx, const struct capture *c, const struct snapshot *now,
		       const struct snapshot *prev)
{
	struct watch *w = ctx;

	(void)c;
	return write_failed(report_interval(w->report, now, prev));
}

static void on_warning(void *ctx, const char *code, const char *message, const char *fix)
{
	struct watch *w = ctx;

	if (w->opts.json)
		(void)report_warning(w->report, code, message, fix);
}

static int on_end(void *ctx, const struct trace_end *end, const struct snapshot *last, int status)
{
	struct report_end re = {.end = *end, .exit_status = status};
	struct watch *w = ctx;
	int err;

	if (end->reason == TRACE_END_PYTHON_APPEARED)
		return 0;
	err = write_failed(report_end(w->report, &re, last));
	if (err == -ECANCELED)
		log_coded_warn("W152", "read the output of tmbpf to its end",
			       "the end of the report was not written: its reader does not read");
	return err == -EPIPE || err == -ECANCELED ? 0 : err;
}

int cmd_watch(int argc, char **argv)
{
	static const struct trace_sink_ops ops = {
		.header = on_header,
		.snapshot = on_snapshot,
		.warning = on_warning,
		.end = on_end,
	};
	struct watch w = {.cancel = {.asked = stop_signals_came}};
	const struct trace_sink sink = {.ops = &ops, .ctx = &w};
	struct trace_plan plan = {.capture = &w.opts, .noun = "report"};
	int status;

	options_parse(argc, argv, &w.opts);
	plan.every_s = w.opts.interval_s;
	plan.count = w.opts.count;
	/* Before there is a header -j has messages to print. */
	status = report_open(&w) ? 1 : trace_session_run(&plan, &sink);
	report_free(w.report);
	return status;
}
