/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Snapshots for the tests of export formats, and what a writer made of them. All static. */
#ifndef TM_TEST_EXPORT_FIXTURE_H
#define TM_TEST_EXPORT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/export_priv.h"

#define UNUSED_OK __attribute__((unused))

static struct intern *in;
static struct snapshot *snap;
static char *text; /* what export_text() got */
static size_t text_len;

static int UNUSED_OK export_setup(void **state)
{
	in = intern_new();
	snap = in ? snapshot_new(in) : NULL;
	if (!snap)
		return -1;
	snap->mode = "exact";
	snap->seq = 3;
	snap->time_ns = 1795356120ll * 1000000000 + 13000000; /* 2026-11-22T14:02:00.013Z */
	snap->elapsed_s = 20.5;
	return 0;
}

static int UNUSED_OK export_teardown(void **state)
{
	snapshot_free(snap);
	intern_free(in);
	free(text);
	text = NULL;
	return 0;
}

static struct snap_frame UNUSED_OK frame(const char *file, int line, const char *function)
{
	struct snap_frame f = {.line = line};

	assert_int_equal(intern_str(in, file, &f.file), 0);
	assert_int_equal(intern_str(in, function, &f.function), 0);
	return f;
}

/* Innermost frame first. */
#define ADD(domain, bytes, blocks, ...)                                                            \
	do {                                                                                       \
		struct snap_frame fs_[] = {__VA_ARGS__};                                           \
		assert_int_equal(                                                                  \
			snapshot_add(snap, domain, fs_, ARRAY_LEN(fs_), false, bytes, blocks), 0); \
	} while (0)

static void UNUSED_OK add_unknown(enum snap_domain domain, uint64_t bytes, uint64_t blocks)
{
	assert_int_equal(snapshot_add(snap, domain, NULL, 0, false, bytes, blocks), 0);
}

static void UNUSED_OK last_allocated(uint64_t bytes, uint64_t blocks)
{
	snap->stacks[snap->stack_count - 1].alloc_bytes = bytes;
	snap->stacks[snap->stack_count - 1].alloc_blocks = blocks;
}

static void UNUSED_OK last_thread(const char *name)
{
	assert_int_equal(intern_str(in, name, &snap->stacks[snap->stack_count - 1].thread), 0);
}

/* Three stacks: two of one root, one of native code under the same root. */
static void UNUSED_OK add_story(void)
{
	struct snap_frame main_py = frame("/srv/shop/main.py", 12, "<module>");
	struct snap_frame views = frame("/srv/shop/views.py", 31, "handle");

	ADD(SNAP_PYTHON, 1000, 10, frame("/srv/shop/cache.py", 88, "put"), views, main_py);
	last_allocated(5000, 50);
	last_thread("MainThread");
	ADD(SNAP_PYTHON, 300, 3, views, main_py);
	last_allocated(300, 3);
	ADD(SNAP_NATIVE, 4096, 1, frame("/usr/lib/libxml2.so.2", 0, "xmlNewNode"),
	    frame("/srv/shop/parse.py", 57, "parse"), main_py);
	last_allocated(8192, 2);
}

static const struct store_meta UNUSED_OK story_meta = {
	.pid = 4711,
	.comm = "gunicorn",
	.program = "/usr/bin/python3.12",
	.python_version = "3.12.4",
	.frames = 25,
};

/* Returns what the writer returned; the output is in text, text_len. */
static int UNUSED_OK export_with(const char *format, const struct store_meta *meta,
				 const struct export_opts *opts)
{
	const struct export_format *f = export_format_by_name(format);
	FILE *out;
	int err;

	assert_non_null(f);
	free(text);
	text = NULL;
	out = open_memstream(&text, &text_len);
	assert_non_null(out);
	err = f->write(out, snap, meta, opts);
	assert_int_equal(fclose(out), 0);
	return err;
}

static const char UNUSED_OK *export_text(const char *format)
{
	struct export_opts opts = {.value = EXPORT_INUSE_SPACE};

	assert_int_equal(export_with(format, &story_meta, &opts), 0);
	return text;
}

/* A writer must say when the output is full, wherever that happens. */
static void UNUSED_OK assert_full_is_noticed(const char *format)
{
	const struct export_format *f = export_format_by_name(format);
	struct export_opts opts = {0};
	FILE *out;

	for (int i = 0; i < 2000; i++) { /* more than is held back */
		char name[32];

		snprintf(name, sizeof(name), "f%d", i * 7919);
		ADD(SNAP_PYTHON, 100, 1, frame(name, i + 1, name));
	}
	out = fopen("/dev/full", "we");
	assert_non_null(out);
	assert_int_equal(f->write(out, snap, &story_meta, &opts), -ENOSPC);
	fclose(out);
}

#endif
