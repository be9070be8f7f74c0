/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The calls of the live report: group, remember, let the writer render, write the block at once. */
#include "report/report.h"

#include <errno.h>
#include <stdlib.h>

#include "base/slow_out.h"
#include "report/report_ops.h"

int report_new(FILE *out, const struct report_opts *opts, const struct report_ops *ops,
	       struct report **r)
{
	struct report *report = calloc(1, sizeof(*report));

	if (!report)
		return -ENOMEM;
	report->ops = ops;
	report->out = out;
	report->opts = *opts;
	report->slow = opts->cancel ? slow_out_open(fileno(out)) : -1;
	*r = report;
	return 0;
}

void report_free(struct report *r)
{
	if (!r)
		return;
	if (r->slow >= 0)
		slow_out_close(r->slow, fileno(r->out));
	buf_release(&r->text);
	history_release(&r->history);
	short_paths_release(&r->paths);
	free(r);
}

/* One fwrite and one flush a block, so that a reader of a pipe sees whole intervals. */
static int flush_block(struct report *r)
{
	int err = 0;

	if (r->text.oom)
		return -ENOMEM;
	if (r->slow >= 0)
		return slow_out_write(r->slow, r->text.data, r->text.len, r->opts.cancel);
	errno = 0;
	if (r->text.len && fwrite(r->text.data, 1, r->text.len, r->out) != r->text.len)
		err = errno ? -errno : -EIO;
	if (!err && fflush(r->out))
		err = errno ? -errno : -EIO;
	return err;
}

int report_hello(struct report *r, const struct report_hello *h)
{
	buf_reset(&r->text);
	r->pid = h->pid;
	r->frames = h->frames;
	r->mode = h->mode;
	r->ops->hello(r, h);
	return flush_block(r);
}

/* Blocks of different domains stay apart, unless the group is no place in a program. */
static int group_snapshot(const struct report *r, const struct snapshot *s, struct statistics *out)
{
	const struct stat_opts opts = {
		.key = r->opts.by,
		.split_domains = r->opts.by != STAT_THREAD && r->opts.by != STAT_DOMAIN,
	};

	return statistics_make(s, &opts, out);
}

int report_interval(struct report *r, const struct snapshot *now, const struct snapshot *prev)
{
	_cleanup_(statistics_release) struct statistics groups = {0};
	int err;

	buf_reset(&r->text);
	err = group_snapshot(r, now, &groups);
	if (!err)
		err = history_update(&r->history, now, &groups);
	if (err)
		return err;
	r->ops->interval(r, now, prev, &groups);
	return flush_block(r);
}

int report_warning(struct report *r, const char *code, const char *message, const char *fix)
{
	buf_reset(&r->text);
	r->ops->warning(r, code, message, fix);
	return flush_block(r);
}

int report_end(struct report *r, const struct report_end *end, const struct snapshot *last)
{
	_cleanup_(statistics_release) struct statistics groups = {0};

	buf_reset(&r->text);
	if (last) {
		int err = group_snapshot(r, last, &groups);

		if (err)
			return err;
	}
	r->ops->end(r, end, last, last ? &groups : NULL);
	return flush_block(r);
}
