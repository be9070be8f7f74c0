/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything here is compared with the standard library's own output, over many random snapshots. */
#include "report/stat_text.h"

#include <inttypes.h>

#include "analyze/stat_key.h"
#include "base/text.h"
#include "base/units.h"
#include "report/report_text_line.h"

static void put_id(struct buf *out, const struct intern *in, str_id_t id)
{
	text_append_clean(out, intern_get(in, id));
}

static void put_native(struct buf *out, const struct intern *in, const struct snap_frame *f)
{
	(void)buf_append_str(out, "<native> ");
	put_id(out, in, f->file);
	if (!f->function.v)
		return;
	(void)buf_append_str(out, "!");
	put_id(out, in, f->function);
}

static void put_frame(struct buf *out, const struct intern *in, const struct snap_frame *f,
		      bool native)
{
	if (native) {
		put_native(out, in, f);
		return;
	}
	put_id(out, in, f->file);
	(void)buf_printf(out, ":%" PRIi32, f->line);
}

void stat_text_name(struct buf *out, const struct statistics *in, const struct statistic *st)
{
	const struct intern *strings = in->snap->strings;
	const struct snap_frame *frames;
	size_t count;

	frames = statistic_frames(st, &count);
	switch (in->key) {
	case STAT_TRACEBACK: /* str(Traceback) is its oldest frame */
		put_frame(out, strings, &frames[count - 1],
			  stat_frame_is_native(strings, st->domain, &frames[count - 1]));
		break;
	case STAT_LINENO:
		put_frame(out, strings, &st->top, st->is_native);
		break;
	case STAT_FILENAME: /* a frame of line 0, so that is what tracemalloc prints */
		put_frame(out, strings, &st->top, false);
		break;
	case STAT_FUNCTION:
		if (st->is_native) {
			put_native(out, strings, &st->top);
			break;
		}
		if (st->top.function.v)
			put_id(out, strings, st->top.function);
		else
			(void)buf_append_str(out, "<unknown>");
		(void)buf_append_str(out, " (");
		put_id(out, strings, st->top.file);
		(void)buf_append_str(out, ")");
		break;
	default:
		put_id(out, strings, st->top.file);
	}
}

static void put_average(struct buf *out, uint64_t size, uint64_t count)
{
	char text[UNITS_LEN];

	if (!count)
		return;
	/* Rounded once, like a division of integers in Python; long double is exact here. */
	(void)buf_printf(
		out, ", average=%s",
		units_format_size_f(text, (double)((long double)size / (long double)count), false));
}

void stat_text_statistic(struct buf *out, const struct statistics *in, const struct statistic *st)
{
	char size[UNITS_LEN];

	stat_text_name(out, in, st);
	(void)buf_printf(out, ": size=%s, count=%" PRIu64,
			 units_format_size(size, (int64_t)st->size, false), st->count);
	put_average(out, st->size, st->count);
}

void stat_text_diff(struct buf *out, const struct statistic_diff *d)
{
	char size[UNITS_LEN], diff[UNITS_LEN];

	stat_text_name(out, d->in, d->group);
	(void)buf_printf(out, ": size=%s (%s), count=%" PRIu64 " (%+" PRIi64 ")",
			 units_format_size(size, (int64_t)d->size, false),
			 units_format_size(diff, d->size_diff, true), d->count, d->count_diff);
	put_average(out, d->size, d->count);
}

/* ---- traceback ---- */

static void put_traceback_frame(struct buf *out, const struct intern *in,
				const struct snap_frame *f, bool native,
				const struct traceback_opts *opts)
{
	_cleanup_(buf_release) struct buf line = {0};

	if (native) {
		(void)buf_append_str(out, "  ");
		put_native(out, in, f);
		(void)buf_append_str(out, "\n");
		return;
	}
	(void)buf_append_str(out, "  File \"");
	put_id(out, in, f->file);
	(void)buf_printf(out, "\", line %" PRIi32 "\n", f->line);
	if (opts->source)
		source_lines_get(opts->source, intern_get(in, f->file), f->line, &line);
	if (opts->functions && f->function.v) {
		(void)buf_append_str(out, "    ");
		put_id(out, in, f->function);
		(void)buf_append_str(out, line.len ? ": " : "\n");
	} else if (line.len) {
		(void)buf_append_str(out, "    ");
	}
	if (line.len) {
		text_append_clean(out, line.data);
		(void)buf_append_str(out, "\n");
	}
}

/* Which frames, counted from the oldest: self[-limit:] or self[:limit]. */
static void limit_frames(const struct traceback_opts *opts, size_t count, size_t *first,
			 size_t *end)
{
	*first = 0;
	*end = count;
	if (!opts->has_limit)
		return;
	if (opts->limit > 0) {
		if ((uint64_t)opts->limit < count)
			*first = count - (size_t)opts->limit;
	} else if (opts->limit < 0) {
		uint64_t cut = 0 - (uint64_t)opts->limit;

		*end = cut < count ? count - (size_t)cut : 0;
	} else {
		*end = 0;
	}
}

void stat_text_traceback(struct buf *out, const struct statistics *in, const struct statistic *st,
			 const struct traceback_opts *opts)
{
	const struct intern *strings = in->snap->strings;
	const struct snap_frame *frames;
	size_t count, first, end;

	frames = statistic_frames(st, &count);
	limit_frames(opts, count, &first, &end);
	for (size_t i = first; i < end; i++) {
		/* frames are innermost first; position i is counted from the oldest */
		size_t oldest = opts->most_recent_first ? end - 1 - (i - first) : i;
		const struct snap_frame *f = &frames[count - 1 - oldest];

		put_traceback_frame(out, strings, f, stat_frame_is_native(strings, st->domain, f),
				    opts);
	}
}
