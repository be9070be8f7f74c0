// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attach, append a snapshot every so often, and a last one when it ends. Messages go to stderr, no data
 * to stdout. The file is checked before the attach and made after it, so that an attach that fails leaves
 * everything as it was.
 */
#include "trace/recorder.h"
#include "report/report_cost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "base/text.h"
#include "base/units.h"
#include "trace/capture_facts.h"
#include "trace/record_stdout.h"
#include "trace/session.h"
#include "trace/stop_signals.h"

#define LOCK_TRIES  100
#define LOCK_TRY_MS 20
#define NAMES_MAX   1000 /* tries for a name beside the one that was asked for */

struct recorder {
	const struct recorder_opts *opts;
	struct capture *capture; /* of the session */
	struct store_writer *writer;
	char *path;
	bool in_dir;	  /* path was made by us */
	bool to_stdout;	  /* -o -: path is for the time of the recording */
	unsigned in_file; /* snapshots in this one */
};

void recorder_opts_init(struct recorder_opts *o)
{
	*o = (struct recorder_opts){.out = ".", .every_s = 60};
	capture_options_init(&o->capture);
}

/* -q leaves errors and warnings. */
#define report_line(r, ...)                    \
	do {                                   \
		if (!(r)->opts->quiet)         \
			log_talk(__VA_ARGS__); \
	} while (0)

static const char *clock_text(int64_t time_ns, char out[16])
{
	if (!text_format_time(out, 16, time_ns, TEXT_LOCAL_CLOCK))
		snprintf(out, 16, "?");
	return out;
}

/* ---- the file ---- */

/* Another name beside the first one: "run.tmb" -> "run-2.tmb". */
static int name_next_file(struct recorder *r)
{
	_cleanup_free_ char *old = take_ptr(r->path);
	size_t len = strlen(old), suffix = strlen(STORE_SUFFIX);
	size_t stem =
		len > suffix && !strcmp(old + len - suffix, STORE_SUFFIX) ? len - suffix : len;

	for (int n = 2; n < NAMES_MAX; n++) {
		struct buf b = {0};
		struct stat st;

		if (buf_printf(&b, "%.*s-%d%s", (int)stem, old, n, old + stem)) {
			buf_release(&b);
			return -ENOMEM;
		}
		if (lstat(b.data, &st)) {
			r->path = b.data;
			return 0;
		}
		buf_release(&b);
	}
	return log_coded_err(-EEXIST, "E702", "record to another place with -o",
			     "%s exists, and so do all that are numbered after it", old);
}

/* Add a number, because a generated name has seconds and a file of the same second may exist. */
static int leave_others(struct recorder *r)
{
	struct stat st;

	return r->in_dir && !lstat(r->path, &st) ? name_next_file(r) : 0;
}

static int name_file(struct recorder *r)
{
	const char *out = r->opts->out;
	size_t len = strlen(out);
	struct timespec ts;
	struct stat st;
	int err;

	r->to_stdout = !strcmp(out, "-");
	if (r->to_stdout)
		return record_stdout_begin(&r->path);
	r->in_dir = !stat(out, &st) && S_ISDIR(st.st_mode);
	if (!r->in_dir) {
		r->path = len ? strdup(out) : strdup(".");
		return r->path ? 0 : -ENOMEM;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	err = store_path_in(out, (int)r->opts->capture.pid, ts.tv_sec * 1000000000LL + ts.tv_nsec,
			    &r->path);
	return err ? err : leave_others(r);
}

static void on_tick(void *ctx)
{
	struct recorder *r = ctx;

	trace_session_tick(r->capture);
}

static bool on_give_up(void *ctx)
{
	(void)ctx;
	return stop_signals_twice();
}

static struct store_opts store_options(struct recorder *r)
{
	return (struct store_opts){
		.force = r->opts->force,
		.keep = r->opts->keep,
		.tick = on_tick,
		.give_up = on_give_up,
		.tick_ctx = r,
	};
}

/*
 * One at a time looks which names are free and takes one. Any user may hold such a lock, so it is not waited for
 * without end. Returns: the descriptor that holds it; -1: none.
 */
static int lock_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB); i++)
		(void)poll(NULL, 0, LOCK_TRY_MS);
	return fd;
}

static int open_file(struct recorder *r)
{
	struct store_opts so = store_options(r);
	struct capture_facts facts;
	struct store_meta meta;
	_cleanup_close_ int turn = r->in_dir ? lock_directory(r->opts->out) : -1;
	int err = leave_others(r);

	if (err)
		return err;
	capture_meta(r->capture, r->opts->single ? 0 : r->opts->every_s, &facts, &meta);
	return store_create(r->path, &meta, &so, &r->writer);
}

/* ---- messages ---- */

static const char *shown_path(const struct recorder *r)
{
	return r->to_stdout ? "stdout" : r->path;
}

static void say_header(const struct recorder *r)
{
	_cleanup_(buf_release) struct buf text = {0};
	struct capture_facts facts;
	struct report_hello hello;
	char *save = NULL;

	capture_hello(r->capture, &facts, &hello);
	report_header_text(&text, &hello, "in the file");
	for (char *line = text.data ? strtok_r(text.data, "\n", &save) : NULL; line;
	     line = strtok_r(NULL, "\n", &save))
		report_line(r, "%s", line);
	if (r->opts->single)
		report_line(r, "taking one snapshot after %.3g s, to %s", r->opts->duration_s,
			    shown_path(r));
	else
		report_line(r, "recording to %s, every %.3g s%s", shown_path(r), r->opts->every_s,
			    r->opts->duration_s > 0 ? "" : ", until Ctrl-C");
}

static void say_snapshot(const struct recorder *r, const struct snapshot *s)
{
	char live[UNITS_LEN], rss[UNITS_LEN], size[UNITS_LEN], now[16];
	struct buf cost = {0};

	units_format_size(live, (int64_t)s->live_bytes, false);
	units_format_size(rss, (int64_t)s->rss_bytes, false);
	units_format_size(size, (int64_t)store_writer_bytes(r->writer), false);
	if (s->slowdown_ratio >= 0) {
		(void)buf_append_str(&cost, "   ");
		cost_put_slowdown(&cost, s);
		if (s->gap.from_ns && !s->gap.to_ns)
			(void)buf_append_str(&cost, ", paused");
	}
	report_line(r, "[%s] snapshot %u: %s in %llu blocks since attach   RSS %s   file %s%s",
		    clock_text(s->time_ns, now), s->seq, live, (unsigned long long)s->live_blocks,
		    rss, size, cost.len ? cost.data : "");
	buf_release(&cost);
}

/* Why it ended, for the line that names the file. */
static const char *why_text(const struct trace_end *end, char *out, size_t cap)
{
	char text[96];

	if (trace_end_target_gone(end->reason))
		snprintf(out, cap, "%s (the process %s)", trace_end_key(end->reason),
			 trace_end_text(end, text, sizeof(text)));
	else
		snprintf(out, cap, "%s", trace_end_key(end->reason));
	return out;
}

static void say_end(const struct recorder *r, const struct trace_end *end,
		    const struct snapshot *last, size_t count)
{
	char live[UNITS_LEN], why[160];
	double elapsed_s = last ? last->elapsed_s : 0;

	units_format_size(live, last ? (int64_t)last->live_bytes : 0, false);
	if (r->opts->single)
		report_line(
			r,
			"%s: %s in %llu blocks that were allocated in the %.1f s since attach and are still alive",
			shown_path(r), live, last ? (unsigned long long)last->live_blocks : 0ull,
			elapsed_s);
	else
		report_line(r, "%s: %zu snapshot%s over %.1f s; ended: %s", shown_path(r), count,
			    count == 1 ? "" : "s", elapsed_s, why_text(end, why, sizeof(why)));
	if (end->interrupted)
		report_line(r,
			    "the last snapshot was cut short by the signal and is not in the file");
	if (r->to_stdout)
		return;
	if (count >= 3)
		report_line(r, "Next: tmbpf leaks %s      or: tmbpf diff %s@first %s", r->path,
			    r->path, r->path);
	else
		report_line(r, "Next: tmbpf report %s", r->path);
}

/* ---- the sink ---- */

static int on_header(void *ctx, struct capture *c)
{
	struct recorder *r = ctx;
	int err;

	r->capture = c;
	r->in_file = 0;
	err = open_file(r);
	if (!err)
		say_header(r);
	return err;
}

static int on_snapshot(void *ctx, const struct capture *c, const struct snapshot *now,
		       const struct snapshot *prev)
{
	struct recorder *r = ctx;
	int err = store_append(r->writer, now);

	(void)c;
	(void)prev;
	if (err)
		return err;
	r->in_file++;
	say_snapshot(r, now);
	return 0;
}

/* Snapshots without the interpreter stay in a file of its own; one without a snapshot vanishes. */
static int end_this_file(struct recorder *r)
{
	int err = store_writer_close(take_ptr(r->writer), trace_end_key(TRACE_END_PYTHON_APPEARED));

	if (err || !r->in_file)
		return err;
	if (!r->to_stdout)
		return name_next_file(r);
	log_coded_warn("W153", command_with("-o", "."),
		       "the output holds only what came after the interpreter started: %u "
		       "snapshots before it are not in it",
		       r->in_file);
	return unlink(r->path) ? -errno : 0;
}

static int send_out(const struct recorder *r)
{
	int err = record_stdout_send(r->path);

	if (err == -ECANCELED)
		log_coded_warn("W152", "read the output of tmbpf to its end",
			       "the recording was not written: its reader does not read");
	return err == -EPIPE ? 0 : err;
}

static int on_end(void *ctx, const struct trace_end *end, const struct snapshot *last, int status)
{
	struct recorder *r = ctx;
	size_t count = 0;
	int err;

	(void)status;
	if (end->reason == TRACE_END_PYTHON_APPEARED)
		return end_this_file(r);
	err = store_writer_finish(r->writer, trace_end_key(end->reason));
	if (store_writer_in_place(r->writer))
		count = store_writer_count(r->writer);
	(void)store_writer_close(take_ptr(r->writer), NULL);
	if (count)
		say_end(r, end, last, count);
	if (!err && count && r->to_stdout)
		err = send_out(r);
	return err;
}

int recorder_run(const struct recorder_opts *o)
{
	static const struct trace_sink_ops ops = {
		.header = on_header,
		.snapshot = on_snapshot,
		.end = on_end,
	};
	struct recorder r = {.opts = o};
	const struct trace_sink sink = {.ops = &ops, .ctx = &r};
	const struct trace_plan plan = {
		.capture = &o->capture,
		.noun = "snapshot",
		.every_s = o->every_s,
		.duration_s = o->duration_s,
		.single = o->single,
		.saves = true,
	};
	struct store_opts so = store_options(&r);
	int status, err = name_file(&r);

	if (!err)
		err = store_check(r.path, &so);
	status = err ? log_exit_status(1) : trace_session_run(&plan, &sink);
	(void)store_writer_close(take_ptr(r.writer), NULL);
	if (r.to_stdout && r.path)
		record_stdout_end(r.path);
	free(r.path);
	return status;
}
