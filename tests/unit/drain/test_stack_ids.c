// SPDX-License-Identifier: GPL-2.0-or-later
/* Ids are taken back from stacks that hold nothing, and from no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drain/stack_ids.h"
#include "session_model.h"

#define STACKS (MODEL_STACK_BUCKETS * TM_STACK_WAYS)

static struct session_model *model;
static struct stack_ids *ids;
static bool live[STACKS + TM_STACK_FIRST];

static int setup(void **state)
{
	model = session_model_new();
	memset(live, 0, sizeof(live));
	return stack_ids_new(&model->s, &ids);
}

static int teardown(void **state)
{
	stack_ids_free(ids);
	session_model_free(model);
	return 0;
}

static bool holds(void *ctx, uint32_t id)
{
	return live[id];
}

static size_t look_through(void)
{
	return stack_ids_take_back(ids, holds, NULL);
}

static struct tm_stack_allocs *allocs(uint32_t id)
{
	return bpf_session_allocs(&model->s, id);
}

static void what_holds_nothing_is_free_after_the_third_read(void **state)
{
	uint32_t dead = session_model_stack(model, 0, 0xaaa),
		 alive = session_model_stack(model, 1, 0xbbb);

	allocs(dead)->blocks = 10;
	allocs(dead)->bytes = 1000;
	allocs(alive)->blocks = 5;
	live[alive] = true;
	assert_int_equal(look_through(), 0); /* has allocated since it was looked at last: never */
	assert_int_equal(look_through(), 0); /* idle */
	assert_int_equal(session_model_hash(model, dead), 0xaaa);
	assert_int_equal(look_through(), 0); /* held */
	assert_int_equal(session_model_hash(model, dead), TM_STACK_HELD);
	assert_int_equal(model->skel.bss->stack_tab.used[0], 2);
	assert_int_equal(look_through(), 1);
	assert_int_equal(session_model_hash(model, dead), 0);
	assert_int_equal(session_model_hash(model, alive), 0xbbb);
	assert_int_equal(model->skel.bss->stack_tab.used[0], 1);
	/* What it had allocated is not forgotten. */
	assert_int_equal(allocs(dead)->blocks, 0);
	assert_int_equal(allocs(TM_STACK_GONE)->blocks, 10);
	assert_int_equal(allocs(TM_STACK_GONE)->bytes, 1000);
	assert_int_equal(allocs(alive)->blocks, 5);
	assert_int_equal(look_through(), 0);
}

static void a_stack_that_goes_on_allocating_keeps_its_id(void **state)
{
	uint32_t id = session_model_stack(model, 3, 0xccc);

	for (int i = 0; i < 20; i++) {
		allocs(id)->blocks += i % 2; /* in every other read */
		assert_int_equal(look_through(), 0);
		assert_int_equal(session_model_hash(model, id), 0xccc);
	}
}

/* A handler had looked the id up before it was held, and wrote it to its block after. */
static void a_held_id_that_turns_up_in_a_block_comes_back(void **state)
{
	uint32_t id = session_model_stack(model, 7, 0xddd);

	for (int i = 0; i < 2; i++)
		assert_int_equal(look_through(), 0);
	assert_int_equal(session_model_hash(model, id), TM_STACK_HELD);
	live[id] = true;
	assert_int_equal(look_through(), 0);
	assert_int_equal(session_model_hash(model, id), 0xddd);
	live[id] = false;
	for (int i = 0; i < 2; i++)
		assert_int_equal(look_through(), 0);
	allocs(id)->blocks++; /* counted, and freed at once */
	assert_int_equal(look_through(), 0);
	assert_int_equal(session_model_hash(model, id), 0xddd);
}

static void an_id_that_is_kept_stays_for_this_read(void **state)
{
	uint32_t id = session_model_stack(model, 9, 0xeee);

	for (int i = 0; i < 10; i++) {
		stack_ids_keep(ids, id);
		assert_int_equal(look_through(), 0);
	}
	assert_int_equal(session_model_hash(model, id), 0xeee);
	stack_ids_keep(ids, model->s.stack_ids_max); /* from a slot that makes no sense */
	assert_int_equal(look_through() + look_through() + look_through(), 1);
}

static void ids_are_short_from_half_of_the_table_on(void **state)
{
	for (uint32_t i = 0; i < STACKS / 2; i++) {
		assert_false(stack_ids_are_short(ids));
		session_model_stack(model, i, 100 + i);
	}
	assert_true(stack_ids_are_short(ids));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_holds_nothing_is_free_after_the_third_read),
		TEST(a_stack_that_goes_on_allocating_keeps_its_id),
		TEST(a_held_id_that_turns_up_in_a_block_comes_back),
		TEST(an_id_that_is_kept_stays_for_this_read),
		TEST(ids_are_short_from_half_of_the_table_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
