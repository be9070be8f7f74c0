/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot that a test fills by hand. All static, because each test is one file. */
#ifndef TM_TEST_SNAP_FIXTURE_H
#define TM_TEST_SNAP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/snapshot.h"

#define UNUSED_OK __attribute__((unused))

static struct intern *in;
static struct snapshot *snap;

static int UNUSED_OK snap_setup(void **state)
{
	in = intern_new();
	snap = in ? snapshot_new(in) : NULL;
	return snap ? 0 : -1;
}

static int UNUSED_OK snap_teardown(void **state)
{
	snapshot_free(snap);
	intern_free(in);
	return 0;
}

static UNUSED_OK str_id_t text_id(struct intern *pool, const char *text)
{
	str_id_t id;

	assert_int_equal(intern_str(pool, text, &id), 0);
	return id;
}

/* function NULL: none */
static UNUSED_OK struct snap_frame frame_in(struct intern *pool, const char *file, int line,
					    const char *function)
{
	struct snap_frame f = {.file = text_id(pool, file), .line = line};

	if (function)
		f.function = text_id(pool, function);
	return f;
}

static UNUSED_OK struct snap_frame frame(const char *file, int line, const char *function)
{
	return frame_in(in, file, line, function);
}

#define ADD_TO(s, domain, bytes, blocks, ...)                                                   \
	do {                                                                                    \
		struct snap_frame fs_[] = {__VA_ARGS__};                                        \
		assert_int_equal(                                                               \
			snapshot_add(s, domain, fs_, ARRAY_LEN(fs_), false, bytes, blocks), 0); \
	} while (0)
#define ADD(domain, bytes, blocks, ...) ADD_TO(snap, domain, bytes, blocks, __VA_ARGS__)

#define CASE(fn)			cmocka_unit_test_setup_teardown(fn, snap_setup, snap_teardown)

#endif
