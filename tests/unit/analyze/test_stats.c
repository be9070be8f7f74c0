/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/stats.h"

static struct statistics group(enum stat_key key, enum stat_cumulative cumulative)
{
	struct stat_opts opts = {.key = key, .cumulative = cumulative};
	struct statistics st = {0};

	assert_int_equal(statistics_make(snap, &opts, &st), 0);
	return st;
}

static void assert_group(const struct statistics *st, size_t i, const char *place, uint64_t size,
			 uint64_t count)
{
	char text[128];

	assert_true(i < st->count);
	snprintf(text, sizeof(text), "%s:%d%s%s", intern_get(in, st->items[i].top.file),
		 st->items[i].top.line, st->items[i].top.function.v ? "!" : "",
		 intern_get(in, st->items[i].top.function));
	assert_string_equal(text, place);
	assert_int_equal(st->items[i].size, size);
	assert_int_equal(st->items[i].count, count);
}

static void an_empty_snapshot_has_no_groups(void **state)
{
	struct statistics st = group(STAT_LINENO, STAT_OWN);

	assert_int_equal(st.count, 0);
	assert_int_equal(st.total_size, 0);
	statistics_release(&st);
}

static void lines_group_whatever_function_and_domain(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 100, 2, frame("a.py", 1, "f"), frame("m.py", 9, "main"));
	ADD(SNAP_NATIVE, 50, 1, frame("a.py", 1, "<listcomp>"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 2, "f"));
	st = group(STAT_LINENO, STAT_OWN);
	assert_int_equal(st.count, 2);
	assert_group(&st, 0, "a.py:1", 150, 3);
	assert_group(&st, 1, "a.py:2", 10, 1);
	assert_string_equal(intern_get(in, statistic_function(&st, &st.items[0])), "f");
	assert_int_equal(st.total_size, 160);
	assert_int_equal(st.total_count, 4);
	statistics_release(&st);
}

static void the_symbol_is_part_of_a_native_place(void **state)
{
	struct statistics st;

	ADD(SNAP_NATIVE, 30, 1, frame("libx.so", 0, "new"), frame("a.py", 3, "f"));
	ADD(SNAP_NATIVE, 20, 1, frame("libx.so", 0, "dup"));
	/* a Python line that could not be read is no symbol: one place for tracemalloc */
	ADD(SNAP_PYTHON, 10, 1, frame("b.py", 0, "f"));
	ADD(SNAP_PYTHON, 5, 1, frame("b.py", 0, "g"));
	ADD(SNAP_NATIVE, 4, 1, frame("b.py", 0, "h"));
	st = group(STAT_LINENO, STAT_OWN);
	assert_int_equal(st.count, 3);
	assert_group(&st, 0, "libx.so:0!new", 30, 1);
	assert_true(st.items[0].is_native);
	assert_group(&st, 1, "libx.so:0!dup", 20, 1);
	assert_group(&st, 2, "b.py:0", 19, 3);
	assert_false(st.items[2].is_native);
	statistics_release(&st);
	st = group(STAT_FILENAME, STAT_OWN);
	assert_group(&st, 0, "libx.so:0", 50, 2);
	statistics_release(&st);
}

static void functions_are_those_of_one_file(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 100, 2, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 50, 1, frame("a.py", 7, "f"));
	ADD(SNAP_PYTHON, 10, 1, frame("b.py", 1, "f"));
	st = group(STAT_FUNCTION, STAT_OWN);
	assert_int_equal(st.count, 2);
	assert_group(&st, 0, "a.py:0!f", 150, 3);
	assert_group(&st, 1, "b.py:0!f", 10, 1);
	statistics_release(&st);
}

static void modules_threads_and_domains_have_names(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 100, 2, frame("/usr/lib/python3.11/json/decoder.py", 1, "f"));
	ADD(SNAP_PYTHON, 50, 1, frame("/usr/lib/python3.11/json/decoder.py", 9, "g"));
	ADD(SNAP_NATIVE, 10, 1, frame("/usr/lib/libx.so.2", 0, "new"));
	snap->stacks[1].thread = text_id(in, "worker");
	ADD(7, 1, 1, frame("/usr/lib/libx.so.2", 1, NULL));
	snap->foreign_domains = calloc(6, sizeof(uint32_t));
	snap->foreign_count = 6;
	snap->foreign_domains[5] = 389047;
	st = group(STAT_MODULE, STAT_OWN);
	assert_group(&st, 0, "json.decoder:0", 150, 3);
	assert_group(&st, 1, "libx.so.2:0", 10, 1);
	statistics_release(&st);
	st = group(STAT_THREAD, STAT_OWN);
	assert_group(&st, 0, "<all threads>:0", 111, 4);
	assert_group(&st, 1, "worker:0", 50, 1);
	statistics_release(&st);
	st = group(STAT_DOMAIN, STAT_OWN);
	assert_group(&st, 0, "python:0", 150, 3);
	assert_group(&st, 1, "native:0", 10, 1);
	assert_group(&st, 2, "domain 389047:0", 1, 1);
	statistics_release(&st);
}

static void recursion_counts_each_time_or_once(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 100, 2, frame("a.py", 1, "f"), frame("a.py", 1, "f"),
	    frame("m.py", 9, "m"));
	ADD(SNAP_PYTHON, 7, 1, frame("m.py", 9, "m"));
	st = group(STAT_LINENO, STAT_EACH_FRAME); /* as tracemalloc */
	assert_group(&st, 0, "a.py:1", 200, 4);
	assert_group(&st, 1, "m.py:9", 107, 3);
	assert_int_equal(st.total_size, 107);
	statistics_release(&st);
	st = group(STAT_LINENO, STAT_EACH_STACK);
	assert_group(&st, 0, "m.py:9", 107, 3);
	assert_group(&st, 1, "a.py:1", 100, 2);
	statistics_release(&st);
	/* the same stack again is another stack */
	ADD(SNAP_PYTHON, 100, 2, frame("a.py", 1, "f"), frame("a.py", 1, "f"),
	    frame("m.py", 9, "m"));
	st = group(STAT_FUNCTION, STAT_EACH_STACK);
	assert_group(&st, 0, "m.py:0!m", 207, 5);
	assert_group(&st, 1, "a.py:0!f", 200, 4);
	statistics_release(&st);
}

static void only_what_has_callers_can_be_cumulative(void **state)
{
	static const enum stat_key keys[] = {STAT_TRACEBACK, STAT_THREAD, STAT_DOMAIN};

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct stat_opts opts = {.key = keys[i], .cumulative = STAT_EACH_FRAME};
		struct statistics st;

		assert_int_equal(statistics_make(snap, &opts, &st), -EINVAL);
		assert_false(stat_key_can_cumulate(keys[i]));
	}
}

static void tracebacks_of_equal_size_are_ordered_from_the_oldest_call(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 10, 1, frame("z.py", 1, "f"), frame("a.py", 8, "main"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 1, "f"), frame("z.py", 9, "main"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 8, "main"));
	st = group(STAT_TRACEBACK, STAT_OWN);
	assert_int_equal(st.count, 3);
	assert_ptr_equal(st.items[0].biggest, &snap->stacks[1]);
	assert_ptr_equal(st.items[1].biggest, &snap->stacks[0]); /* longer than its prefix */
	assert_ptr_equal(st.items[2].biggest, &snap->stacks[2]);
	statistics_release(&st);
}

static void a_stack_without_frames_is_the_unknown_frame(void **state)
{
	struct statistics st;

	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 16, 1), 0);
	ADD(SNAP_PYTHON, 8, 1, frame("<unknown>", 0, NULL));
	for (int key = STAT_LINENO; key <= STAT_TRACEBACK; key++) {
		const struct snap_frame *frames;
		size_t count;

		st = group((enum stat_key)key, STAT_OWN);
		assert_int_equal(st.count, 1);
		assert_int_equal(st.items[0].size, 24);
		frames = statistic_frames(&st.items[0], &count);
		assert_int_equal(count, 1);
		assert_string_equal(intern_get(in, frames[0].file), "<unknown>");
		statistics_release(&st);
	}
}

static void blocks_of_no_size_count_and_empty_stacks_do_not(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, 0, 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 0, 0, frame("b.py", 1, "f"));
	st = group(STAT_LINENO, STAT_OWN);
	assert_int_equal(st.count, 1);
	assert_group(&st, 0, "a.py:1", 0, 1);
	statistics_release(&st);
}

static void skipped_stacks_are_not_there(void **state)
{
	static const uint8_t skip[] = {0, 1, 2};
	struct stat_opts opts = {.key = STAT_LINENO, .skip = skip};
	struct statistics st;

	for (int i = 0; i < 3; i++)
		ADD(SNAP_PYTHON, 10, 1, frame("a.py", i, "f"));
	assert_int_equal(statistics_make(snap, &opts, &st), 0);
	assert_int_equal(st.count, 1);
	assert_group(&st, 0, "a.py:0", 10, 1);
	assert_int_equal(st.total_size, 10);
	statistics_release(&st);
}

static void the_order_can_be_by_count(void **state)
{
	struct stat_opts opts = {.key = STAT_LINENO, .sort = STAT_BY_COUNT};
	struct statistics st;

	ADD(SNAP_PYTHON, 100, 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 10, 5, frame("b.py", 1, "f"));
	ADD(SNAP_PYTHON, 20, 5, frame("c.py", 1, "f"));
	assert_int_equal(statistics_make(snap, &opts, &st), 0);
	assert_group(&st, 0, "c.py:1", 20, 5);
	assert_group(&st, 1, "b.py:1", 10, 5);
	assert_group(&st, 2, "a.py:1", 100, 1);
	statistics_release(&st);
}

static void sums_that_no_machine_has_do_not_wrap(void **state)
{
	struct statistics st;

	ADD(SNAP_PYTHON, UINT64_MAX - 1, UINT64_MAX - 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, UINT64_MAX - 1, UINT64_MAX - 1, frame("a.py", 1, "f"));
	st = group(STAT_LINENO, STAT_OWN);
	assert_group(&st, 0, "a.py:1", INT64_MAX, INT64_MAX);
	assert_int_equal(st.total_size, INT64_MAX);
	statistics_release(&st);
}

static void many_groups_survive_the_growth_of_the_table(void **state)
{
	struct statistics st;

	for (int i = 0; i < 30000; i++)
		ADD(SNAP_PYTHON, 1 + (uint64_t)i % 3, 1, frame("a.py", i / 2, "f"),
		    frame("m.py", i % 2, "main"));
	st = group(STAT_LINENO, STAT_OWN);
	assert_int_equal(st.count, 15000);
	statistics_release(&st);
	st = group(STAT_TRACEBACK, STAT_OWN);
	assert_int_equal(st.count, 30000);
	statistics_release(&st);
}

static void keys_have_names(void **state)
{
	enum stat_key key;

	for (int k = 0; k < STAT_KEYS; k++) {
		assert_int_equal(stat_key_parse(stat_key_name((enum stat_key)k), &key), 0);
		assert_int_equal(key, k);
	}
	assert_int_equal(stat_key_parse("line", &key), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_empty_snapshot_has_no_groups),
		CASE(lines_group_whatever_function_and_domain),
		CASE(the_symbol_is_part_of_a_native_place),
		CASE(functions_are_those_of_one_file),
		CASE(modules_threads_and_domains_have_names),
		CASE(recursion_counts_each_time_or_once),
		CASE(only_what_has_callers_can_be_cumulative),
		CASE(tracebacks_of_equal_size_are_ordered_from_the_oldest_call),
		CASE(a_stack_without_frames_is_the_unknown_frame),
		CASE(blocks_of_no_size_count_and_empty_stacks_do_not),
		CASE(skipped_stacks_are_not_there),
		CASE(the_order_can_be_by_count),
		CASE(sums_that_no_machine_has_do_not_wrap),
		CASE(many_groups_survive_the_growth_of_the_table),
		CASE(keys_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
