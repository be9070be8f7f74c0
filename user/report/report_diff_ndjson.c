/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `diff -j`: a header with both sides, then a record a group of either. */
#include <math.h>

#include "report/report_stats_priv.h"

static void put_header(struct buf *out, const struct stats_view *v, const struct stats_side *old,
		       const struct stats_side *now, size_t groups)
{
	int64_t t0 = old->snap->time_ns, t1 = now->snap->time_ns;
	struct json_writer w = {.out = out};

	json_object_begin(&w, NULL);
	json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", "diff");
	json_str(&w, "version", TMBPF_VERSION);
	stats_json_grouping(&w, v, now->stats, groups);
	json_i64(&w, "bytes_diff",
		 (int64_t)now->stats->total_size - (int64_t)old->stats->total_size);
	json_i64(&w, "blocks_diff",
		 (int64_t)now->stats->total_count - (int64_t)old->stats->total_count);
	json_double(&w, "seconds", t0 > 0 && t1 > 0 ? (double)(t1 - t0) / 1e9 : (double)NAN);
	json_object_begin(&w, "old");
	stats_json_side(&w, old);
	json_object_end(&w);
	json_object_begin(&w, "new");
	stats_json_side(&w, now);
	json_object_end(&w);
	json_object_end(&w);
	(void)buf_append_str(out, "\n");
}

static void put_difference(struct buf *out, const struct statistic_diff *d)
{
	struct json_writer w = {.out = out};

	json_object_begin(&w, NULL);
	json_str(&w, "type", "difference");
	stats_json_name(&w, d->in, d->group);
	json_u64(&w, "bytes", d->size);
	json_i64(&w, "bytes_diff", d->size_diff);
	json_u64(&w, "blocks", d->count);
	json_i64(&w, "blocks_diff", d->count_diff);
	stats_json_average(&w, d->size, d->count);
	json_object_end(&w);
	(void)buf_append_str(out, "\n");
}

int report_diff_ndjson(FILE *out, const struct stats_view *v, const struct stats_side *old,
		       const struct stats_side *now, const struct statistic_diffs *diffs)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t shown = stats_shown(v, diffs->count);
	int err = 0;

	put_header(&b, v, old, now, diffs->count);
	for (size_t i = 0; !err && i < shown; i++) {
		put_difference(&b, &diffs->items[i]);
		err = export_flush_some(out, &b);
	}
	return err ? err : export_flush(out, &b);
}
