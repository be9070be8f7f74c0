/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analyze/stat_group.h"
#include "analyze/stat_key.h"

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

/* Of every stack and every key: the group that statistics_make() puts it in. */
static void the_group_of_a_stack_is_that_of_the_statistics(void **state)
{
	struct snap_frame a[] = {frame("/srv/a.py", 1, "f"), frame("/srv/m.py", 2, "m")};
	struct snap_frame b[] = {frame("/srv/a.py", 3, "f")};
	struct snap_frame lib[] = {frame("/usr/lib/libz.so.1", 0, "inflate"), a[1]};

	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, a, 2, false, 100, 1), 0);
	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, b, 1, false, 50, 1), 0);
	assert_int_equal(snapshot_add(snap, SNAP_NATIVE, lib, 2, false, 70, 1), 0);
	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, NULL, 0, false, 10, 1), 0);
	for (int k = 0; k < STAT_KEYS; k++) {
		const struct stat_opts opts = {.key = (enum stat_key)k};
		_cleanup_(statistics_release) struct statistics made = {0};
		struct stat_namer namer;
		uint64_t sum = 0;

		assert_int_equal(statistics_make(snap, &opts, &made), 0);
		assert_int_equal(stat_namer_init(&namer, snap, (enum stat_key)k), 0);
		for (size_t i = 0; i < snap->stack_count; i++) {
			struct statistic group;
			size_t found = 0;

			assert_int_equal(stat_group_of(&namer, &snap->stacks[i], &group), 0);
			assert_ptr_equal(group.biggest, &snap->stacks[i]);
			for (size_t g = 0; g < made.count; g++)
				found += statistic_equals(&made, &made.items[g], &group);
			assert_int_equal(found, 1);
		}
		for (size_t g = 0; g < made.count; g++)
			sum += made.items[g].size;
		assert_int_equal(sum, 230);
		stat_namer_release(&namer);
	}
}

static void a_stack_that_holds_nothing_has_a_group_too(void **state)
{
	struct snap_frame f[] = {frame("/srv/a.py", 1, "f")};
	struct stat_namer namer;
	struct statistic group;

	assert_int_equal(snapshot_add(snap, SNAP_PYTHON, f, 1, false, 0, 0), 0);
	assert_int_equal(stat_namer_init(&namer, snap, STAT_LINENO), 0);
	assert_int_equal(stat_group_of(&namer, &snap->stacks[0], &group), 0);
	assert_int_equal(group.top.line, 1);
	assert_int_equal(group.top.file.v, f[0].file.v);
	stat_namer_release(&namer);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_group_of_a_stack_is_that_of_the_statistics),
		CASE(a_stack_that_holds_nothing_has_a_group_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
