/* SPDX-License-Identifier: GPL-2.0-or-later */
/* No stack grows while nothing is followed, and what is from before a gap is counted apart after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "trace/unfollowed.h"

enum { CAP = 8 };

static struct stack_total totals[CAP];
static uint32_t ids[CAP] = {3, 5};
static struct drain_result result = {
	.by_stack = totals, .stack_cap = CAP, .ids = ids, .id_count = 2};

static struct stack_total total(uint64_t bytes, uint64_t blocks, uint64_t malloc_bytes,
				uint64_t malloc_blocks)
{
	return (struct stack_total){bytes, blocks, malloc_bytes, malloc_blocks};
}

static struct unfollowed gap_of(bool malloc_only)
{
	struct unfollowed u = {0};

	totals[3] = total(1000, 10, 600, 4);
	totals[5] = total(64, 1, 0, 0);
	assert_int_equal(unfollowed_begin(&u, &result, malloc_only, 42), 0);
	assert_int_equal(u.gap.from_ns, 42);
	return u;
}

static void without_a_gap_nothing_is_unfollowed(void **state)
{
	struct unfollowed u = {0};
	struct stack_total now = total(5, 1, 0, 0);

	assert_int_equal(unfollowed_apply(&u, 3, &now), 0);
	assert_int_equal(now.bytes, 5);
}

static void while_it_goes_on_no_stack_grows(void **state)
{
	struct unfollowed u = gap_of(false);
	struct stack_total more = total(1500, 15, 600, 4), less = total(400, 4, 400, 2);
	struct stack_total fresh = total(99, 9, 0, 0);

	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &more), 1000);
	assert_int_equal(more.bytes, 1000);
	assert_int_equal(more.blocks, 10);
	/* Not there when it began: an address that changed hands. */
	assert_int_equal(unfollowed_apply(&u, 7, &fresh), 0);
	assert_int_equal(fresh.bytes, 0);
	assert_int_equal(u.gap.bytes, 1000);
	assert_int_equal(u.gap.blocks, 10);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &less), 400);
	/* What was gone once does not come back, also when nobody asked for it meanwhile. */
	more = total(900, 9, 0, 0);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &more), 400);
	assert_int_equal(more.bytes, 400);
	totals[5] = total(0, 0, 0, 0);
	unfollowed_restart(&u, &result);
	more = total(64, 1, 0, 0);
	assert_int_equal(unfollowed_apply(&u, 5, &more), 0);
	unfollowed_release(&u);
}

static void after_it_new_blocks_count_and_old_ones_stay_marked(void **state)
{
	struct unfollowed u = gap_of(false);
	struct stack_total now = total(5000, 50, 600, 4), other = total(64, 1, 0, 0);

	unfollowed_end(&u, 43);
	assert_int_equal(u.gap.to_ns, 43);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &now), 1000);
	assert_int_equal(now.bytes, 5000);
	assert_int_equal(unfollowed_apply(&u, 5, &other), 64);
	assert_int_equal(u.gap.bytes, 1064);
	assert_int_equal(u.gap.blocks, 11);
	/* A table that has grown meanwhile. */
	assert_int_equal(unfollowed_apply(&u, 1u << 20, &now), 0);
	unfollowed_release(&u);
}

static void of_malloc_alone_the_small_objects_are_followed(void **state)
{
	struct unfollowed u = gap_of(true);
	struct stack_total now = total(2000, 20, 600, 4);

	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &now), 600);
	assert_int_equal(now.bytes, 2000);
	assert_int_equal(u.gap.blocks, 4);
	/* More of malloc's, less than all there was when it began: they came since. */
	now = totals[3] = total(2300, 23, 900, 7);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &now), 600);
	unfollowed_release(&u);
	u = gap_of(true);
	now = totals[3] = total(2300, 23, 900, 7);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &now), 600);
	assert_int_equal(u.gap.blocks, 4);
	unfollowed_release(&u);
}

static void a_second_gap_marks_everything_again(void **state)
{
	struct unfollowed u = gap_of(false);
	struct stack_total now = total(3000, 30, 0, 0);

	unfollowed_end(&u, 43);
	totals[3] = now;
	assert_int_equal(unfollowed_begin(&u, &result, false, 50), 0);
	assert_int_equal(u.gap.to_ns, 0);
	unfollowed_restart(&u, &result);
	assert_int_equal(unfollowed_apply(&u, 3, &now), 3000);
	unfollowed_release(&u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_gap_nothing_is_unfollowed),
		cmocka_unit_test(while_it_goes_on_no_stack_grows),
		cmocka_unit_test(after_it_new_blocks_count_and_old_ones_stay_marked),
		cmocka_unit_test(of_malloc_alone_the_small_objects_are_followed),
		cmocka_unit_test(a_second_gap_marks_everything_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
