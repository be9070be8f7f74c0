/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A static, since a process has one output and the log's sink has room for one as well. */
#include "cli/stats_output.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "report/report.h"

static struct report *ndjson; /* NULL: text */

static void on_message(void *ctx, enum log_level level, const char *code, const char *message,
		       const char *fix)
{
	(void)level;
	(void)report_warning(ctx, code, message, fix);
}

int stats_output_begin(bool json)
{
	static const struct report_opts opts = {0};
	int err = 0;

	/* A reader that leaves is no error: head(1) does. */
	signal(SIGPIPE, SIG_IGN);
	if (json)
		err = report_ndjson_new(stdout, &opts, &ndjson);
	if (ndjson)
		log_set_sink(on_message, ndjson);
	return err;
}

int stats_output_check(int err)
{
	if (!err && fflush(stdout))
		err = errno ? -errno : -EIO;
	if (err && err != -EPIPE && err != -ENOMEM)
		return log_coded_err(err, "E701", NULL, "cannot write the report: %s",
				     strerror(-err));
	return err == -ENOMEM ? log_err(err, "cannot write the report") : err;
}

int stats_output_end(int err, int status)
{
	struct report_end end = {.end.reason = err ? TRACE_END_ERROR : TRACE_END_DONE};

	log_set_sink(NULL, NULL);
	if (err && err != -EPIPE)
		status = log_exit_status(1);
	end.exit_status = status;
	if (ndjson && err != -EPIPE && report_end(ndjson, &end, NULL) && !err)
		status = 7;
	report_free(ndjson);
	ndjson = NULL;
	return status;
}
