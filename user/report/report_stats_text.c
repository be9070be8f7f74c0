/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `report`: a header, the lines of tracemalloc, and what the numbers are worth. */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "base/units.h"
#include "report/report_stats_priv.h"
#include "report/report_text_line.h"
#include "snapshot/trace_end.h"

/* ---- what was left out, and how complete the rest is ---- */

static void put_sum(struct buf *out, const struct selection_sum *sum)
{
	char size[UNITS_LEN];

	(void)buf_printf(out, "%s in %" PRIu64 " blocks of %" PRIu64 " stacks",
			 units_format_size(size, (int64_t)sum->bytes, false), sum->blocks,
			 sum->stacks);
}

/* Print how to get it back, since the user did not ask for this filter. */
static void put_by_default(struct buf *out, const struct selection *sel)
{
	char size[UNITS_LEN];

	if (!sel->by_default.stacks)
		return;
	(void)buf_append_str(out, " (");
	if (sel->by_default.stacks < sel->filtered.stacks)
		(void)buf_printf(out, "%s of it ",
				 units_format_size(size, (int64_t)sel->by_default.bytes, false));
	(void)buf_append_str(out, "imports; --no-default-filters shows them)");
}

void stats_text_left_out(struct buf *out, const struct selection *sel, const char *prefix)
{
	if (sel->filtered.stacks) {
		(void)buf_printf(out, "%sfiltered out: ", prefix);
		put_sum(out, &sel->filtered);
		put_by_default(out, sel);
		(void)buf_append_str(out, "\n");
	}
	if (sel->suppressed.stacks) {
		(void)buf_printf(out, "%ssuppressed: ", prefix);
		put_sum(out, &sel->suppressed);
		(void)buf_append_str(out, "\n");
	}
	for (size_t i = 0; i < sel->hit_count; i++) {
		const struct suppress_hit *hit = &sel->hits[i];
		const struct selection_sum sum = {hit->stacks, hit->bytes, hit->blocks};

		if (!hit->stacks)
			continue;
		(void)buf_printf(out, "%s  leak:", prefix);
		text_append_clean(out, hit->pattern);
		(void)buf_append_str(out, ": ");
		put_sum(out, &sum);
		(void)buf_append_str(out, "\n");
	}
}

void stats_text_tail(struct buf *out, const struct stats_side *side, const char *prefix)
{
	stats_text_left_out(out, side->sel, prefix);
	(void)buf_append_str(out, prefix);
	if (completeness_is_measured(side->snap))
		completeness_write(out, side->snap, side->meta->frames);
	else
		(void)buf_append_str(out, "coverage and losses: not known, this is a snapshot of "
					  "tracemalloc\n");
}

/* ---- report ---- */

static void put_header(struct buf *out, const struct stats_view *v, const struct stats_side *side)
{
	char size[UNITS_LEN], time[UNITS_LEN] = "";

	(void)buf_printf(out, "[ Top %zu of %zu, %s in %" PRIu64 " blocks",
			 stats_shown(v, side->stats->count), side->stats->count,
			 units_format_size(size, (int64_t)side->stats->total_size, false),
			 side->stats->total_count);
	if (side->snap->time_ns > 0 &&
	    text_format_time(time, sizeof(time), side->snap->time_ns, TEXT_UTC))
		(void)buf_printf(out, ", %s", time);
	(void)buf_append_str(out, ", ");
	text_append_clean(out, side->snap->mode ? side->snap->mode : "mode not known");
	if (v->cumulative == STAT_EACH_FRAME)
		(void)buf_append_str(out, ", cumulative (each frame)");
	else if (v->cumulative == STAT_EACH_STACK)
		(void)buf_append_str(out, ", cumulative (each stack)");
	(void)buf_append_str(out, " ]\n");
}

/* As the examples of tracemalloc's documentation print a traceback. */
static void put_block(struct buf *out, const struct stats_view *v, const struct stats_side *side,
		      const struct statistic *st)
{
	char size[UNITS_LEN];

	(void)buf_printf(out, "%" PRIu64 " memory blocks: %s", st->count,
			 units_format_size(size, (int64_t)st->size, false));
	if (side->stats->total_size)
		(void)buf_printf(out, " (%.1f%%)",
				 100.0 * (double)st->size / (double)side->stats->total_size);
	if (st->biggest->truncated)
		(void)buf_append_str(out, ", older calls were cut");
	(void)buf_append_str(out, "\n");
	stat_text_traceback(out, side->stats, st, &v->traceback);
}

static void put_rest(struct buf *out, const struct stats_view *v, const struct stats_side *side)
{
	size_t shown = stats_shown(v, side->stats->count), rest = side->stats->count - shown;
	uint64_t bytes = side->stats->total_size, blocks = side->stats->total_count;
	char size[UNITS_LEN];

	/* Print no sum of the others, because cumulative groups overlap. */
	if (!rest || v->cumulative != STAT_OWN)
		return;
	for (size_t i = 0; i < shown; i++) {
		const struct statistic *st = &side->stats->items[i];

		bytes -= st->size < bytes ? st->size : bytes;
		blocks -= st->count < blocks ? st->count : blocks;
	}
	(void)buf_printf(out, "%zu other: size=%s, count=%" PRIu64 "\n", rest,
			 units_format_size(size, (int64_t)bytes, false), blocks);
}

int report_stats_text(FILE *out, const struct stats_view *v, const struct stats_side *side)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t shown = stats_shown(v, side->stats->count);
	int err = 0;

	put_header(&b, v, side);
	for (size_t i = 0; !err && i < shown; i++) {
		const struct statistic *st = &side->stats->items[i];

		if (side->stats->key == STAT_TRACEBACK) {
			put_block(&b, v, side, st);
		} else {
			stat_text_statistic(&b, side->stats, st);
			(void)buf_append_str(&b, "\n");
		}
		err = export_flush_some(out, &b);
	}
	if (err)
		return err;
	put_rest(&b, v, side);
	if (!side->stats->count)
		(void)buf_append_str(&b, "nothing that passes the filters is alive\n");
	stats_text_tail(&b, side, "");
	return export_flush(out, &b);
}
