// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "drain/late_blocks.h"

/* A session of two pools in one segment, as BPF leaves it. */
static struct bpf_session session;
static struct tm_dir_bucket buckets[1], newer[1];
static struct late_blocks seen;
static unsigned blocks;
static uint64_t bytes;

#define POOL_OLD 0x7f0000004000ull
#define POOL_NEW 0x7f0000008000ull
#define SZIDX	 3 /* 64 bytes */

static uint32_t *slot(uint32_t pool, uint32_t block)
{
	return pool_slot_at(&session, buckets[0].way[pool].ref, block);
}

static int setup(void **state)
{
	(void)state;
	memset(&session, 0, sizeof(session));
	memset(buckets, 0, sizeof(buckets));
	memset(newer, 0, sizeof(newer));
	session.dir.view[0] = buckets;
	session.dir.view[1] = newer;
	session.dir.buckets[0] = session.dir.buckets[1] = 1;
	session.dir.count = 2;
	session.segments[0] = calloc(TM_SEG_CHUNKS, sizeof(struct tm_chunk));
	session.segment_count = 1;
	/* Eight chunks a pool: 256 slots. */
	buckets[0].way[0] = (struct tm_dir_entry){POOL_OLD | (SZIDX + 1), 0ull << 16 | 8};
	buckets[0].way[1] = (struct tm_dir_entry){POOL_NEW | (SZIDX + 1), 8ull << 16 | 8};
	seen = (struct late_blocks){0};
	blocks = 0;
	bytes = 0;
	return session.segments[0] ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	late_blocks_release(&seen);
	free(session.segments[0]);
	return 0;
}

static void count_one(void *ctx, uint32_t stack_id, uint32_t size)
{
	(void)ctx;
	assert_int_equal(stack_id, 17);
	blocks++;
	bytes += size;
}

static void note(uint64_t addr, uint32_t szidx, uint32_t used)
{
	struct pool_state p = {.addr = addr,
			       .szidx = szidx,
			       .class_bytes = (szidx + 1) * 16,
			       .blocks = 255,
			       .ref_count = used,
			       .used = used};

	assert_int_equal(late_blocks_note(&seen, &p), 0);
}

static void record(uint32_t pool, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		*slot(pool, i) = 17 | 5u << TM_MARK_SHIFT;
}

static void only_what_was_handed_out_since_counts(void **state)
{
	(void)state;
	note(POOL_OLD, SZIDX, 100);
	record(0, 0, 120); /* 20 of them since */
	record(1, 0, 50);  /* a pool that the last read did not find */
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 70);
	assert_int_equal(bytes, 70 * 64);
}

static void a_pool_of_another_class_is_a_new_one(void **state)
{
	(void)state;
	note(POOL_OLD, SZIDX + 1, 200);
	note(POOL_NEW, SZIDX, 0);
	record(0, 0, 30);
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 30);
}

static void an_empty_pool_has_handed_out_nothing(void **state)
{
	struct pool_state p = {.addr = POOL_OLD, .szidx = SZIDX, .class_bytes = 64, .blocks = 255};

	(void)state;
	assert_int_equal(late_blocks_note(&seen, &p), 0);
	record(0, 0, 10);
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 10);
	late_blocks_reset(&seen);
	assert_int_equal(seen.count, 0);
}

/* Slots beyond the blocks of the class hold what an earlier, smaller class left. */
static void slots_beyond_the_class_do_not_count(void **state)
{
	(void)state;
	note(POOL_OLD, SZIDX, 255);
	record(1, 250, 256);
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 5);
}

static void a_pool_in_two_levels_counts_once(void **state)
{
	(void)state;
	note(POOL_OLD, SZIDX, 0);
	newer[0].way[2] = buckets[0].way[1];
	record(1, 0, 50);
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 50);
}

static void a_reference_that_makes_no_sense_has_no_slots(void **state)
{
	(void)state;
	note(POOL_OLD, SZIDX, 0);
	buckets[0].way[0].ref = 0xffffffffull << 16 | 0xffff;
	buckets[0].way[1].ref = 0;
	late_blocks_each(&seen, &session, count_one, NULL);
	assert_int_equal(blocks, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(only_what_was_handed_out_since_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_pool_of_another_class_is_a_new_one, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_empty_pool_has_handed_out_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(slots_beyond_the_class_do_not_count, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_pool_in_two_levels_counts_once, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reference_that_makes_no_sense_has_no_slots, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
