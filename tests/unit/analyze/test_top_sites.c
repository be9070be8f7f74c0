/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "analyze/top_sites.h"

static struct intern *in;
static struct snapshot *snap;

static int setup(void **state)
{
	in = intern_new();
	snap = snapshot_new(in);
	return in && snap ? 0 : -1;
}

static int teardown(void **state)
{
	snapshot_free(snap);
	intern_free(in);
	return 0;
}

static struct snap_frame frame(const char *file, int line, const char *function)
{
	struct snap_frame f = {.line = line};

	assert_int_equal(intern_str(in, file, &f.file), 0);
	assert_int_equal(intern_str(in, function, &f.function), 0);
	return f;
}

#define ADD(domain, bytes, blocks, ...)                                                            \
	do {                                                                                       \
		struct snap_frame fs_[] = {__VA_ARGS__};                                           \
		assert_int_equal(                                                                  \
			snapshot_add(snap, domain, fs_, ARRAY_LEN(fs_), false, bytes, blocks), 0); \
	} while (0)

static void assert_site(const struct top_sites *t, size_t i, const char *place, uint64_t bytes,
			uint64_t blocks)
{
	char text[128];

	assert_true(i < t->count);
	snprintf(text, sizeof(text), "%s:%d %s", intern_get(in, t->items[i].top.file),
		 t->items[i].top.line, intern_get(in, t->items[i].top.function));
	assert_string_equal(text, place);
	assert_int_equal(t->items[i].bytes, bytes);
	assert_int_equal(t->items[i].blocks, blocks);
}

static void no_stacks_make_no_sites(void **state)
{
	struct top_sites t = {0};

	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 0);
	top_sites_release(&t);
	assert_null(t.items);
	top_sites_release(&t);
}

static void lines_sum_over_callers_and_take_the_biggest_stacks_function(void **state)
{
	struct top_sites t;

	ADD(SNAP_PYTHON, 100, 5, frame("a.py", 1, "f"), frame("m.py", 9, "main"));
	ADD(SNAP_PYTHON, 300, 2, frame("a.py", 1, "f2"), frame("m.py", 8, "main"));
	ADD(SNAP_PYTHON, 50, 1, frame("a.py", 2, "g"));
	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 2);
	assert_site(&t, 0, "a.py:1 f2", 400, 7);
	assert_ptr_equal(t.items[0].biggest, &snap->stacks[1]);
	assert_site(&t, 1, "a.py:2 g", 50, 1);
	top_sites_release(&t);
}

static void domains_are_never_mixed(void **state)
{
	static const enum group_by all[] = {BY_LINENO, BY_TRACEBACK, BY_FILENAME};

	ADD(SNAP_PYTHON, 100, 1, frame("a.py", 1, "f"));
	ADD(SNAP_NATIVE, 70, 1, frame("a.py", 1, "f"));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct top_sites t;

		assert_int_equal(top_sites_group(snap, all[i], &t), 0);
		assert_int_equal(t.count, 2);
		assert_int_equal(t.items[0].domain, SNAP_PYTHON);
		assert_int_equal(t.items[0].bytes, 100);
		assert_int_equal(t.items[1].domain, SNAP_NATIVE);
		assert_int_equal(t.items[1].bytes, 70);
		top_sites_release(&t);
	}
}

/* Equal sizes and counts: the place descends too, as in tracemalloc's statistics(). */
static void sites_are_sorted_by_bytes_blocks_file_and_line(void **state)
{
	struct top_sites t;

	/* interned in an order that is not the alphabet's */
	ADD(SNAP_PYTHON, 10, 1, frame("z.py", 1, "f"));
	ADD(SNAP_PYTHON, 10, 1, frame("b.py", 20, "f"));
	ADD(SNAP_PYTHON, 10, 1, frame("b.py", 3, "f"));
	ADD(SNAP_PYTHON, 10, 2, frame("y.py", 1, "f"));
	ADD(SNAP_PYTHON, 11, 1, frame("x.py", 1, "f"));
	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 5);
	assert_site(&t, 0, "x.py:1 f", 11, 1);
	assert_site(&t, 1, "y.py:1 f", 10, 2);
	assert_site(&t, 2, "z.py:1 f", 10, 1);
	assert_site(&t, 3, "b.py:20 f", 10, 1);
	assert_site(&t, 4, "b.py:3 f", 10, 1);
	top_sites_release(&t);
}

static void tracebacks_group_by_every_line(void **state)
{
	struct top_sites t;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("m.py", 8, "main"));
	ADD(SNAP_PYTHON, 20, 2, frame("a.py", 1, "f"), frame("m.py", 9, "main"));
	ADD(SNAP_PYTHON, 5, 1, frame("a.py", 1, "f"), frame("m.py", 8, "main")); /* same lines */
	ADD(SNAP_PYTHON, 7, 1, frame("a.py", 1, "f"));				 /* a prefix */
	assert_int_equal(top_sites_group(snap, BY_TRACEBACK, &t), 0);
	assert_int_equal(t.count, 3);
	assert_int_equal(t.items[0].bytes, 20);
	assert_int_equal(t.items[1].bytes, 15);
	assert_int_equal(t.items[1].blocks, 2);
	assert_ptr_equal(t.items[1].biggest, &snap->stacks[0]);
	assert_int_equal(t.items[2].bytes, 7);
	top_sites_release(&t);
}

static void equal_tracebacks_are_ordered_by_their_callers(void **state)
{
	struct top_sites t;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("z.py", 8, "main"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("b.py", 9, "main"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"));
	assert_int_equal(top_sites_group(snap, BY_TRACEBACK, &t), 0);
	assert_int_equal(t.count, 3);
	assert_ptr_equal(t.items[0].biggest, &snap->stacks[0]);
	assert_ptr_equal(t.items[1].biggest, &snap->stacks[1]);
	assert_ptr_equal(t.items[2].biggest, &snap->stacks[2]);
	top_sites_release(&t);
}

static void files_group_without_line_and_function(void **state)
{
	struct top_sites t;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 20, 1, frame("a.py", 2, "g"));
	ADD(SNAP_PYTHON, 15, 1, frame("b.py", 2, "g"), frame("a.py", 1, "f"));
	assert_int_equal(top_sites_group(snap, BY_FILENAME, &t), 0);
	assert_int_equal(t.count, 2);
	assert_site(&t, 0, "a.py:0 ", 30, 2);
	assert_site(&t, 1, "b.py:0 ", 15, 1);
	top_sites_release(&t);
}

static void stacks_without_frames_are_unknown(void **state)
{
	static const enum group_by all[] = {BY_LINENO, BY_TRACEBACK, BY_FILENAME};

	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 16, 1), 0);
	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 32, 1), 0);
	ADD(SNAP_PYTHON, 8, 1, frame("a.py", 1, "f"));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct top_sites t;

		assert_int_equal(top_sites_group(snap, all[i], &t), 0);
		assert_int_equal(t.count, 2);
		assert_site(&t, 0, "<unknown>:0 ", 48, 2);
		top_sites_release(&t);
	}
}

static void a_library_is_not_one_site_but_its_functions_are(void **state)
{
	struct top_sites t;

	ADD(SNAP_NATIVE, 10, 1, frame("libxml2.so.2", 0, "xmlNewNode"), frame("p.py", 5, "parse"));
	ADD(SNAP_NATIVE, 20, 1, frame("libxml2.so.2", 0, "xmlStrdup"), frame("p.py", 5, "parse"));
	ADD(SNAP_NATIVE, 15, 1, frame("libxml2.so.2", 0, "xmlNewNode"), frame("p.py", 6, "parse"));
	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 2);
	assert_site(&t, 0, "libxml2.so.2:0 xmlNewNode", 25, 2);
	assert_site(&t, 1, "libxml2.so.2:0 xmlStrdup", 20, 1);
	top_sites_release(&t);
}

static void stacks_that_hold_nothing_are_left_out(void **state)
{
	struct top_sites t;

	ADD(SNAP_PYTHON, 0, 0, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 0, 1, frame("b.py", 1, "f")); /* malloc(0) is a block */
	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 1);
	assert_site(&t, 0, "b.py:1 f", 0, 1);
	top_sites_release(&t);
}

static void many_stacks_group_right(void **state)
{
	struct top_sites t;
	uint64_t bytes = 0;

	for (int i = 0; i < 50000; i++)
		ADD(SNAP_PYTHON, (uint64_t)i % 97, 1, frame("a.py", i % 1000, "f"),
		    frame("m.py", i, "main"));
	assert_int_equal(top_sites_group(snap, BY_LINENO, &t), 0);
	assert_int_equal(t.count, 1000);
	for (size_t i = 0; i < t.count; i++) {
		assert_int_equal(t.items[i].blocks, 50);
		assert_true(!i || t.items[i].bytes <= t.items[i - 1].bytes);
		bytes += t.items[i].bytes;
	}
	assert_int_equal(bytes, snap->live_bytes);
	top_sites_release(&t);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(no_stacks_make_no_sites),
		CASE(lines_sum_over_callers_and_take_the_biggest_stacks_function),
		CASE(domains_are_never_mixed),
		CASE(sites_are_sorted_by_bytes_blocks_file_and_line),
		CASE(tracebacks_group_by_every_line),
		CASE(equal_tracebacks_are_ordered_by_their_callers),
		CASE(files_group_without_line_and_function),
		CASE(stacks_without_frames_are_unknown),
		CASE(a_library_is_not_one_site_but_its_functions_are),
		CASE(stacks_that_hold_nothing_are_left_out),
		CASE(many_stacks_group_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
