/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Golden text: what stands here is what people grep; a change of it is a change of the interface. */
#include "report_fixture.h"

#define LEDGER "coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing\n"

static struct report *new_report(struct report_opts opts)
{
	struct report *r;

	assert_int_equal(report_text_new(out, &opts, &r), 0);
	return r;
}

static void hello_names_the_target_and_what_is_traced(void **state)
{
	struct report_hello h = story_hello();
	struct report *r = new_report((struct report_opts){0});

	assert_int_equal(report_hello(r, &h), 0);
	assert_written("tmbpf " TMBPF_VERSION ": 4711 gunicorn (CPython 3.12.4, glibc 2.36, "
		       "container 3f9c1a0be2d4)   nothing is injected\n"
		       "tracing python+native, exact, 25 frames; memory held before 14:02:00 is "
		       "not attributed\n");
	report_free(r);
}

static void hello_of_a_native_process_in_pools_mode(void **state)
{
	struct report_hello h = {.pid = 1,
				 .comm = "evil\x1b[2J",
				 .libc = "",
				 .mode = TRACE_MODE_POOLS,
				 .mode_reason = "90000 events/s; force with --mode exact",
				 .trial = true,
				 .trial_s = 0.02,
				 .trial_events_per_s = 90000,
				 .projected_cost_ratio = 0.1,
				 .projected_slowdown_ratio = 0.123,
				 .frames = 1,
				 .domains = {false, true}};
	struct report *r = new_report((struct report_opts){.verbose = true});

	assert_int_equal(report_hello(r, &h), 0);
	assert_written(
		"tmbpf " TMBPF_VERSION ": 1 evil?[2J (no Python)   nothing is injected\n"
		"tracing native, pools, 1 frame; memory held before 00:00:00 is not "
		"attributed\n"
		"a trial of 20 ms saw 90000 allocations/s: exact is projected to slow the target about 12.3% at that "
		"rate\n"
		"mode pools: each pool's blocks are attributed to the line that opened the "
		"pool; 90000 events/s; force with --mode exact\n"
		"probes: 0 pop sites, 0 new-reference sites, 0 libc sites\n");
	h.domains[SNAP_NATIVE] = false;
	h.mode = TRACE_MODE_EXACT;
	h.mode_reason = "forced";
	h.projected_slowdown_ratio = -1;
	assert_int_equal(report_hello(r, &h), 0);
	assert_written("tmbpf " TMBPF_VERSION ": 1 evil?[2J (no Python)   nothing is injected\n"
		       "tracing nothing, exact, 1 frame; memory held before 00:00:00 is not "
		       "attributed\n"
		       "mode exact: forced\n"
		       "probes: 0 pop sites, 0 new-reference sites, 0 libc sites\n");
	report_free(r);
}

static void two_intervals_and_the_end_read_as_in_the_interface(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_interval(1), *b = story_interval(2);
	struct report_hello h = story_hello();
	struct report_end end = {.end.reason = TRACE_END_SIGINT};
	struct report *r = new_report((struct report_opts){.top = 2});

	a->coverage[SNAP_PYTHON].missed = b->coverage[SNAP_PYTHON].missed = 0;
	assert_int_equal(report_hello(r, &h), 0);
	fflush(out);
	assert_written(out_text);
	assert_int_equal(report_interval(r, a, NULL), 0);
	assert_written(
		"[14:02:10] live +16.4 MiB in 91590 blocks since attach   RSS 391 MiB   slows the target about 1.9% (+-20%, estimated)\n"
		"  +12.4 MiB cache.py:88 (90342 blocks)          put            +1270 KiB/s\n"
		"  +3174 KiB views.py:31 (1204 blocks)           handle         +317 KiB/s\n"
		"  +912 KiB 1 other site (44 blocks)\n"
		"coverage python 100% (recorded 141233, missed 0), native n/a; lost: nothing\n");
	assert_int_equal(report_interval(r, b, a), 0);
	assert_written(
		"[14:02:20] live +28.8 MiB in 181932 blocks since attach   RSS 401 MiB (+9766 KiB)"
		"   slows the target about 1.9% (+-20%, estimated)\n"
		"  +24.8 MiB cache.py:88 (180684 blocks)         put            +1270 KiB/s  growing "
		"2/2\n"
		"  +3174 KiB views.py:31 (1204 blocks)           handle         +0 B/s       growing "
		"1/2\n"
		"  +912 KiB 1 other site (44 blocks)\n"
		"coverage python 100% (recorded 141233, missed 0), native n/a; lost: nothing\n");
	assert_int_equal(report_end(r, &end, b), 0);
	assert_written("4711: 28.8 MiB still alive from 20.0 s of tracing; nothing lost. Suspect: "
		       "cache.py:88 put (86%), grew in 2 of 2 intervals.\n"
		       "Next: tmbpf -p 4711 --by traceback -v      or: tmbpf -p 4711 -j\n");
	report_free(r);
}

static void verbose_shows_full_paths_and_the_first_traceback(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report *r = new_report((struct report_opts){.top = 2, .verbose = true});

	s->stacks[0].truncated = true;
	r->frames = 3;
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"[14:02:10] live +16.4 MiB in 91590 blocks since attach   RSS 391 MiB   slows the target about 1.9% (+-20%, estimated)\n"
		"  +12.4 MiB /srv/shop/cache.py:88 (90342 blocks)  put          +1270 KiB/s\n"
		"    biggest stack, 12.4 MiB in 90342 blocks (most recent call last):\n"
		"      ... older calls cut at 3 frames (--frames)\n"
		"      File \"/srv/shop/main.py\", line 12\n"
		"        <module>\n"
		"      File \"/srv/shop/views.py\", line 31\n"
		"        handle\n"
		"      File \"/srv/shop/cache.py\", line 88\n"
		"        put\n"
		"  +3174 KiB /srv/shop/views.py:31 (1204 blocks)  handle        +317 KiB/s\n"
		"  +912 KiB 1 other site (44 blocks)\n"
		"coverage python 99.99% (recorded 141233, missed 3), native n/a; lost: nothing; 1 of "
		"3 stacks cut at 3 frames\n");
	report_free(r);
}

static void native_sites_say_who_called(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.verbose = false});

	s->rss_bytes = 0;
	ADD(s, SNAP_NATIVE, 933888, 44, frame("/usr/lib/libxml2.so.2", 0, "xmlNewNode"),
	    frame("/srv/parse.py", 57, "parse"));
	ADD(s, SNAP_NATIVE, 5000, 2, frame("/srv/parse.py", 60, "copy"));
	ADD(s, SNAP_NATIVE, 4000, 1, frame("/usr/lib/libz.so.1", 0, "inflate"));
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"[14:02:10] live +921 KiB in 47 blocks since attach   RSS unknown   cost unknown\n"
		"  +912 KiB <native> libxml2.so.2 (44 blocks)    xmlNewNode     +91.2 KiB/s  under "
		"parse.py:57\n"
		"  +5000 B <native> parse.py:60 (2 blocks)       copy           +500 B/s\n"
		"  +4000 B <native> libz.so.1 (1 block)          inflate        +400 B/s\n"
		"coverage python n/a, native n/a; lost: nothing\n");
	report_free(r);
}

static void by_traceback_equal_lines_differ_by_their_callers(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.by = STAT_TRACEBACK, .verbose = false});

	ADD(s, SNAP_PYTHON, 3000, 3, frame("/a.py", 1, "f"), frame("/b.py", 2, "g"),
	    frame("/c.py", 3, "h"), frame("/d.py", 4, "i"));
	ADD(s, SNAP_PYTHON, 2000, 2, frame("/a.py", 1, "f"), frame("/b.py", 9, "g"));
	ADD(s, SNAP_PYTHON, 1000, 1, frame("/a.py", 1, "f"));
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written("[14:02:10] live +6000 B in 6 blocks since attach   RSS 391 MiB   cost "
		       "unknown\n"
		       "  +3000 B a.py:1 (3 blocks)                     f              +300 B/s  "
		       "under b.py:2 < c.py:3\n"
		       "  +2000 B a.py:1 (2 blocks)                     f              +200 B/s  "
		       "under b.py:9\n"
		       "  +1000 B a.py:1 (1 block)                      f              +100 B/s\n"
		       "coverage python n/a, native n/a; lost: nothing\n");
	report_free(r);
}

static void by_filename_has_no_line_and_equal_names_get_their_folder(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.by = STAT_FILENAME, .verbose = false});

	ADD(s, SNAP_PYTHON, 3000, 3, frame("/srv/shop/cache.py", 1, "f"));
	ADD(s, SNAP_PYTHON, 2000, 2, frame("/srv/lib/cache.py", 1, "f"));
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written("[14:02:10] live +5000 B in 5 blocks since attach   RSS 391 MiB   cost "
		       "unknown\n"
		       "  +3000 B shop/cache.py (3 blocks)                             +300 B/s\n"
		       "  +2000 B lib/cache.py (2 blocks)                              +200 B/s\n"
		       "coverage python n/a, native n/a; lost: nothing\n");
	report_free(r);
}

static void nothing_recorded_is_not_nothing_allocated(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report_end end = {.end.reason = TRACE_END_COUNT};
	struct report *r = new_report((struct report_opts){.verbose = true});

	s->mode = "pools";
	assert_int_equal(report_interval(r, s, NULL), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "\n  nothing recorded since attach is alive\n"));
	assert_int_equal(report_end(r, &end, s), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "; nothing lost, small blocks of malloc left out.\n"));
	report_free(r);
}

static void a_few_traps_of_an_idle_target_are_no_slowdown(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.verbose = true});

	s->slowdown_ratio = SNAP_SLOWDOWN_MAX;
	s->cost_cpu_ratio = 0.00001;
	assert_int_equal(report_interval(r, s, NULL), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "slows the target for less than 0.1% of the time (it is "
					 "idle)\n"));
	report_free(r);
}

/* Six times what it uses itself, which is a thousandth of a CPU. */
static void a_nearly_idle_target_is_slowed_for_a_share_of_the_time(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.verbose = true});

	s->slowdown_ratio = 6;
	s->cost_cpu_ratio = 0.006;
	s->cost_uncertainty = 0.2;
	assert_int_equal(report_interval(r, s, NULL), 0);
	s->cost_cpu_ratio = 0.3; /* it uses a twentieth */
	assert_int_equal(report_interval(r, s, NULL), 0);
	fflush(out);
	assert_non_null(strstr(out_text,
			       "slows the target for 0.6% of the time (it is nearly idle; "
			       "+-20%, estimated)\n"));
	assert_non_null(strstr(out_text, "slows the target about 600.0% (estimated)\n"));
	report_free(r);
}

static void nothing_alive_is_said(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report_end end = {.end.reason = TRACE_END_COUNT};
	struct report *r = new_report((struct report_opts){.verbose = true});

	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"[14:02:10] live +0 B in 0 blocks since attach   RSS 391 MiB   cost unknown\n"
		"  nothing allocated since attach is alive\n"
		"coverage python n/a, native n/a; lost: nothing\n");
	assert_int_equal(report_end(r, &end, s), 0);
	assert_written("0: 0 B still alive from 10.0 s of tracing; nothing lost.\n"
		       "Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
	report_free(r);
}

static void an_unknown_stack_is_shown_but_is_no_suspect(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report_end end = {.end.reason = TRACE_END_SIGTERM};
	struct report *r = new_report((struct report_opts){.by = STAT_TRACEBACK, .verbose = true});

	assert_int_equal(snapshot_add(s, SNAP_PYTHON, NULL, 0, false, 9000, 1), 0);
	ADD(s, SNAP_PYTHON, 5000, 2, frame("<lost>", 0, ""));
	ADD(s, SNAP_PYTHON, 2000, 2, frame("/a.py", 5, "f"));
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"[14:02:10] live +15.6 KiB in 5 blocks since attach   RSS 391 MiB   cost "
		"unknown\n"
		"  +9000 B <unknown> (1 block)                                  +900 B/s\n"
		"    no frame of its stack is known\n"
		"  +5000 B <lost> (2 blocks)                                    +500 B/s\n"
		"  +2000 B /a.py:5 (2 blocks)                    f              +200 B/s\n"
		"coverage python n/a, native n/a; lost: nothing; no line for 31.2% of the live "
		"bytes (<lost>)\n");
	assert_int_equal(report_end(r, &end, s), 0);
	assert_written(
		"0: 15.6 KiB still alive from 10.0 s of tracing; not everything was "
		"recorded, see below. No suspect: 31% is of no known line, because their "
		"stacks were lost.\n"
		"coverage python n/a, native n/a; lost: nothing; no line for 31.2% of the live "
		"bytes (<lost>)\n"
		"Next: tmbpf -p 0 -j\n");
	report_free(r);
}

static void a_plateau_is_no_suspect_and_what_grows_is_even_if_it_is_smaller(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_snapshot(1), *b = story_snapshot(2);
	struct report_end end = {.end.reason = TRACE_END_COUNT};
	struct report *r = new_report((struct report_opts){0});

	ADD(a, SNAP_PYTHON, 9000, 9, frame("/a.py", 1, "plateau"));
	ADD(b, SNAP_PYTHON, 9000, 9, frame("/a.py", 1, "plateau"));
	assert_int_equal(report_interval(r, a, NULL), 0);
	assert_int_equal(report_interval(r, b, a), 0);
	fflush(out);
	assert_written(out_text);
	assert_int_equal(report_end(r, &end, b), 0);
	assert_written(
		"0: 9000 B still alive from 20.0 s of tracing; nothing lost. No suspect: nothing "
		"keeps growing.\n"
		"Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
	ADD(a, SNAP_PYTHON, 1000, 1, frame("/a.py", 2, "leak"));
	ADD(b, SNAP_PYTHON, 1000, 2, frame("/a.py", 2, "leak"));
	b->stacks[1].bytes = 3000;
	report_free(r);
	r = new_report((struct report_opts){0});
	assert_int_equal(report_interval(r, a, NULL), 0);
	assert_int_equal(report_interval(r, b, a), 0);
	assert_int_equal(report_end(r, &end, b), 0);
	fflush(out);
	assert_non_null(strstr(out_text, "Suspect: a.py:2 leak (30%), grew in 2 of 2 intervals."));
	report_free(r);
}

/* Stacks that differ in what does not name a place are one traceback: it has one sum. */
static void by_traceback_there_is_one_set_of_numbers(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report *r = new_report((struct report_opts){.by = STAT_TRACEBACK, .verbose = true});

	ADD(s, SNAP_PYTHON, 3000, 3, frame("/a.py", 1, "f"), frame("/b.py", 2, "g"));
	ADD(s, SNAP_PYTHON, 2000, 2, frame("/a.py", 1, "f"), frame("/b.py", 2, "g"));
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written("[14:02:10] live +5000 B in 5 blocks since attach   RSS 391 MiB   cost "
		       "unknown\n"
		       "  +5000 B /a.py:1 (5 blocks)                    f              +500 B/s  "
		       "under /b.py:2\n"
		       "    traceback (most recent call last):\n"
		       "      File \"/b.py\", line 2\n"
		       "        g\n"
		       "      File \"/a.py\", line 1\n"
		       "        f\n"
		       "coverage python n/a, native n/a; lost: nothing\n");
	report_free(r);
}

static void by_module_function_thread_and_domain(void **state)
{
	static const struct {
		enum stat_key by;
		const char *first, *second;
	} rows[] = {
		{STAT_FUNCTION, "  +3000 B a.py (3 blocks)                       f  ",
		 "  +2000 B <native> libz.so.1 (2 blocks)         inflate  "},
		{STAT_MODULE, "  +3000 B a (3 blocks)  ",
		 "  +2000 B <native> libz.so.1 (2 blocks)  "},
		{STAT_THREAD, "  +5000 B main (5 blocks)  ", NULL},
		{STAT_DOMAIN, "  +3000 B python (3 blocks)  ", "  +2000 B native (2 blocks)  "},
	};
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	ADD(s, SNAP_PYTHON, 3000, 3, frame("/srv/a.py", 1, "f"));
	ADD(s, SNAP_NATIVE, 2000, 2, frame("/usr/lib/libz.so.1", 0, "inflate"));
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(intern_str(in, "main", &s->stacks[i].thread), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct report *r = new_report((struct report_opts){.by = rows[i].by});
		const char *text;

		assert_int_equal(report_interval(r, s, NULL), 0);
		fflush(out);
		text = strrchr(out_text, '[');
		assert_non_null(strstr(text, rows[i].first));
		assert_true(!rows[i].second || strstr(text, rows[i].second));
		report_free(r);
	}
}

/* Blamed is only what holds more than all that could be of any line. */
static void a_suspect_holds_more_than_what_is_lost(void **state)
{
	struct report_end end = {.end = {.reason = TRACE_END_SIGTERM}};

	for (int full = 0; full < 2; full++) {
		_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
		struct report *r = new_report((struct report_opts){.verbose = false});

		ADD(s, SNAP_PYTHON, full ? 98000 : 1000, 2, frame("<lost>", 0, ""));
		ADD(s, SNAP_PYTHON, 2000, 2, frame("/a.py", 5, "f"));
		s->drops[TM_DROP_STACK_TABLE] = 17;
		assert_int_equal(report_end(r, &end, s), 0);
		if (full)
			assert_written(
				"0: 97.7 KiB still alive from 10.0 s of tracing; not everything was "
				"recorded, see below. No suspect: 98% is of no known line, because "
				"the stack table was full (stack_table_full).\n"
				"coverage python n/a, native n/a; lost: stack_table_full 17; no line "
				"for 98.0% of the live bytes (<lost>)\n"
				"  lost stack_table_full: no room for another distinct stack; "
				"attributed to <lost>\n"
				"Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
		else
			assert_written(
				"0: 3000 B still alive from 10.0 s of tracing; not everything was "
				"recorded, see below. Biggest: a.py:5 f (67%); a suspect takes two "
				"reports or more.\n"
				"coverage python n/a, native n/a; lost: stack_table_full 17; no line "
				"for 33.3% of the live bytes (<lost>)\n"
				"  lost stack_table_full: no room for another distinct stack; "
				"attributed to <lost>\n"
				"Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
		report_free(r);
	}
}

static void what_is_not_followed_is_marked_and_is_no_suspect(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report_end end = {.end = {.reason = TRACE_END_SIGTERM}};
	struct snapshot *b;
	struct report *r = new_report((struct report_opts){.top = 5});

	ADD(s, SNAP_PYTHON, 6000, 6, frame("/a.py", 5, "f"));
	ADD(s, SNAP_PYTHON, 2000, 2, frame("/b.py", 7, "g"));
	s->stacks[0].unfollowed_bytes = 6000;
	s->gap = (struct snap_gap){.from_ns = ATTACH_NS, .bytes = 6000, .blocks = 6};
	s->slowdown_ratio = SNAP_SLOWDOWN_MAX;
	s->cost_cpu_ratio = 0.5;
	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"[14:02:10] live +8000 B in 8 blocks since attach   RSS 391 MiB   slows the target by "
		"more than 900% (estimated)\n"
		"  +6000 B a.py:5 (6 blocks)                     f              +600 B/s\n"
		"  +2000 B b.py:7 (2 blocks)                     g              +200 B/s\n"
		"blocks are not followed since 14:02:00, to hold --overhead: at most 6000 B (75%) in 6 "
		"blocks are from before and may have been freed since\n"
		"coverage python n/a, native n/a; lost: nothing\n");
	s->gap.to_ns = ATTACH_NS + 5000000000;
	s->gap.malloc_only = true;
	assert_int_equal(report_end(r, &end, s), 0);
	assert_written(
		"0: 8000 B still alive from 10.0 s of tracing; not everything was recorded, see "
		"below. Biggest: b.py:7 g (25%); a suspect takes two reports or more.\n"
		"malloc and free were not followed from 14:02:00 to 14:02:05, to hold --overhead: at "
		"most 6000 B (75%) in 6 blocks are from before and may have been freed since\n"
		"coverage python n/a, native n/a; lost: nothing\n"
		"Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
	/* It has grown, but whether it still does is not known. */
	b = story_snapshot(2);
	ADD(b, SNAP_PYTHON, 9000, 9, frame("/a.py", 5, "f"));
	b->stacks[0].unfollowed_bytes = 9000;
	b->gap = s->gap;
	assert_int_equal(report_interval(r, b, s), 0);
	assert_int_equal(report_end(r, &end, b), 0);
	snapshot_free(b);
	fflush(out);
	assert_non_null(strstr(out_text, " No suspect: nothing has been followed to the end.\n"));
	report_free(r);
}

static void losses_stand_in_the_interval_and_at_the_end(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);
	struct report_end end = {.end.reason = TRACE_END_TARGET_EXIT};
	struct report *r = new_report((struct report_opts){.verbose = false});
	static const char ledger[] =
		"coverage python 50.00% (recorded 1, missed 1), native n/a; lost: ring_full 2\n"
		"  lost ring_full: a new stack did not fit the ring buffer; its blocks are "
		"attributed "
		"to <lost>\n"
		"  the python numbers are too low: 1 of 2 live blocks have no record\n";
	char expected[1024];

	ADD(s, SNAP_PYTHON, 2000, 2, frame("/a.py", 5, "f"));
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 1, 1, 0};
	s->drops[TM_DROP_RING_FULL] = 2;
	assert_int_equal(report_interval(r, s, NULL), 0);
	snprintf(expected, sizeof(expected),
		 "[14:02:10] live +2000 B in 2 blocks since attach   RSS 391 MiB   cost unknown\n"
		 "  +2000 B a.py:5 (2 blocks)                     f              +200 B/s\n%s",
		 ledger);
	assert_written(expected);
	assert_int_equal(report_end(r, &end, s), 0);
	snprintf(expected, sizeof(expected),
		 "0 has exited; the numbers are those of 14:02:10.\n"
		 "0: 2000 B still alive from 10.0 s of tracing; not everything was recorded, see "
		 "below. Biggest: a.py:5 f (100%%); a suspect takes two reports or more.\n%s"
		 "Next: start it again, then tmbpf -p PID --by traceback -v      or: tmbpf -p PID "
		 "-j\n",
		 ledger);
	assert_written(expected);
	report_free(r);
}

static void the_end_says_why_when_it_was_not_the_user(void **state)
{
	struct report_end exec = {.end.reason = TRACE_END_TARGET_EXEC},
			  error = {.end.reason = TRACE_END_ERROR, .exit_status = 5};
	struct report *r = new_report((struct report_opts){.verbose = false});
	_cleanup_(snapshot_freep) struct snapshot *s = story_snapshot(1);

	assert_int_equal(report_end(r, &exec, NULL), 0);
	assert_written("0 now runs another program.\n0: nothing was measured.\n");
	assert_int_equal(report_end(r, &error, s), 0);
	assert_written("0: stopped by an error (exit 5).\n"
		       "0: 0 B still alive from 10.0 s of tracing; nothing lost.\n"
		       "Next: tmbpf -p 0 --by traceback -v      or: tmbpf -p 0 -j\n");
	report_free(r);
}

static void a_change_of_mode_is_said_once(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *a = story_snapshot(1), *b = story_snapshot(2);
	struct report_hello h = story_hello();
	struct report *r = new_report((struct report_opts){.verbose = false});
	const char *said;

	assert_int_equal(report_hello(r, &h), 0);
	assert_int_equal(report_interval(r, a, NULL), 0);
	fflush(out);
	assert_null(strstr(out_text, "mode "));
	b->mode = "pools";
	assert_int_equal(report_interval(r, b, a), 0);
	assert_int_equal(report_interval(r, b, b), 0);
	fflush(out);
	said = strstr(out_text,
		      "mode pools: each pool's blocks are attributed to the line that opened "
		      "the pool; changed since the last report\n");
	assert_non_null(said);
	assert_null(strstr(said + 1, "mode pools"));
	report_free(r);
}

static void only_site_lines_are_cut_on_a_terminal(void **state)
{
	_cleanup_(snapshot_freep) struct snapshot *s = story_interval(1);
	struct report *r =
		new_report((struct report_opts){.width = 60, .verbose = true, .color = true});

	assert_int_equal(report_interval(r, s, NULL), 0);
	assert_written(
		"\x1b[1m[14:02:10] live +16.4 MiB in 91590 blocks since attach   RSS 391 MiB   slows the target about 1.9% (+-20%, estimated)\x1b[0m\n"
		"  +12.4 MiB \xe2\x80\xa6hop/cache.py:88 (90342 blocks)  put    +1270 K\xe2\x80\xa6\n"
		"    biggest stack, 12.4 MiB in 90342 blocks (most recent call last):\n"
		"      File \"/srv/shop/main.py\", line 12\n"
		"        <module>\n"
		"      File \"/srv/shop/views.py\", line 31\n"
		"        handle\n"
		"      File \"/srv/shop/cache.py\", line 88\n"
		"        put\n"
		"  +3174 KiB \xe2\x80\xa6hop/views.py:31 (1204 blocks)  handle  +317 Ki\xe2\x80\xa6\n"
		"  +912 KiB <native> \xe2\x80\xa6libxml2.so.2 (44 blocks)  xmlNewNode  \xe2\x80\xa6\n" LEDGER);
	report_free(r);
}

static void a_warning_goes_into_files_but_not_twice_to_a_terminal(void **state)
{
	struct report *file = new_report((struct report_opts){.width = 0});
	struct report *terminal = new_report((struct report_opts){.width = 80});

	assert_int_equal(report_warning(file, "W101", "lost 3", "--ring 64M"), 0);
	assert_written("warning W101: lost 3. Fix: --ring 64M\n");
	assert_int_equal(report_warning(file, "W102", "x", NULL), 0);
	assert_written("warning W102: x\n");
	assert_int_equal(report_warning(terminal, "W101", "lost 3", "--ring 64M"), 0);
	assert_written("");
	report_free(file);
	report_free(terminal);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, story_setup, story_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hello_names_the_target_and_what_is_traced),
		CASE(hello_of_a_native_process_in_pools_mode),
		CASE(two_intervals_and_the_end_read_as_in_the_interface),
		CASE(verbose_shows_full_paths_and_the_first_traceback),
		CASE(native_sites_say_who_called),
		CASE(by_traceback_equal_lines_differ_by_their_callers),
		CASE(by_filename_has_no_line_and_equal_names_get_their_folder),
		CASE(nothing_recorded_is_not_nothing_allocated),
		CASE(a_few_traps_of_an_idle_target_are_no_slowdown),
		CASE(a_nearly_idle_target_is_slowed_for_a_share_of_the_time),
		CASE(nothing_alive_is_said),
		CASE(an_unknown_stack_is_shown_but_is_no_suspect),
		CASE(a_plateau_is_no_suspect_and_what_grows_is_even_if_it_is_smaller),
		CASE(by_traceback_there_is_one_set_of_numbers),
		CASE(by_module_function_thread_and_domain),
		CASE(a_suspect_holds_more_than_what_is_lost),
		CASE(what_is_not_followed_is_marked_and_is_no_suspect),
		CASE(losses_stand_in_the_interval_and_at_the_end),
		CASE(the_end_says_why_when_it_was_not_the_user),
		CASE(a_change_of_mode_is_said_once),
		CASE(only_site_lines_are_cut_on_a_terminal),
		CASE(a_warning_goes_into_files_but_not_twice_to_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
