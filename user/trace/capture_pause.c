/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "trace/capture_pause.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/command.h"
#include "base/log.h"
#include "base/text.h"

#define FIX_OVERHEAD	  0.5 /* what a fix asks for, where that is enough */
#define FIX_OVERHEAD_TEXT "50%"
#define LEAVING_LOOKS	  20
#define LEAVING_LOOK_MS	  5
#define WARN_MAX	  5 /* later changes are in the reports, and in the log with -v */

static int64_t realtime_of(int64_t monotonic)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec - (monotonic_ns() - monotonic);
}

static void clock_of(int64_t time_ns, char out[16])
{
	if (!text_format_time(out, 16, time_ns, TEXT_LOCAL_CLOCK))
		snprintf(out, 16, "?");
}

bool capture_is_paused(const struct capture *c)
{
	return c->away == PROBE_PART_ALL;
}

/* ---- away ---- */

static void report_departure(const struct capture *c, const struct governor_state *s)
{
	bool affordable = s->slower <= FIX_OVERHEAD && c->opts->overhead < FIX_OVERHEAD;
	char clock[16], slower[48];

	clock_of(c->unfollowed.gap.from_ns, clock);
	snprintf(slower, sizeof(slower), "%s %.0f%%",
		 s->slower >= LEDGER_SLOWER_MAX ? "by more than" : "about", s->slower * 100);
	if (s->departures > WARN_MAX)
		log_info("%s: paused, it would slow the target %s", clock, slower);
	else if (s->away == PROBE_PART_MALLOC)
		log_coded_warn(
			"W146",
			affordable ? command_with("--overhead", FIX_OVERHEAD_TEXT)
				   : command_with("--mode", "exact"),
			"malloc and free are not traced since %s: that would slow the target %s, more "
			"than --overhead %.3g%%; blocks recorded before are not followed since then",
			clock, slower, c->opts->overhead * 100);
	else
		log_coded_warn(
			"W146", command_with("--mode", "exact"),
			"tracing is paused since %s: %s would slow the target %s, more than "
			"--overhead %.3g%%; blocks recorded before are not followed since then",
			clock, c->pools_mode ? "pools" : "exact", slower, c->opts->overhead * 100);
}

/*
 * Mark the gap before the price of a trap is measured again, because each millisecond more addresses change
 * hands unseen.
 */
static int mark_gap(struct capture *c, const struct governor_state *s)
{
	int err;

	if (!c->pools_mode)
		drain_forget_dead(c->drain);
	err = capture_drain(c, false);
	if (err)
		return err;
	return unfollowed_begin(&c->unfollowed, c->result, s->away == PROBE_PART_MALLOC,
				realtime_of(s->gone_ns));
}

/* The price at attach was that of a machine without this load. */
static void measure_trap_again(struct capture *c)
{
	double trap_ns, spread;

	if (calibrate_trap(c->session, &trap_ns, &spread))
		return;
	log_info("a trap costs %.0f ns now, %.0f before", trap_ns, c->trap_ns);
	c->trap_ns = trap_ns;
	c->trap_spread = spread;
	governor_set_trap(c->governor, trap_ns);
}

static int take_note(struct capture *c, const struct governor_state *s)
{
	int err = mark_gap(c, s);

	if (err)
		return err;
	c->away = s->away;
	c->departures = s->departures;
	report_departure(c, s);
	measure_trap_again(c);
	return 0;
}

/* ---- back ---- */

static int attach_again(struct capture *c)
{
	if (c->learn)
		learn_resume(c->learn, monotonic_ns());
	governor_back(c->governor);
	c->away = 0;
	c->last_full_ns = 0; /* pools opened meanwhile are to be found */
	return probes_set_role(c->probes, probes_role(c->probes));
}

static int come_back(struct capture *c)
{
	char from[16], to[16];
	int err = attach_again(c);

	if (err)
		return err;
	unfollowed_end(&c->unfollowed, realtime_of(monotonic_ns()));
	clock_of(c->unfollowed.gap.from_ns, from);
	clock_of(c->unfollowed.gap.to_ns, to);
	if (c->departures > WARN_MAX)
		log_info("%s: tracing goes on", to);
	else
		log_coded_warn("W147", NULL,
			       "tracing goes on since %s; nothing was recorded from %s on", to,
			       from);
	return 0;
}

static void report_children(struct capture *c, const struct governor_state *s)
{
	if (c->children_reported || !s->children)
		return;
	c->children_reported = true;
	log_coded_warn("W148", NULL,
		       "process %d forks: a child copies the breakpoints and pays for them until "
		       "tmbpf has removed them; %.0f ms of CPU time so far, which count as cost",
		       (int)c->target->pid, s->children_ns / 1e6);
}

static void report_debugger(struct capture *c, const struct governor_state *s)
{
	if (c->debugger_reported || !s->held_by_debugger)
		return;
	c->debugger_reported = true;
	log_coded_warn("W149", NULL,
		       "tracing costs more than --overhead %.3g%%, but a debugger is attached to "
		       "process %d: the probes stay until it leaves",
		       c->opts->overhead * 100, (int)c->target->pid);
}

int capture_pause_step(struct capture *c)
{
	struct governor_state s;

	if (!c->governor || !c->drain)
		return 0;
	governor_poll(c->governor);
	governor_get(c->governor, &s);
	/* A report without the mark of what is just being taken away would claim too much. */
	for (int i = 0; s.leaving && i < LEAVING_LOOKS; i++) {
		(void)poll(NULL, 0, LEAVING_LOOK_MS);
		governor_get(c->governor, &s);
	}
	report_children(c, &s);
	report_debugger(c, &s);
	if (s.departures != c->departures)
		return take_note(c, &s);
	return s.has_room ? come_back(c) : 0;
}
