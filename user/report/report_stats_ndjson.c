/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `report -j`: a header with everything that is known about the snapshot, then a record a group. */
#include <math.h>
#include <string.h>

#include "analyze/stat_key.h"
#include "base/units.h"
#include "report/report_stats_priv.h"

static void put_instant(struct json_writer *w, const char *key, int64_t time_ns)
{
	char text[UNITS_LEN] = "";

	if (time_ns > 0)
		units_format_time(text, time_ns);
	json_str(w, key, *text ? text : NULL);
}

static void put_sum(struct json_writer *w, const struct selection_sum *sum)
{
	json_u64(w, "stacks", sum->stacks);
	json_u64(w, "bytes", sum->bytes);
	json_u64(w, "blocks", sum->blocks);
}

static void put_left_out(struct json_writer *w, const struct selection *sel)
{
	json_object_begin(w, "filtered");
	put_sum(w, &sel->filtered);
	json_u64(w, "default_bytes", sel->by_default.bytes);
	json_object_end(w);
	json_object_begin(w, "suppressed");
	put_sum(w, &sel->suppressed);
	json_array_begin(w, "patterns");
	for (size_t i = 0; i < sel->hit_count; i++) {
		const struct suppress_hit *hit = &sel->hits[i];
		const struct selection_sum sum = {hit->stacks, hit->bytes, hit->blocks};

		json_object_begin(w, NULL);
		json_str(w, "pattern", hit->pattern);
		put_sum(w, &sum);
		json_object_end(w);
	}
	json_array_end(w);
	json_object_end(w);
}

/* A value that is 0 only when unknown. */
static void put_known(struct json_writer *w, const char *key, uint64_t value)
{
	if (value)
		json_u64(w, key, value);
	else
		json_null(w, key);
}

void stats_json_side(struct json_writer *w, const struct stats_side *side)
{
	const struct snapshot *s = side->snap;

	json_str(w, "file", side->name);
	put_instant(w, "time", s->time_ns);
	put_instant(w, "attach_time", side->meta->attach_ns);
	json_double(w, "elapsed_s", s->elapsed_s > 0 ? s->elapsed_s : (double)NAN);
	put_known(w, "pid", (uint64_t)side->meta->pid);
	json_str(w, "comm", side->meta->comm);
	json_str(w, "python", side->meta->python_version);
	json_str(w, "mode", s->mode);
	put_known(w, "frames", side->meta->frames);
	json_u64(w, "live_bytes", s->live_bytes);
	json_u64(w, "live_blocks", s->live_blocks);
	put_known(w, "rss_bytes", s->rss_bytes);
	json_u64(w, "bytes", side->stats->total_size);
	json_u64(w, "blocks", side->stats->total_count);
	put_left_out(w, side->sel);
	if (completeness_is_measured(s)) {
		ndjson_put_coverage(w, s);
		ndjson_put_losses(w, s);
		json_double(w, "lost_ratio", completeness_lost_ratio(s));
		ndjson_put_gap(w, s);
	} else {
		json_null(w, "coverage");
		json_null(w, "lost");
		json_null(w, "lost_ratio");
		json_null(w, "unfollowed");
	}
}

void stats_json_grouping(struct json_writer *w, const struct stats_view *v,
			 const struct statistics *st, size_t groups)
{
	json_str(w, "by", stat_key_name(st->key));
	json_str(w, "cumulative",
		 v->cumulative == STAT_EACH_FRAME   ? "each_frame"
		 : v->cumulative == STAT_EACH_STACK ? "each_stack"
						    : NULL);
	json_str(w, "sort", v->sort);
	json_u64(w, "groups", groups);
}

static void put_stack(struct json_writer *w, const struct statistics *in,
		      const struct statistic *st)
{
	const struct snap_frame *frames;
	size_t count;

	frames = statistic_frames(st, &count);
	json_array_begin(w, "stack");
	for (size_t i = 0; i < count; i++) {
		json_array_begin(w, NULL);
		json_str(w, NULL, intern_get(in->snap->strings, frames[i].file));
		json_i64(w, NULL, frames[i].line);
		ndjson_put_name(w, NULL, in->snap->strings, frames[i].function);
		json_array_end(w);
	}
	json_array_end(w);
	json_bool(w, "truncated", st->biggest->truncated);
}

void stats_json_name(struct json_writer *w, const struct statistics *in, const struct statistic *st)
{
	const struct intern *strings = in->snap->strings;
	const struct snap_frame *frames;
	size_t count;

	if (in->key == STAT_MODULE || in->key == STAT_THREAD || in->key == STAT_DOMAIN) {
		json_str(w, stat_key_name(in->key), intern_get(strings, st->top.file));
		return;
	}
	frames = statistic_frames(st, &count);
	json_str(w, "file", intern_get(strings, frames[0].file));
	if (in->key != STAT_FILENAME && in->key != STAT_FUNCTION)
		json_i64(w, "line", frames[0].line);
	if (in->key != STAT_FILENAME)
		ndjson_put_name(w, "function", strings, statistic_function(in, st));
	if (in->key == STAT_LINENO || in->key == STAT_FUNCTION)
		json_bool(w, "native", st->is_native);
	if (in->key == STAT_TRACEBACK)
		put_stack(w, in, st);
}

void stats_json_average(struct json_writer *w, uint64_t size, uint64_t count)
{
	json_double(w, "average", count ? (double)size / (double)count : (double)NAN);
}

static void put_statistic(struct buf *out, const struct statistics *in, const struct statistic *st)
{
	struct json_writer w = {.out = out};

	json_object_begin(&w, NULL);
	json_str(&w, "type", "statistic");
	stats_json_name(&w, in, st);
	json_u64(&w, "bytes", st->size);
	json_u64(&w, "blocks", st->count);
	stats_json_average(&w, st->size, st->count);
	json_object_end(&w);
	(void)buf_append_str(out, "\n");
}

int report_stats_ndjson(FILE *out, const struct stats_view *v, const struct stats_side *side)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t shown = stats_shown(v, side->stats->count);
	struct json_writer w = {.out = &b};
	int err = 0;

	json_object_begin(&w, NULL);
	json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", "report");
	json_str(&w, "version", TMBPF_VERSION);
	stats_json_grouping(&w, v, side->stats, side->stats->count);
	stats_json_side(&w, side);
	json_object_end(&w);
	(void)buf_append_str(&b, "\n");
	for (size_t i = 0; !err && i < shown; i++) {
		put_statistic(&b, side->stats, &side->stats->items[i]);
		err = export_flush_some(out, &b);
	}
	return err ? err : export_flush(out, &b);
}
