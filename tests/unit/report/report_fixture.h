/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small story for the report tests: a Python worker with a cache that grows. All static, because
 * each test is one file.
 */
#ifndef TM_TEST_REPORT_FIXTURE_H
#define TM_TEST_REPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analyze/completeness.h"
#include "base/codes.h"
#include "report/report_completeness.h"
#include "report/report_ops.h"
#include "report/report_round.h"

#define UNUSED_OK __attribute__((unused))

static struct intern *in;
static FILE *out;
static char *out_text; /* what the report wrote so far */
static size_t out_len;

static int UNUSED_OK story_setup(void **state)
{
	setenv("TZ", "UTC", 1);
	tzset();
	in = intern_new();
	out = open_memstream(&out_text, &out_len);
	return in && out ? 0 : -1;
}

static int UNUSED_OK story_teardown(void **state)
{
	fclose(out);
	free(out_text);
	intern_free(in);
	return 0;
}

static struct snap_frame UNUSED_OK frame(const char *file, int line, const char *function)
{
	struct snap_frame f = {.line = line};

	assert_int_equal(intern_str(in, file, &f.file), 0);
	assert_int_equal(intern_str(in, function, &f.function), 0);
	return f;
}

#define ADD(snap, domain, bytes, blocks, ...)                                                      \
	do {                                                                                       \
		struct snap_frame fs_[] = {__VA_ARGS__};                                           \
		assert_int_equal(                                                                  \
			snapshot_add(snap, domain, fs_, ARRAY_LEN(fs_), false, bytes, blocks), 0); \
	} while (0)

/* 2026-11-22T14:02:00.013Z is the attach; one interval is ten seconds. */
#define ATTACH_NS (1795356120ll * 1000000000 + 13000000)

static UNUSED_OK struct snapshot *story_snapshot(uint32_t seq)
{
	struct snapshot *s = snapshot_new(in);

	assert_non_null(s);
	s->seq = seq;
	s->elapsed_s = 10.0 * seq;
	s->time_ns = ATTACH_NS + (int64_t)seq * 10000000000;
	s->mode = "exact";
	s->rss_bytes = 400000000 + seq * 10000000ull;
	return s;
}

/* A cache that grows, a view that does not, a native buffer. */
static UNUSED_OK struct snapshot *story_interval(uint32_t seq)
{
	struct snapshot *s = story_snapshot(seq);
	struct snap_frame main_py = frame("/srv/shop/main.py", 12, "<module>");
	struct snap_frame views = frame("/srv/shop/views.py", 31, "handle");

	ADD(s, SNAP_PYTHON, 13002342ull * seq, 90342ull * seq,
	    frame("/srv/shop/cache.py", 88, "put"), views, main_py);
	ADD(s, SNAP_PYTHON, 3250586, 1204, views, main_py);
	ADD(s, SNAP_NATIVE, 933888, 44,
	    frame("/usr/lib/x86_64-linux-gnu/libxml2.so.2", 0, "xmlNewNode"),
	    frame("/srv/shop/parse.py", 57, "parse"), main_py);
	s->cost_cpu_ratio = s->slowdown_ratio = 0.019;
	s->cost_uncertainty = 0.2;
	s->events = 4711;
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 141233, 3, 0};
	return s;
}

static struct report_hello UNUSED_OK story_hello(void)
{
	return (struct report_hello){
		.pid = 4711,
		.comm = "gunicorn",
		.python_version = "3.12.4",
		.libc = "glibc 2.36",
		.container = "3f9c1a0be2d4",
		.mode = TRACE_MODE_EXACT,
		.frames = 25,
		.domains = {true, true},
		.pop_sites = 212,
		.newref_sites = 31,
		.libc_sites = 12,
		.time_ns = ATTACH_NS,
	};
}

/* What was written since the last call must be exactly this. */
static void UNUSED_OK assert_written(const char *expected)
{
	static size_t seen;
	static FILE *seen_of;

	if (seen_of != out)
		seen = 0;
	seen_of = out;
	fflush(out);
	if (seen > out_len)
		seen = 0;
	assert_string_equal(out_text + seen, expected);
	seen = out_len;
}

#endif
