/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers of lines across snapshots, against the groups that statistics_make() makes of the same stacks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "analyze/leaks_lines.h"
#include "leak_models.h"

#define STACKS 300

static struct intern *in;

static int setup(void **state)
{
	in = intern_new();
	return in ? 0 : -1;
}

static int teardown(void **state)
{
	intern_free(in);
	return 0;
}

static str_id_t name(const char *text, uint64_t n)
{
	char buf[32];
	str_id_t id;

	snprintf(buf, sizeof(buf), text, (unsigned)n);
	assert_int_equal(intern_str(in, buf, &id), 0);
	return id;
}

/* Few names, so that every key has groups of several stacks; some stacks are native, some have no frame. */
static struct snapshot *random_snapshot(struct rng *r)
{
	struct snapshot *s = snapshot_new(in);

	assert_non_null(s);
	for (int i = 0; i < STACKS; i++) {
		enum snap_domain domain = rng_next(r) % 4 ? SNAP_PYTHON : SNAP_NATIVE;
		struct snap_frame frames[3];
		size_t count = rng_next(r) % 4;

		for (size_t f = 0; f < count; f++) {
			bool native = domain == SNAP_NATIVE && !f;

			frames[f] = (struct snap_frame){
				.file = name(native ? "lib%u.so" : "/srv/m%u.py", rng_next(r) % 3),
				.function = name("f%u", rng_next(r) % 3),
				.line = native ? 0 : (int32_t)(rng_next(r) % 3) + 1,
			};
		}
		assert_int_equal(snapshot_add(s, domain, frames, count, false, rng_next(r) % 1000,
					      1 + rng_next(r) % 9),
				 0);
		s->stacks[i].thread = name("thread %u", rng_next(r) % 3);
	}
	return s;
}

static void assert_groups(const struct snapshot *s, enum stat_key key, const uint32_t *map,
			  const struct leak_lines *lines)
{
	const struct stat_opts opts = {.key = key};
	uint64_t size[STACKS] = {0}, count[STACKS] = {0};
	struct statistics st;
	size_t used = 0;

	for (size_t i = 0; i < s->stack_count; i++) {
		assert_true(map[i] < leak_lines_count(lines));
		size[map[i]] += s->stacks[i].bytes;
		count[map[i]] += s->stacks[i].blocks;
	}
	for (size_t line = 0; line < leak_lines_count(lines); line++)
		used += count[line] > 0;
	assert_int_equal(statistics_make(s, &opts, &st), 0);
	assert_int_equal(used, st.count);
	for (size_t g = 0; g < st.count; g++) {
		uint32_t line = map[st.items[g].biggest - s->stacks];

		assert_int_equal(size[line], st.items[g].size);
		assert_int_equal(count[line], st.items[g].count);
	}
	statistics_release(&st);
}

static void lines_are_the_groups_of_statistics(void **state)
{
	struct rng r = {11};

	for (int key = 0; key < STAT_KEYS; key++) {
		struct snapshot *a = random_snapshot(&r), *b = random_snapshot(&r);
		uint32_t map_a[STACKS], map_b[STACKS];
		struct leak_lines *lines = NULL;

		assert_int_equal(leak_lines_new((enum stat_key)key, &lines), 0);
		assert_int_equal(leak_lines_add(lines, a, NULL, map_a), 0);
		assert_int_equal(leak_lines_add(lines, b, NULL, map_b), 0);
		assert_groups(a, (enum stat_key)key, map_a, lines);
		assert_groups(b, (enum stat_key)key, map_b, lines);
		/* asked again, the numbers are the same */
		assert_int_equal(leak_lines_add(lines, a, NULL, map_b), 0);
		assert_memory_equal(map_a, map_b, sizeof(map_a));
		leak_lines_free(lines);
		snapshot_free(a);
		snapshot_free(b);
	}
}

static void what_is_skipped_has_no_line(void **state)
{
	struct rng r = {12};
	struct snapshot *s = random_snapshot(&r);
	struct leak_lines *lines = NULL;
	uint8_t skip[STACKS] = {0};
	uint32_t map[STACKS];

	memset(skip + 1, 1, STACKS - 1);
	assert_int_equal(leak_lines_new(STAT_LINENO, &lines), 0);
	assert_int_equal(leak_lines_add(lines, s, skip, map), 0);
	assert_int_equal(leak_lines_count(lines), 1);
	assert_int_equal(map[0], 0);
	for (int i = 1; i < STACKS; i++)
		assert_int_equal(map[i], LEAK_LINE_NONE);
	leak_lines_pick_biggest(lines, s, map);
	leak_lines_free(lines);
	snapshot_free(s);
}

static void a_line_is_named_after_its_biggest_stack(void **state)
{
	struct snap_frame frames[2] = {{.line = 7}, {.line = 1}};
	struct snapshot *s = snapshot_new(in);
	struct leak_lines *lines = NULL;
	const struct leak_name *n;
	uint32_t map[2];

	frames[0].file = frames[1].file = name("/srv/a%u.py", 1);
	frames[0].function = name("small%u", 1);
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, frames, 2, false, 10, 1), 0);
	frames[0].function = name("big%u", 1);
	assert_int_equal(snapshot_add(s, SNAP_PYTHON, frames, 1, false, 20, 1), 0);
	assert_int_equal(leak_lines_new(STAT_LINENO, &lines), 0);
	assert_int_equal(leak_lines_add(lines, s, NULL, map), 0);
	assert_int_equal(leak_lines_count(lines), 1);
	leak_lines_pick_biggest(lines, s, map);
	n = leak_lines_name(lines, 0);
	assert_ptr_equal(n->group.biggest, &s->stacks[1]);
	assert_string_equal(intern_get(in, statistic_function(&n->in, &n->group)), "big1");
	leak_lines_free(lines);
	snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_are_the_groups_of_statistics, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_skipped_has_no_line, setup, teardown),
		cmocka_unit_test_setup_teardown(a_line_is_named_after_its_biggest_stack, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
