/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `leaks -j`: a header, a record a line, one for the process. docs/ndjson.md lists the fields. */
#include <math.h>

#include "base/units.h"
#include "report/report_leaks.h"
#include "report/report_stats_priv.h"

static const char *const why_keys[LEAK_WHYS] = {
	[LEAK_WHY_KEEPS_GROWING] = "keeps_growing",
	[LEAK_WHY_FEW_BUT_EVEN] = "few_but_even",
	[LEAK_WHY_SHORT] = "too_short",
	[LEAK_WHY_FEW] = "too_few_steps",
	[LEAK_WHY_PAUSED] = "paused",
	[LEAK_WHY_SLOWING] = "slowing",
	[LEAK_WHY_LOSSES] = "losses",
	[LEAK_WHY_STOPPED] = "stopped",
	[LEAK_WHY_FLAT] = "flat",
	[LEAK_WHY_RELEASED] = "released",
	[LEAK_WHY_SWINGS] = "swings",
	[LEAK_WHY_TURNOVER] = "turnover",
};

static const char *const rate_keys[] = {
	[LEAK_RATE_RSS] = "rss",
	[LEAK_RATE_LIVE] = "live",
	[LEAK_RATE_LEAKS] = "leaks",
};

/* A value that is negative only when unknown. */
static void put_ratio(struct json_writer *w, const char *key, double value)
{
	json_double(w, key, value < 0 ? (double)NAN : value);
}

static void put_instant(struct json_writer *w, const char *key, int64_t time_ns)
{
	char text[UNITS_LEN];

	json_str(w, key, *units_format_time(text, time_ns) ? text : NULL);
}

static void put_trend(struct json_writer *w, const struct leak_finding *f)
{
	const struct trend *t = &f->trend;
	double unknown = f->trend_known ? 0 : (double)NAN;

	json_double(w, "bytes_per_min", t->per_min + unknown);
	json_double(w, "bytes_per_min_low", t->per_min_low + unknown);
	json_double(w, "bytes_per_min_high", t->per_min_high + unknown);
	json_double(w, "r2", t->r2 + unknown);
	if (f->trend_known) {
		json_u64(w, "windows_up", t->grew);
		json_u64(w, "windows_compared", t->gaps);
	} else {
		json_null(w, "windows_up");
		json_null(w, "windows_compared");
	}
}

static void put_sum(struct json_writer *w, const char *key, const struct selection_sum *sum)
{
	json_object_begin(w, key);
	json_u64(w, "stacks", sum->stacks);
	json_u64(w, "bytes", sum->bytes);
	json_u64(w, "blocks", sum->blocks);
	json_object_end(w);
}

static void put_counts(struct json_writer *w, const struct leak_table *t)
{
	json_object_begin(w, "verdicts");
	for (int v = 0; v < LEAK_VERDICTS; v++)
		json_u64(w, leak_verdict_name((enum leak_verdict)v), t->counts[v]);
	json_object_end(w);
}

static void put_header(struct buf *b, const struct leaks_report *r)
{
	struct json_writer w = {.out = b};

	json_object_begin(&w, NULL);
	json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", "leaks");
	json_str(&w, "version", TMBPF_VERSION);
	json_str(&w, "by", stat_key_name(r->key));
	json_array_begin(&w, "files");
	for (size_t i = 0; i < r->file_count; i++)
		json_str(&w, NULL, r->files[i]);
	json_array_end(&w);
	json_i64(&w, "pid", r->meta->pid);
	json_str(&w, "comm", r->meta->comm);
	json_str(&w, "python", r->meta->python_version);
	json_str(&w, "mode", r->last->mode);
	put_instant(&w, "from", r->from_ns);
	put_instant(&w, "to", r->to_ns);
	json_double(&w, "span_s", (double)(r->to_ns - r->from_ns) / 1e9);
	json_u64(&w, "pauses", r->pauses.count);
	json_double(&w, "paused_s", r->pauses.seconds);
	json_u64(&w, "snapshots", r->snapshots);
	json_u64(&w, "windows", r->windows);
	json_u64(&w, "stretches", r->stretches);
	json_u64(&w, "snapshots_left_out", r->left_out);
	json_u64(&w, "lines", r->table->count);
	put_counts(&w, r->table);
	put_sum(&w, "filtered", &r->selection->filtered);
	put_sum(&w, "suppressed", &r->selection->suppressed);
	ndjson_put_coverage(&w, r->last);
	ndjson_put_losses(&w, r->last);
	json_double(&w, "missing_ratio", r->missing_ratio);
	json_object_end(&w);
	(void)buf_append_str(b, "\n");
}

static void put_row(struct buf *b, const struct leaks_report *r, const struct leak_row *row)
{
	const struct leak_finding *f = &row->finding;
	const struct leak_name *name = leak_lines_name(r->lines, row->line);
	double minutes = f->span_s / 60;
	struct json_writer w = {.out = b};

	json_object_begin(&w, NULL);
	json_str(&w, "type", "verdict");
	json_str(&w, "verdict", leak_verdict_name(f->verdict));
	json_str(&w, "why", why_keys[f->why]);
	stats_json_name(&w, &name->in, &name->group);
	json_u64(&w, "bytes", f->level_bytes);
	json_u64(&w, "blocks", row->ages.blocks);
	json_u64(&w, "bytes_least", f->bottom_bytes);
	json_u64(&w, "bytes_most", f->peak_bytes);
	json_u64(&w, "kept_bytes", f->kept_bytes);
	put_trend(&w, f);
	put_instant(&w, "since",
		    leak_clock_time(r->time_ns, r->clock_ns, r->snapshots, f->since_ns));
	put_ratio(&w, "alloc_bytes_per_min",
		  f->turnover >= 0 && minutes > 0 ? f->turnover * (double)f->peak_bytes / minutes
						  : -1);
	put_ratio(&w, "freed_ratio", row->ages.freed_ratio);
	put_ratio(&w, "old_ratio", row->ages.old_ratio);
	json_double(&w, "old_s", row->ages.old_s);
	json_bool(&w, "lossy", f->lossy);
	json_object_end(&w);
	(void)buf_append_str(b, "\n");
}

static void put_growth(struct json_writer *w, const char *key, const struct leak_finding *f)
{
	json_object_begin(w, key);
	json_str(w, "verdict", leak_verdict_name(f->verdict));
	json_str(w, "why", why_keys[f->why]);
	json_u64(w, "bytes", f->level_bytes);
	put_trend(w, f);
	json_object_end(w);
}

static void put_process(struct buf *b, const struct leaks_report *r)
{
	const struct leak_process *p = r->process;
	struct json_writer w = {.out = b};
	uint64_t limit = r->meta->cgroup_limit_bytes;

	json_object_begin(&w, NULL);
	json_str(&w, "type", "process");
	if (p->rss_known)
		put_growth(&w, "rss", &p->rss);
	else
		json_null(&w, "rss");
	put_growth(&w, "live", &p->live);
	json_bool(&w, "unexplained", p->unexplained);
	json_double(&w, "unexplained_bytes_per_min", p->unexplained_per_min);
	if (limit)
		json_u64(&w, "limit_bytes", limit);
	else
		json_null(&w, "limit_bytes");
	put_ratio(&w, "limit_min", p->limit_min);
	put_ratio(&w, "limit_min_low", p->limit_min < 0 ? -1 : p->limit_min_low);
	put_ratio(&w, "limit_min_high", p->limit_min < 0 ? -1 : p->limit_min_high);
	json_str(&w, "limit_rate",
		 p->limit_min < 0 || p->limit_reached ? NULL : rate_keys[p->limit_rate]);
	json_object_end(&w);
	(void)buf_append_str(b, "\n");
}

int report_leaks_ndjson(FILE *out, const struct leaks_report *r)
{
	_cleanup_(buf_release) struct buf b = {0};
	size_t first = 0;
	int err = 0;

	put_header(&b, r);
	for (int v = 0; v < LEAK_VERDICTS; v++) {
		size_t shown = report_leaks_shown(r, (enum leak_verdict)v);

		for (size_t i = first; !err && i < first + shown; i++) {
			put_row(&b, r, &r->table->rows[i]);
			err = export_flush_some(out, &b);
		}
		first += r->table->counts[v];
	}
	put_process(&b, r);
	return err ? err : export_flush(out, &b);
}
