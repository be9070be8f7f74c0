/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of formats, values, and the merging of stacks. */
#include "export_fixture.h"

static void formats_are_found_by_name_and_suffix(void **state)
{
	static const struct {
		const char *path, *name;
	} rows[] = {
		{"a.pb.gz", "pprof"},
		{"/x/y.pickle", "tracemalloc"},
		{"a.folded", "folded"},
		{"a.speedscope.json", "speedscope"},
		{"dir.csv/a.ndjson", "ndjson"},
		{"a.csv", "csv"},
		{"a.json", NULL},
		{".csv", NULL},
		{"-", NULL},
		{"", NULL},
		{"a.pb.gz.bak", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct export_format *f = export_format_by_suffix(rows[i].path);

		if (rows[i].name)
			assert_string_equal(f ? f->name : "none", rows[i].name);
		else
			assert_null(f);
	}
	for (const struct export_format *f = export_formats; f->name; f++) {
		assert_ptr_equal(export_format_by_name(f->name), f);
		assert_true(f->suffix[0] == '.' && f->help[0] && f->write);
	}
	assert_null(export_format_by_name("html"));
	assert_null(export_format_by_name(""));
	assert_true(export_format_by_name("pprof")->binary);
	assert_true(export_format_by_name("tracemalloc")->binary);
	assert_false(export_format_by_name("folded")->binary);
}

static void values_have_the_names_of_pprof(void **state)
{
	enum export_value v = EXPORT_VALUES;

	assert_string_equal(export_value_name(EXPORT_INUSE_SPACE), "inuse_space");
	for (int i = 0; i < EXPORT_VALUES; i++) {
		assert_int_equal(export_value_parse(export_value_name((enum export_value)i), &v),
				 0);
		assert_int_equal(v, i);
	}
	assert_int_equal(export_value_parse("space", &v), -EINVAL);
}

static void what_was_allocated_is_at_least_what_is_alive(void **state)
{
	struct snap_stack st = {.bytes = 100, .blocks = 4};
	uint64_t v[EXPORT_VALUES];

	export_values(&st, v);
	assert_int_equal(v[EXPORT_INUSE_SPACE], 100);
	assert_int_equal(v[EXPORT_INUSE_OBJECTS], 4);
	assert_int_equal(v[EXPORT_ALLOC_SPACE], 100);
	assert_int_equal(v[EXPORT_ALLOC_OBJECTS], 4);
	assert_false(export_alloc_known(&st));
	st.alloc_bytes = 700;
	st.alloc_blocks = 9;
	export_values(&st, v);
	assert_int_equal(v[EXPORT_ALLOC_SPACE], 700);
	assert_int_equal(v[EXPORT_ALLOC_OBJECTS], 9);
	assert_true(export_alloc_known(&st));
	/* all freed again: known */
	st = (struct snap_stack){.alloc_bytes = 1, .alloc_blocks = 1};
	assert_true(export_alloc_known(&st));
	/* the bytes are there, the blocks not: not known */
	st = (struct snap_stack){.bytes = 8, .blocks = 2, .alloc_bytes = 8, .alloc_blocks = 1};
	assert_false(export_alloc_known(&st));
}

static void one_stack_is_enough_not_to_know(void **state)
{
	add_story();
	assert_true(export_alloc_is_complete(snap));
	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, "f"));
	assert_false(export_alloc_is_complete(snap));
}

static void equal_frames_are_merged_over_domain_and_thread(void **state)
{
	struct export_group *g;
	uint32_t of[4];
	size_t n;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("b.py", 2, "g"));
	last_allocated(100, 10);
	last_thread("one");
	ADD(SNAP_PYTHON, 20, 2, frame("a.py", 1, "f"));
	ADD(SNAP_NATIVE, 30, 3, frame("a.py", 1, "f"), frame("b.py", 2, "g"));
	last_allocated(300, 30);
	ADD(SNAP_PYTHON, 40, 4, frame("a.py", 1, "f"), frame("b.py", 2, "g"));
	last_thread("two");
	assert_int_equal(export_group_stacks(snap, EXPORT_BY_FRAMES, &g, &n, of), 0);
	assert_int_equal(n, 2);
	assert_int_equal(of[0], of[2]);
	assert_int_equal(of[0], of[3]);
	assert_int_not_equal(of[0], of[1]);
	assert_int_equal(g[of[0]].stack, 0);
	assert_int_equal(g[of[0]].values[EXPORT_INUSE_SPACE], 80);
	assert_int_equal(g[of[0]].values[EXPORT_INUSE_OBJECTS], 8);
	assert_int_equal(g[of[0]].values[EXPORT_ALLOC_SPACE], 440);
	assert_false(g[of[0]].alloc_known);
	assert_int_equal(g[of[1]].values[EXPORT_INUSE_SPACE], 20);
	free(g);
}

static void sites_are_merged_by_innermost_frame_and_domain(void **state)
{
	struct export_group *g;
	size_t n;

	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("b.py", 2, "g"));
	ADD(SNAP_PYTHON, 20, 2, frame("a.py", 1, "f"));
	ADD(SNAP_NATIVE, 30, 3, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 40, 4, frame("a.py", 1, "other"));
	ADD(SNAP_PYTHON, 50, 5, frame("a.py", 2, "f"));
	add_unknown(SNAP_PYTHON, 60, 6);
	assert_int_equal(export_group_stacks(snap, EXPORT_BY_SITE, &g, &n, NULL), 0);
	assert_int_equal(n, 5);
	for (size_t i = 0; i < n; i++) {
		if (g[i].stack == 0)
			assert_int_equal(g[i].values[EXPORT_INUSE_SPACE], 30);
	}
	free(g);
}

static void nothing_gives_no_group(void **state)
{
	struct export_group *g;
	size_t n = 1;

	assert_int_equal(export_group_stacks(snap, EXPORT_BY_FRAMES, &g, &n, NULL), 0);
	assert_int_equal(n, 0);
	free(g);
}

static void the_description_says_where_and_how_well(void **state)
{
	struct export_opts opts = {0};
	struct buf b = {0};

	add_story();
	export_describe(&b, snap, &story_meta, &opts);
	assert_string_equal(b.data,
			    "tmbpf " TMBPF_VERSION ", exact, 25 frames, 2026-11-22T14:02:00.013Z\n"
			    "gunicorn, pid 4711, CPython 3.12.4\n"
			    "coverage python n/a, native n/a; lost: nothing\n");
	buf_reset(&b);
	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, "f"));
	snap->time_ns = 0;
	opts.filtered.stacks = 2;
	opts.filtered.bytes = 300;
	opts.filtered.blocks = 4;
	export_describe(&b, snap, &(struct store_meta){0}, &opts);
	assert_string_equal(b.data,
			    "tmbpf " TMBPF_VERSION ", exact, 0 frames\n"
			    "coverage python n/a, native n/a; lost: nothing\n"
			    "filters left out 2 stacks, 300 bytes in 4 blocks\n"
			    "alloc_space and alloc_objects were not recorded: they are what "
			    "is alive, a lower bound\n");
	buf_release(&b);
}

static void every_writer_notices_a_full_disk(void **state)
{
	for (const struct export_format *f = export_formats; f->name; f++)
		assert_full_is_noticed(f->name);
}

static void every_writer_writes_the_same_bytes_again(void **state)
{
	add_story();
	add_unknown(SNAP_NATIVE, 5, 1);
	for (const struct export_format *f = export_formats; f->name; f++) {
		char *first;
		size_t len;

		export_text(f->name);
		first = text;
		len = text_len;
		text = NULL;
		export_text(f->name);
		assert_int_equal(text_len, len);
		assert_memory_equal(text, first, len);
		free(first);
	}
}

static void every_writer_takes_a_snapshot_of_which_nothing_is_known(void **state)
{
	struct export_opts opts = {0};

	snap->mode = NULL;
	snap->time_ns = 0;
	snap->elapsed_s = 0;
	for (int round = 0; round < 2; round++) {
		for (const struct export_format *f = export_formats; f->name; f++)
			assert_int_equal(export_with(f->name, &(struct store_meta){0}, &opts), 0);
		add_unknown(SNAP_PYTHON, 0, 0);
		add_unknown(SNAP_NATIVE, 7, 7);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, export_setup, export_teardown)
	const struct CMUnitTest tests[] = {
		T(formats_are_found_by_name_and_suffix),
		T(values_have_the_names_of_pprof),
		T(what_was_allocated_is_at_least_what_is_alive),
		T(one_stack_is_enough_not_to_know),
		T(equal_frames_are_merged_over_domain_and_thread),
		T(sites_are_merged_by_innermost_frame_and_domain),
		T(nothing_gives_no_group),
		T(the_description_says_where_and_how_well),
		T(every_writer_notices_a_full_disk),
		T(every_writer_writes_the_same_bytes_again),
		T(every_writer_takes_a_snapshot_of_which_nothing_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
