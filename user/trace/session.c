// SPDX-License-Identifier: GPL-2.0-or-later
#include "trace/session.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "trace/capture_facts.h"
#include "trace/stop_signals.h"
#include "trace/target_end.h"

#define STEP_MS	       100
#define STEP_NEAR_MS   20 /* close to a memory limit */
#define SKIPPED_SAY_S  10 /* between two messages about skipped reports */
#define HELD_MAX       16
#define FINAL_SILENT_S 0.1 /* a longer final read is announced */

struct trace_session {
	const struct trace_plan *plan;
	const struct trace_sink *sink;
	struct capture procs[TRACE_PROCESSES_MAX];
	size_t proc_count; /* open */
	struct cancel cancel;
	int signals;	       /* readable once a signal has come */
	struct snapshot *last; /* delivered */
	struct trace_end end;
	uint64_t delivered; /* since the header */
	uint64_t delivered_all;
	int64_t next_ns, end_ns; /* monotonic: of the next snapshot; of the session */
	uint64_t skipped;	 /* not logged yet */
	int64_t skipped_said_ns;
	double report_s;  /* how long the last one took */
	double slowest_s; /* of those that made others be skipped, since the last message */
	bool cost_warned;
	bool header_done;
	struct held { /* coded messages from before the header, which comes first */
		char *code, *message, *fix;
	} held[HELD_MAX];
	size_t held_count;
};

/* ---- messages ---- */

static void on_message(void *ctx, enum log_level level, const char *code, const char *message,
		       const char *fix)
{
	struct trace_session *s = ctx;

	(void)level;
	if (!s->sink->ops->warning)
		return;
	if (s->header_done)
		s->sink->ops->warning(s->sink->ctx, code, message, fix);
	else if (s->held_count < HELD_MAX)
		s->held[s->held_count++] =
			(struct held){strdup(code), strdup(message), fix ? strdup(fix) : NULL};
}

static void release_held(struct trace_session *s)
{
	s->header_done = true; /* what the calls log goes out at once */
	for (size_t i = 0; i < s->held_count; i++) {
		struct held *h = &s->held[i];

		if (h->code && h->message)
			s->sink->ops->warning(s->sink->ctx, h->code, h->message, h->fix);
		free(h->code);
		free(h->message);
		free(h->fix);
	}
	s->held_count = 0;
}

/* At most every SKIPPED_SAY_S, except at the end. */
static void say_skipped(struct trace_session *s, bool final)
{
	int64_t now = monotonic_ns();

	if (!s->skipped ||
	    (!final && s->skipped_said_ns && now < clock_after(s->skipped_said_ns, SKIPPED_SAY_S)))
		return;
	log_coded_warn("W151", "a longer interval", "skipped %llu %s%s: one took %.1f s",
		       (unsigned long long)s->skipped, s->plan->noun, s->skipped == 1 ? "" : "s",
		       s->slowest_s);
	s->skipped = 0;
	s->slowest_s = 0;
	s->skipped_said_ns = now;
}

/* ---- attach and detach ---- */

static int session_attach(struct trace_session *s)
{
	struct capture *c = &s->procs[0];
	int err = capture_open(s->plan->capture, c);

	if (err)
		return err;
	s->proc_count = 1;
	c->keep_freed = s->plan->saves;
	capture_set_cancel(c, &s->cancel);
	s->delivered = 0;
	err = s->sink->ops->header(s->sink->ctx, c);
	if (!err)
		release_held(s);
	return err;
}

static void session_close(struct trace_session *s)
{
	snapshot_free(s->last); /* its strings belong to the capture */
	s->last = NULL;
	for (size_t i = 0; i < ARRAY_LEN(s->procs); i++)
		capture_close(&s->procs[i]);
	s->proc_count = 0;
}

/* ---- one snapshot ---- */

static void note_target_end(struct trace_session *s, const struct capture *c)
{
	s->end.reason = target_end_reason(&c->end);
	s->end.code_known = c->end.state != TARGET_ENDED;
	s->end.code = c->end.code;
}

/*
 * Cut short by a signal: what was delivered last stays the last word, unless there is none yet; then the last
 * complete read of the heap is shown, without another look at the target.
 */
static int snapshot_cut_short(struct trace_session *s, struct snapshot **out)
{
	s->end.interrupted = true;
	if (s->last)
		return -ECANCELED;
	return capture_snapshot_of_last(&s->procs[0], out);
}

/* Drain and deliver. Returns: 0; -ECANCELED (a signal cut it short); else logged. */
static int session_snapshot(struct trace_session *s, bool final)
{
	struct capture *c = &s->procs[0];
	int64_t start = monotonic_ns();
	struct snapshot *now = NULL;
	int err = capture_snapshot(c, final, &now);

	if (err == -ECANCELED)
		err = snapshot_cut_short(s, &now);
	if (err)
		return err;
	if (!now) /* the target is gone, and nothing is newer than what was delivered */
		return 0;
	err = s->sink->ops->snapshot(s->sink->ctx, c, now, s->last);
	s->report_s = (double)(monotonic_ns() - start) / 1e9;
	/*
	 * Continue, because another program locks the file and the next one may get through; or the rest
	 * was not written.
	 */
	if (err == -EBUSY || err == -ECANCELED) {
		s->end.interrupted |= err == -ECANCELED;
		snapshot_free(now);
		return err == -EBUSY ? 0 : err;
	}
	snapshot_free(s->last);
	s->last = now;
	if (err)
		return err;
	s->delivered++;
	s->delivered_all++;
	capture_warn_cost(c, now, &s->cost_warned);
	return 0;
}

/*
 * An interpreter has come up in the target: probes, tables and offsets were laid out without it, so the
 * process is detached and attached again.
 */
static int session_reattach(struct trace_session *s)
{
	const struct trace_end end = {.reason = TRACE_END_PYTHON_APPEARED};
	int err = s->plan->saves && s->delivered ? session_snapshot(s, true) : 0;

	log_coded_warn(
		"W124", NULL,
		"an interpreter has started in process %d: tracing starts again, now with it",
		(int)s->plan->capture->pid);
	if (!err)
		err = s->sink->ops->end(s->sink->ctx, &end, s->last, 0);
	s->header_done = false;
	session_close(s);
	if (!err)
		err = session_attach(s);
	s->next_ns = clock_after(monotonic_ns(), s->plan->every_s);
	return err;
}

/* ---- the loop ---- */

static void session_poll(const struct trace_session *s, int64_t deadline_ns)
{
	struct pollfd fds[1 + TRACE_PROCESSES_MAX] = {{.fd = s->signals, .events = POLLIN}};
	int64_t left_ms = (deadline_ns - monotonic_ns()) / 1000000 + 1;
	int step_ms = STEP_MS;

	for (size_t i = 0; i < s->proc_count; i++) {
		fds[1 + i] = (struct pollfd){.fd = bpf_session_ring_fd(s->procs[i].session),
					     .events = POLLIN};
		if (s->procs[i].near_limit)
			step_ms = STEP_NEAR_MS;
	}
	(void)poll(fds, 1 + s->proc_count, left_ms < step_ms ? (int)left_ms : step_ms);
}

/* Everything that must happen every STEP_MS. Returns: why to stop waiting. */
static enum trace_end_reason session_step(struct trace_session *s, int64_t deadline_ns, int *err)
{
	struct capture *c = &s->procs[0];
	bool now_asked = stop_signals_take_now();

	*err = capture_step(c);
	/* A probe could not be moved because the target ended: the next lines find out. */
	if (*err == -ESRCH || *err == -ECANCELED)
		*err = 0;
	if (stop_signals_reason())
		return stop_signals_reason();
	if (capture_ended(c)) {
		note_target_end(s, c);
		return s->end.reason;
	}
	if (*err)
		return TRACE_END_NONE;
	if (capture_python_appeared(c))
		return TRACE_END_PYTHON_APPEARED;
	if (now_asked)
		return TRACE_END_SIGUSR1;
	if (deadline_ns - monotonic_ns() > STEP_MS * 2000000LL || c->near_limit)
		(void)capture_refresh(c);
	return TRACE_END_NONE;
}

/* Returns: TRACE_END_NONE at the deadline, or with *err. */
static enum trace_end_reason session_wait(struct trace_session *s, int *err)
{
	int64_t deadline_ns = s->next_ns < s->end_ns ? s->next_ns : s->end_ns;
	enum trace_end_reason why = stop_signals_reason();

	while (!*err && !why && monotonic_ns() < deadline_ns) {
		session_poll(s, deadline_ns);
		why = session_step(s, deadline_ns, err);
	}
	return why;
}

static void plan_next(struct trace_session *s)
{
	int64_t now = monotonic_ns();

	s->next_ns = clock_after(s->next_ns, s->plan->every_s);
	if (s->next_ns <= now && s->report_s > s->slowest_s)
		s->slowest_s = s->report_s;
	for (; s->next_ns <= now; s->skipped++)
		s->next_ns = clock_after(s->next_ns, s->plan->every_s);
	say_skipped(s, false);
}

/*
 * The numbers of the end are what the user ends the session for: an older report does not stand in for them
 * unless the target cannot be read in time.
 */
static int session_final(struct trace_session *s)
{
	const struct capture *c = &s->procs[0];
	double read_s = c->result ? (double)c->result->duration_ns / 1e9 : 0;
	int err;

	s->end.reason = stop_signals_reason();
	s->end.interrupted = false;
	stop_signals_begin_final();
	if (read_s > FINAL_SILENT_S)
		log_talk("reading the heap once more, which took %.1f s the last time; "
			 "a second signal ends at once",
			 read_s);
	err = session_snapshot(s, true);
	return err == -ECANCELED ? 0 : err;
}

/* A snapshot, and how the session goes on after it. */
static int session_turn(struct trace_session *s, enum trace_end_reason why)
{
	const struct trace_plan *p = s->plan;
	int err;

	if (why && why == stop_signals_reason())
		return session_final(s);
	if (!why && monotonic_ns() >= s->end_ns)
		why = TRACE_END_DURATION;
	s->end.reason = why;
	err = session_snapshot(s, why != TRACE_END_NONE);
	if (stop_signals_reason() && err == -ECANCELED)
		return session_final(s);
	if (stop_signals_reason() && !err) {
		s->end.reason = stop_signals_reason();
		return 0;
	}
	if (s->procs[0].end.state != TARGET_RUNS)
		note_target_end(s, &s->procs[0]);
	else if (!s->end.reason && p->count && s->delivered_all >= p->count)
		s->end.reason = TRACE_END_COUNT;
	if (!err && !s->end.reason)
		plan_next(s);
	return err;
}

static int session_loop(struct trace_session *s)
{
	int64_t now = monotonic_ns();
	int err = 0;

	s->next_ns = clock_after(now, s->plan->every_s);
	s->end_ns = s->plan->duration_s > 0 ? clock_after(now, s->plan->duration_s) : INT64_MAX;
	while (!err && !s->end.reason) {
		enum trace_end_reason why = session_wait(s, &err);

		if (err)
			return err;
		if (why == TRACE_END_PYTHON_APPEARED)
			err = session_reattach(s);
		else if (why == TRACE_END_SIGUSR1 && !s->plan->single)
			err = session_snapshot(s, false);
		else
			err = session_turn(s, why);
	}
	return err;
}

/* ---- begin and end ---- */

static int session_finish(struct trace_session *s, int err)
{
	bool gone = trace_end_target_gone(s->end.reason);
	int status = 0, end_err;

	if (err == -ECANCELED)
		err = 0;
	say_skipped(s, true);
	if (err == -EPIPE)
		return 0;
	if (err) {
		if (!log_exit_status(0))
			log_err(err, "tracing of %d stopped", (int)s->plan->capture->pid);
		if (!gone)
			s->end.reason = TRACE_END_ERROR;
		status = log_exit_status(trace_end_status(TRACE_END_ERROR));
	}
	if (gone && !s->delivered_all)
		status = 3;
	s->end.age_s = s->procs[0].end_age_s;
	for (size_t i = 0; i < s->proc_count; i++)
		capture_detach(&s->procs[i]);
	end_err = s->sink->ops->end(s->sink->ctx, &s->end, s->last, status);
	return status || !end_err ? status : log_exit_status(7);
}

int trace_session_run(const struct trace_plan *plan, const struct trace_sink *sink)
{
	struct trace_session s = {
		.plan = plan, .sink = sink, .cancel = {.asked = stop_signals_overdue}};
	int status, err;

	if (plan->capture->pid == getpid()) {
		log_coded_err(-EINVAL, "E201", NULL, "tmbpf does not trace itself");
		return 2;
	}
	s.signals = stop_signals_open();
	if (s.signals < 0)
		return log_err(s.signals, "cannot handle signals"), log_exit_status(1);
	log_set_sink(on_message, &s);
	err = session_attach(&s);
	/* Print errors without a header too, because then they are all there is. */
	release_held(&s);
	if (!err)
		status = session_finish(&s, session_loop(&s));
	else /* A target that ended takes everything down with it, whatever was logged first. */
		status = err == -EPIPE ? 0 : err == -ESRCH ? 3 : log_exit_status(1);
	log_set_sink(NULL, NULL);
	session_close(&s);
	stop_signals_close();
	return status;
}

void trace_session_tick(struct capture *c)
{
	/* An error shows again in the next step. */
	(void)capture_step(c);
}
