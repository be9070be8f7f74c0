/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

#include "report/stat_text.h"

static struct snapshot *snap;
static struct statistics st;
static struct buf text;

static int setup(void **state)
{
	if (story_setup(state))
		return -1;
	snap = story_snapshot(1);
	return 0;
}

static int teardown(void **state)
{
	buf_release(&text);
	statistics_release(&st);
	snapshot_free(snap);
	return story_teardown(state);
}

static void group(enum stat_key key)
{
	struct stat_opts opts = {.key = key};

	statistics_release(&st);
	assert_int_equal(statistics_make(snap, &opts, &st), 0);
}

static void assert_statistic(enum stat_key key, const char *want)
{
	group(key);
	buf_reset(&text);
	stat_text_statistic(&text, &st, &st.items[0]);
	assert_string_equal(text.data, want);
}

static void assert_traceback(struct traceback_opts opts, const char *want)
{
	buf_reset(&text);
	stat_text_traceback(&text, &st, &st.items[0], &opts);
	assert_string_equal(text.data ? text.data : "", want);
}

static void a_statistic_reads_as_tracemalloc_prints_it(void **state)
{
	ADD(snap, SNAP_PYTHON, 66, 1, frame("b.py", 1, "f"), frame("main.py", 7, "main"));
	assert_statistic(STAT_LINENO, "b.py:1: size=66 B, count=1, average=66 B");
	assert_statistic(STAT_FILENAME, "b.py:0: size=66 B, count=1, average=66 B");
	/* the oldest frame, as str(Traceback) since 3.7 */
	assert_statistic(STAT_TRACEBACK, "main.py:7: size=66 B, count=1, average=66 B");
	ADD(snap, SNAP_PYTHON, 26109999, 180654, frame("b.py", 1, "f"),
	    frame("main.py", 7, "main"));
	assert_statistic(STAT_LINENO, "b.py:1: size=24.9 MiB, count=180655, average=145 B");
}

static void the_keys_of_our_own_have_names(void **state)
{
	ADD(snap, SNAP_PYTHON, 3, 2, frame("/srv/b.py", 1, "Cache.put"));
	assert_statistic(STAT_FUNCTION, "Cache.put (/srv/b.py): size=3 B, count=2, average=2 B");
	assert_statistic(STAT_MODULE, "/srv/b: size=3 B, count=2, average=2 B");
	assert_statistic(STAT_DOMAIN, "python: size=3 B, count=2, average=2 B");
	assert_statistic(STAT_THREAD, "<all threads>: size=3 B, count=2, average=2 B");
}

static void a_function_without_name_is_unknown(void **state)
{
	struct snap_frame f = frame("/srv/b.py", 1, "");

	f.function.v = 0;
	ADD(snap, SNAP_PYTHON, 3, 2, f);
	assert_statistic(STAT_FUNCTION, "<unknown> (/srv/b.py): size=3 B, count=2, average=2 B");
}

static void native_code_is_marked(void **state)
{
	ADD(snap, SNAP_NATIVE, 1867776, 88, frame("/lib/libxml2.so.2", 0, "xmlNewNode"),
	    frame("p.py", 57, "parse"));
	assert_statistic(STAT_LINENO, "<native> /lib/libxml2.so.2!xmlNewNode: size=1824 KiB, "
				      "count=88, average=20.7 KiB");
	assert_statistic(STAT_FUNCTION, "<native> /lib/libxml2.so.2!xmlNewNode: size=1824 KiB, "
					"count=88, average=20.7 KiB");
	group(STAT_TRACEBACK);
	assert_traceback((struct traceback_opts){0}, "  File \"p.py\", line 57\n"
						     "  <native> /lib/libxml2.so.2!xmlNewNode\n");
}

static void native_code_without_a_symbol_is_its_library(void **state)
{
	struct snap_frame f = frame("/usr/lib/libz.so", 0, "");

	f.function.v = 0;
	ADD(snap, SNAP_NATIVE, 900, 15, f);
	assert_statistic(STAT_LINENO,
			 "<native> /usr/lib/libz.so: size=900 B, count=15, average=60 B");
	assert_statistic(STAT_FUNCTION,
			 "<native> /usr/lib/libz.so: size=900 B, count=15, average=60 B");
	assert_statistic(STAT_MODULE, "libz.so: size=900 B, count=15, average=60 B");
	group(STAT_TRACEBACK);
	assert_traceback((struct traceback_opts){0}, "  <native> /usr/lib/libz.so\n");
}

static void a_python_frame_without_a_line_is_no_native_code(void **state)
{
	ADD(snap, SNAP_NATIVE, 900, 15, frame("/srv/gen.py", 0, "grow"));
	assert_statistic(STAT_LINENO, "/srv/gen.py:0: size=900 B, count=15, average=60 B");
	assert_statistic(STAT_FUNCTION, "grow (/srv/gen.py): size=900 B, count=15, average=60 B");
	assert_statistic(STAT_MODULE, "/srv/gen: size=900 B, count=15, average=60 B");
	group(STAT_TRACEBACK);
	assert_traceback((struct traceback_opts){0}, "  File \"/srv/gen.py\", line 0\n");
}

static void a_difference_reads_as_tracemalloc_prints_it(void **state)
{
	struct statistic_diff d;

	ADD(snap, SNAP_PYTHON, 66, 1, frame("a.py", 5, "f"));
	group(STAT_LINENO);
	d = (struct statistic_diff){&st, &st.items[0], 5002, 2, 5000, 1};
	stat_text_diff(&text, &d);
	assert_string_equal(text.data,
			    "a.py:5: size=5002 B (+5000 B), count=2 (+1), average=2501 B");
	d = (struct statistic_diff){&st, &st.items[0], 0, 0, -1232896, -2410};
	buf_reset(&text);
	stat_text_diff(&text, &d);
	assert_string_equal(text.data, "a.py:5: size=0 B (-1204 KiB), count=0 (-2410)");
	d = (struct statistic_diff){&st, &st.items[0], 30, 3, 0, 0};
	buf_reset(&text);
	stat_text_diff(&text, &d);
	assert_string_equal(text.data, "a.py:5: size=30 B (+0 B), count=3 (+0), average=10 B");
}

static void names_cannot_steer_a_terminal(void **state)
{
	ADD(snap, SNAP_PYTHON, 1, 1, frame("a\x1b[2J\n\xff.py", 1, "f"));
	assert_statistic(STAT_LINENO, "a?[2J??.py:1: size=1 B, count=1, average=1 B");
}

/* The cases of test_format_traceback in Lib/test/test_tracemalloc.py. */
static void tracebacks_are_cut_as_python_slices(void **state)
{
	struct traceback_opts opts = {0};

	ADD(snap, SNAP_PYTHON, 1, 1, frame("c.py", 3, "f"), frame("b.py", 2, "g"),
	    frame("a.py", 1, "m"));
	group(STAT_TRACEBACK);
#define LINE(f, n) "  File \"" f ".py\", line " n "\n"
	assert_traceback(opts, LINE("a", "1") LINE("b", "2") LINE("c", "3"));
	opts.has_limit = true;
	opts.limit = 2;
	assert_traceback(opts, LINE("b", "2") LINE("c", "3"));
	opts.limit = 9;
	assert_traceback(opts, LINE("a", "1") LINE("b", "2") LINE("c", "3"));
	opts.limit = -2; /* frames[:-2], whatever the documentation says */
	assert_traceback(opts, LINE("a", "1"));
	opts.limit = -3;
	assert_traceback(opts, "");
	opts.limit = INT64_MIN;
	assert_traceback(opts, "");
	opts.limit = 0;
	assert_traceback(opts, "");
	opts.most_recent_first = true;
	opts.limit = 2;
	assert_traceback(opts, LINE("c", "3") LINE("b", "2"));
	opts.limit = -1;
	assert_traceback(opts, LINE("b", "2") LINE("a", "1"));
}

static void functions_and_source_stand_below_their_frame(void **state)
{
	struct traceback_opts opts = {.functions = true};
	char path[] = "/tmp/tmbpf-stat-text-XXXXXX", want[256];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "\n  self._d[key] = value\n", 24), 24);
	close(fd);
	ADD(snap, SNAP_PYTHON, 1, 1, frame(path, 2, "put"));
	group(STAT_TRACEBACK);
	snprintf(want, sizeof(want), "  File \"%s\", line 2\n    put\n", path);
	assert_traceback(opts, want);
	opts.source = source_lines_new();
	snprintf(want, sizeof(want), "  File \"%s\", line 2\n    put: self._d[key] = value\n",
		 path);
	assert_traceback(opts, want);
	opts.functions = false;
	snprintf(want, sizeof(want), "  File \"%s\", line 2\n    self._d[key] = value\n", path);
	assert_traceback(opts, want);
	source_lines_free(opts.source);
	unlink(path);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_statistic_reads_as_tracemalloc_prints_it),
		CASE(the_keys_of_our_own_have_names),
		CASE(a_function_without_name_is_unknown),
		CASE(native_code_is_marked),
		CASE(native_code_without_a_symbol_is_its_library),
		CASE(a_python_frame_without_a_line_is_no_native_code),
		CASE(a_difference_reads_as_tracemalloc_prints_it),
		CASE(names_cannot_steer_a_terminal),
		CASE(tracebacks_are_cut_as_python_slices),
		CASE(functions_and_source_stand_below_their_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
