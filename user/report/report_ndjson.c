/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NDJSON, schema tmbpf/1: one object a line. Fields are only ever added, never renamed. */
#include <math.h>

#include "analyze/completeness.h"
#include "base/codes.h"
#include "base/units.h"
#include "report/report_ndjson.h"
#include "report/report_ops.h"
#include "report/report_round.h"

static struct json_writer begin_line(struct report *r, const char *type, bool with_schema)
{
	struct json_writer w = {.out = &r->text};

	json_object_begin(&w, NULL);
	if (with_schema)
		json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", type);
	return w;
}

static void end_line(struct json_writer *w)
{
	json_object_end(w);
	(void)buf_append_str(w->out, "\n");
}

void ndjson_put_time(struct json_writer *w, int64_t time_ns)
{
	char text[UNITS_LEN];

	units_format_time(text, time_ns);
	json_str(w, "time", *text ? text : NULL);
}

static void write_hello(struct report *r, const struct report_hello *h)
{
	struct json_writer w = begin_line(r, "hello", true);

	ndjson_put_time(&w, h->time_ns);
	json_str(&w, "version", TMBPF_VERSION);
	json_u64(&w, "pid", (uint64_t)h->pid);
	json_str(&w, "comm", h->comm);
	json_str(&w, "python", h->python_version);
	json_str(&w, "libc", h->libc);
	json_str(&w, "container", h->container);
	json_str(&w, "mode", trace_mode_key(h->mode));
	json_str(&w, "mode_reason", h->mode_reason);
	json_double(&w, "trial_events_per_s", h->trial ? h->trial_events_per_s : (double)NAN);
	json_double(&w, "projected_cost_ratio",
		    h->trial && h->projected_cost_ratio >= 0 ? h->projected_cost_ratio
							     : (double)NAN);
	json_double(&w, "projected_slowdown_ratio",
		    h->trial && h->projected_slowdown_ratio >= 0 ? h->projected_slowdown_ratio
								 : (double)NAN);
	json_u64(&w, "frames", h->frames);
	json_array_begin(&w, "domains");
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		if (h->domains[d])
			json_str(&w, NULL, snapshot_domain_name((enum snap_domain)d));
	}
	json_array_end(&w);
	json_object_begin(&w, "sites");
	json_u64(&w, "pop", h->pop_sites);
	json_u64(&w, "newref", h->newref_sites);
	json_u64(&w, "libc", h->libc_sites);
	json_object_end(&w);
	end_line(&w);
}

void ndjson_put_coverage(struct json_writer *w, const struct snapshot *s)
{
	json_object_begin(w, "coverage");
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		const struct snap_coverage *c = &s->coverage[d];
		const char *name = snapshot_domain_name((enum snap_domain)d);

		if (!c->known) {
			json_null(w, name);
			continue;
		}
		json_object_begin(w, name);
		json_double(w, "ratio", coverage_ratio(c));
		json_u64(w, "recorded", c->recorded);
		json_u64(w, "missed", c->missed);
		json_u64(w, "moving", c->moving);
		json_object_end(w);
	}
	json_object_end(w);
}

void ndjson_put_losses(struct json_writer *w, const struct snapshot *s)
{
	json_object_begin(w, "lost");
	for (int i = 0; i < TM_DROP_COUNT; i++) {
		if (s->drops[i])
			json_u64(w, losses_get((enum tm_drop)i)->key, s->drops[i]);
	}
	json_object_end(w);
}

static void put_time_named(struct json_writer *w, const char *key, int64_t time_ns)
{
	char text[UNITS_LEN] = "";

	if (time_ns)
		units_format_time(text, time_ns);
	json_str(w, key, *text ? text : NULL);
}

void ndjson_put_gap(struct json_writer *w, const struct snapshot *s)
{
	const struct snap_gap *gap = &s->gap;

	if (!gap->from_ns) {
		json_null(w, "unfollowed");
		return;
	}
	json_object_begin(w, "unfollowed");
	put_time_named(w, "from", gap->from_ns);
	put_time_named(w, "to", gap->to_ns);
	json_str(w, "what", gap->malloc_only ? "malloc" : "all");
	json_u64(w, "bytes", gap->bytes);
	json_u64(w, "blocks", gap->blocks);
	json_object_end(w);
}

/* A name, or null for none: "" could be taken for a name. */
void ndjson_put_name(struct json_writer *w, const char *key, const struct intern *in, str_id_t id)
{
	json_str(w, key, id.v ? intern_get(in, id) : NULL);
}

static void put_stack(struct json_writer *w, const struct snapshot *s, const struct snap_stack *st)
{
	json_array_begin(w, "stack");
	for (size_t i = 0; i < st->frame_count; i++) {
		const struct snap_frame *f = &s->frames[st->first_frame + i];

		json_array_begin(w, NULL);
		json_str(w, NULL, intern_get(s->strings, f->file));
		json_i64(w, NULL, f->line);
		ndjson_put_name(w, NULL, s->strings, f->function);
		json_array_end(w);
	}
	json_array_end(w);
}

static void write_site(struct report *r, const struct statistics *in, const struct statistic *site)
{
	const struct history_entry *h = history_get(&r->history, in, site);
	const struct snapshot *now = in->snap;
	size_t frames;
	const struct snap_frame *top = statistic_frames(site, &frames);
	struct json_writer w = begin_line(r, "site", false);

	json_u64(&w, "seq", now->seq);
	json_str(&w, "file", intern_get(now->strings, top->file));
	json_i64(&w, "line", top->line);
	ndjson_put_name(&w, "function", now->strings, statistic_function(in, site));
	json_str(&w, "domain",
		 in->split_domains ? snapshot_domain_name((enum snap_domain)site->domain) : NULL);
	json_u64(&w, "bytes", site->size);
	json_u64(&w, "blocks", site->count);
	if (h && isfinite(h->bytes_per_s))
		json_i64(&w, "bytes_per_s", round_i64(h->bytes_per_s));
	else
		json_null(&w, "bytes_per_s");
	if (r->opts.by == STAT_TRACEBACK)
		put_stack(&w, now, site->biggest);
	end_line(&w);
}

static void write_interval(struct report *r, const struct snapshot *now,
			   const struct snapshot *prev, const struct statistics *groups)
{
	struct json_writer w = begin_line(r, "interval", false);
	bool cost_known = now->cost_cpu_ratio >= 0;

	ndjson_put_time(&w, now->time_ns);
	json_u64(&w, "seq", now->seq);
	json_double(&w, "elapsed_s", now->elapsed_s);
	json_u64(&w, "live_bytes", now->live_bytes);
	json_u64(&w, "live_blocks", now->live_blocks);
	if (now->rss_bytes)
		json_u64(&w, "rss_bytes", now->rss_bytes);
	else /* could not be read, since no living process has none */
		json_null(&w, "rss_bytes");
	json_str(&w, "mode", now->mode);
	ndjson_put_coverage(&w, now);
	ndjson_put_losses(&w, now);
	json_double(&w, "cost_cpu_ratio", cost_known ? now->cost_cpu_ratio : (double)NAN);
	json_double(&w, "slowdown_ratio",
		    now->slowdown_ratio >= 0 ? now->slowdown_ratio : (double)NAN);
	json_double(&w, "cost_uncertainty", cost_known ? now->cost_uncertainty : (double)NAN);
	json_u64(&w, "events", now->events);
	json_double(&w, "drain_s", now->drain_s);
	ndjson_put_gap(&w, now);
	end_line(&w);
	for (size_t i = 0; i < report_shown(r, groups); i++)
		write_site(r, groups, &groups->items[i]);
}

static void write_warning(struct report *r, const char *code, const char *message, const char *fix)
{
	struct json_writer w = begin_line(r, "warning", false);

	json_str(&w, "code", code);
	json_str(&w, "message", message);
	json_str(&w, "fix", fix);
	end_line(&w);
}

/* How the target ended, by a number or null. */
static void put_code(struct json_writer *w, const char *key, const struct trace_end *end,
		     enum trace_end_reason reason)
{
	if (end->reason == reason && end->code_known)
		json_i64(w, key, end->code);
	else
		json_null(w, key);
}

static void write_end(struct report *r, const struct report_end *end, const struct snapshot *last,
		      const struct statistics *groups)
{
	struct json_writer w = begin_line(r, "end", false);

	json_str(&w, "reason", trace_end_key(end->end.reason));
	json_i64(&w, "exit", end->exit_status);
	if (trace_end_target_gone(end->end.reason)) {
		put_code(&w, "target_status", &end->end, TRACE_END_TARGET_EXIT);
		put_code(&w, "target_signal", &end->end, TRACE_END_TARGET_SIGNAL);
		json_double(&w, "age_s", end->end.age_s);
	}
	if (end->end.interrupted)
		json_bool(&w, "interrupted", true);
	end_line(&w);
}

static const struct report_ops ndjson_ops = {
	.hello = write_hello,
	.interval = write_interval,
	.warning = write_warning,
	.end = write_end,
};

int report_ndjson_new(FILE *out, const struct report_opts *opts, struct report **r)
{
	return report_new(out, opts, &ndjson_ops, r);
}
