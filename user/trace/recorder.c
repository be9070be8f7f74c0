// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attach, append a snapshot every so often, and a last one when it ends. stderr is talk; there is no data
 * on stdout. Whether the file can be made is asked before the attach, and it is made after it: an attach
 * that fails leaves everything as it was.
 */
#include "trace/recorder.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "trace/capture_facts.h"
#include "trace/capture_loop.h"

#define NAMES_MAX 1000 /* tries for a name beside the one that was asked for */

struct recorder {
	const struct recorder_opts *opts;
	struct capture capture;
	struct store_writer *writer;
	char *path;
	bool in_dir; /* path was made by us */
	int signals;
	unsigned snapshots;	/* taken, in all files */
	unsigned in_file;	/* of these, in this one */
	uint64_t bytes, blocks; /* of the last one */
	double elapsed_s;
	bool cost_warned;
	bool ending;  /* the last snapshot: a signal from now on means at once */
	bool give_up; /* it came */
};

void recorder_opts_init(struct recorder_opts *o)
{
	*o = (struct recorder_opts){.out = ".", .every_s = 60};
	capture_options_init(&o->capture);
}

/* -q leaves errors and warnings. */
#define say(r, ...)                            \
	do {                                   \
		if (!(r)->opts->quiet)         \
			log_talk(__VA_ARGS__); \
	} while (0)

static const char *clock_text(int64_t time_ns, char out[16])
{
	time_t seconds = (time_t)(time_ns / 1000000000);
	struct tm tm;

	if (!localtime_r(&seconds, &tm) || !strftime(out, 16, "%H:%M:%S", &tm))
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

/* A name that we made has seconds: there may be a file of the same second. */
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

	/* What goes wrong here shows again in the next step. */
	(void)capture_step(&r->capture);
}

static bool on_give_up(void *ctx)
{
	struct recorder *r = ctx;
	const char *why;

	/* Before the end a signal is the reason to end, and belongs to the loop. */
	while (r->ending && !r->give_up && (why = capture_signal(r->signals)))
		r->give_up = why != CAPTURE_LOOP_NOW;
	return r->give_up;
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

static int open_file(struct recorder *r)
{
	struct store_opts so = store_options(r);
	struct capture_facts facts;
	struct store_meta meta;
	int err = leave_others(r);

	if (err)
		return err;
	capture_meta(&r->capture, r->opts->single ? 0 : r->opts->every_s, &facts, &meta);
	return store_create(r->path, &meta, &so, &r->writer);
}

/* ---- the talk ---- */

static void say_hello(const struct recorder *r)
{
	const struct capture *c = &r->capture;
	char libc[48], now[16];
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	capture_libc_text(c, libc, sizeof(libc));
	say(r, "tmbpf " TMBPF_VERSION ": %d %s (%s%s%s%s)   nothing is injected",
	    (int)c->target->pid, c->target->comm, c->has_python ? "CPython " : "",
	    c->has_python ? c->py.version : "", c->has_python && *libc ? ", " : "", libc);
	say(r, "tracing %s%s%s, %s, %u frames; memory held before %s is not in the file",
	    c->has_python ? "python" : "", c->has_python && c->has_native ? "+" : "",
	    c->has_native ? "native" : "", c->pools_mode ? "pools" : "exact", c->opts->frames,
	    clock_text(ts.tv_sec * 1000000000LL, now));
	if (c->guard.reason[0])
		say(r, "%s", c->guard.reason);
	if (r->opts->single)
		say(r, "taking one snapshot after %.3g s, to %s", r->opts->duration_s, r->path);
	else
		say(r, "recording to %s, every %.3g s%s", r->path, r->opts->every_s,
		    r->opts->duration_s > 0 ? "" : ", until Ctrl-C");
}

static void say_snapshot(const struct recorder *r, const struct snapshot *s)
{
	char live[UNITS_LEN], rss[UNITS_LEN], size[UNITS_LEN], now[16], cost[48] = "";

	units_format_size(live, (int64_t)s->live_bytes, false);
	units_format_size(rss, (int64_t)s->rss_bytes, false);
	units_format_size(size, (int64_t)store_writer_bytes(r->writer), false);
	if (s->cost_cpu_ratio >= 0)
		snprintf(cost, sizeof(cost), "   cost %.1f%% of one CPU", s->cost_cpu_ratio * 100);
	say(r, "[%s] snapshot %u: %s in %llu blocks since attach   RSS %s   file %s%s",
	    clock_text(s->time_ns, now), s->seq, live, (unsigned long long)s->live_blocks, rss,
	    size, cost);
}

static void say_end(const struct recorder *r, const char *why, size_t count)
{
	char live[UNITS_LEN];

	units_format_size(live, (int64_t)r->bytes, false);
	if (r->opts->single)
		say(r,
		    "%s: %s in %llu blocks that were allocated in the %.1f s since attach and are still alive",
		    r->path, live, (unsigned long long)r->blocks, r->elapsed_s);
	else
		say(r, "%s: %zu snapshot%s over %.1f s; ended: %s", r->path, count,
		    count == 1 ? "" : "s", r->elapsed_s, why);
	if (count >= 3)
		say(r, "Next: tmbpf leaks %s      or: tmbpf diff %s@first %s", r->path, r->path,
		    r->path);
	else
		say(r, "Next: tmbpf report %s", r->path);
}

/* ---- the work ---- */

static int take_snapshot(struct recorder *r, bool final)
{
	_cleanup_(snapshot_freep) struct snapshot *s = NULL;
	int err = capture_snapshot(&r->capture, final, &s);

	if (err)
		return err;
	/* timeout(1) sends its signal twice: what came until here is the first one. */
	while (r->ending && capture_signal(r->signals))
		;
	err = store_append(r->writer, s);
	if (err == -EBUSY) /* said; the next one may get through */
		return 0;
	if (err)
		return err;
	r->snapshots++;
	r->in_file++;
	r->bytes = s->live_bytes;
	r->blocks = s->live_blocks;
	r->elapsed_s = s->elapsed_s;
	say_snapshot(r, s);
	capture_warn_cost(&r->capture, s, &r->cost_warned);
	return 0;
}

static int start(struct recorder *r)
{
	int err = capture_open(&r->opts->capture, &r->capture);

	if (err)
		return err;
	r->in_file = 0;
	r->capture.keep_freed = true; /* churn, and the alloc types of pprof, need them */
	err = open_file(r);
	if (!err)
		say_hello(r);
	return err;
}

/*
 * An interpreter has come up: everything is laid out anew, and what was recorded without it stays in a file
 * of its own. While nothing was recorded yet (tmbpf came while the process started) there is no such file:
 * it vanishes, and its name is used again.
 */
static int start_anew(struct recorder *r)
{
	bool empty = !r->in_file;
	int err = empty ? 0 : take_snapshot(r, true);

	log_coded_warn("W124", NULL,
		       "an interpreter has started in process %d: tracing starts anew, now with it",
		       (int)r->opts->capture.pid);
	if (!err)
		err = store_writer_close(take_ptr(r->writer), CAPTURE_LOOP_ANEW);
	capture_close(&r->capture);
	if (!err && !empty)
		err = name_next_file(r);
	return err ? err : start(r);
}

/* Returns why it ended; *err what went wrong, if anything. */
static const char *run(struct recorder *r, int *err)
{
	const double every_s = r->opts->every_s;
	int64_t now = monotonic_ns(), next = clock_after(now, every_s);
	int64_t end = r->opts->duration_s > 0 ? clock_after(now, r->opts->duration_s) : INT64_MAX;

	while (!*err) {
		const char *why =
			capture_loop_until(&r->capture, r->signals, next < end ? next : end, err);

		if (!*err && why == CAPTURE_LOOP_ANEW) {
			*err = start_anew(r);
			next = clock_after(monotonic_ns(), every_s);
			continue;
		}
		if (!*err && why == CAPTURE_LOOP_NOW && !r->opts->single) {
			*err = take_snapshot(r, false);
			continue;
		}
		now = monotonic_ns();
		if (!why && now >= end)
			why = "duration";
		r->ending = why != NULL;
		if (!*err)
			*err = take_snapshot(r, why != NULL);
		if (why)
			return why;
		/* A snapshot that took longer than the distance: the missed ones are left out. */
		for (now = monotonic_ns(); next <= now;)
			next = clock_after(next, every_s);
	}
	return "error";
}

static int finish(struct recorder *r, const char *why, int err)
{
	bool target_gone = !strncmp(why, "target-", 7);
	size_t count = 0;
	int close_err = 0;

	capture_detach(&r->capture);
	r->ending = true; /* also after an error */
	if (r->writer) {
		close_err = store_writer_finish(r->writer, why);
		if (store_writer_in_place(r->writer))
			count = store_writer_count(r->writer);
	}
	(void)store_writer_close(take_ptr(r->writer), NULL);
	if (count)
		say_end(r, why, count);
	if (err && !log_exit_status(0))
		log_err(err, "recording of %d stopped", (int)r->opts->capture.pid);
	if (err == -ESRCH || (!r->snapshots && target_gone))
		return 3;
	return err || close_err ? log_exit_status(1) : 0;
}

int recorder_run(const struct recorder_opts *o)
{
	struct recorder r = {.opts = o, .signals = -1};
	struct store_opts so = store_options(&r);
	int status, err;

	if (o->capture.pid == getpid()) {
		log_coded_err(-EINVAL, "E201", NULL, "tmbpf does not trace itself");
		return 2;
	}
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of write(2) */
	err = name_file(&r);
	if (!err)
		err = store_check(r.path, &so);
	if (!err) {
		r.signals = capture_signals_open();
		err = r.signals < 0 ? r.signals : start(&r);
	}
	if (!err) {
		const char *why = run(&r, &err);

		status = finish(&r, why, err);
	} else {
		(void)store_writer_close(take_ptr(r.writer), NULL);
		status = err == -ESRCH ? 3 : log_exit_status(1);
	}
	capture_close(&r.capture);
	if (r.signals >= 0)
		close(r.signals);
	free(r.path);
	return status;
}
