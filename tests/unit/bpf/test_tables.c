// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The tables that BPF writes, with the keys that lie worst: arithmetic progressions, as allocators make them.
 * A level filled to the point of growth loses less than 0.05 %, and with the next level there nothing.
 */
#include "bpf_host.h"

#include "base/cleanup.h"

#include "bpf/live_table.bpf.h"
#include "bpf/pools.bpf.h"
#include "bpf/stack_intern.bpf.h"

#define BUCKETS	     (1u << 13)
#define LOSS_PER_10K 5 /* 0.05 % */

static const uint64_t bases[] = {0x5555557a12a0ull, 0x7f3a5c000010ull, 0x7ffff7d00000ull};

/* glibc's chunks, mimalloc's and jemalloc's size classes, pages, pools, arenas, a prime. */
static const uint64_t strides[] = {
	8,     16,    24,    32,    48,	    64,	    80,	  96,	      112,	  128,
	144,   160,   192,   208,   224,    256,    320,  384,	      448,	  512,
	640,   768,   1024,  1040,  1280,   2048,   4096, 4112,	      8192,	  8208,
	10240, 16384, 65536, 65552, 131072, 262144, 4099, 1ull << 20, 1ull << 21, 1ull << 24};

/* ---- live table ---- */

static void live_open(uint32_t levels)
{
	host_map_add(&live_spill, HOST_HASH, sizeof(uint64_t), 8192);
	for (uint32_t i = 0; i < levels; i++)
		host_level_add(NULL, &live_levels, &live_tab, sizeof(struct tm_live_bucket),
			       BUCKETS << i, TM_LIVE_WAYS, TM_FILL_4_WAYS);
}

static void a_level_filled_to_its_limit_has_room_for_every_stride(void **state)
{
	const uint64_t limit = (uint64_t)BUCKETS * TM_LIVE_WAYS * TM_FILL_4_WAYS / 100;

	for (size_t s = 0; s < ARRAY_LEN(strides); s++) {
		uint64_t base = bases[s % ARRAY_LEN(bases)];

		host_open(NULL);
		live_open(1);
		for (uint64_t i = 0; i < limit; i++)
			assert_int_equal(live_add(base + i * strides[s], TM_LIVE_META(20, 1)), 0);
		if (live_spilled * 10000 > limit * LOSS_PER_10K)
			fail_msg("stride %llu: %llu of %llu found no way",
				 (unsigned long long)strides[s], (unsigned long long)live_spilled,
				 (unsigned long long)limit);
		assert_int_equal(live_tab.used[0] + live_spilled, limit);
	}
}

/* Threads with arenas of their own, each a progression: 64 MiB apart, as glibc's. */
static void arenas_do_not_meet_in_the_same_buckets(void **state)
{
	const uint64_t limit = (uint64_t)BUCKETS * TM_LIVE_WAYS * TM_FILL_4_WAYS / 100;

	for (uint32_t arenas = 2; arenas <= 256; arenas *= 4) {
		host_open(NULL);
		live_open(1);
		for (uint64_t i = 0; i < limit; i++)
			live_add(0x7f0000000030ull + (i % arenas << 26) + i / arenas * 64,
				 TM_LIVE_META(20, 1));
		assert_true(live_spilled * 10000 <= limit * LOSS_PER_10K);
	}
}

static void the_next_level_is_begun_at_the_limit_and_nothing_spills(void **state)
{
	const uint64_t base = bases[0], blocks = 100000;
	uint64_t in_first, first_limit;

	live_open(3);
	first_limit = live_tab.limit[0];
	for (uint64_t i = 0; i < blocks; i++) {
		assert_int_equal(live_add(base + i * 64, TM_LIVE_META(20, 64)), 0);
		/* A block whose two buckets are full goes on to the next level before that. */
		if (i < first_limit * 99 / 100)
			assert_true(live_tab.used[1] * 10000 <= first_limit * LOSS_PER_10K);
	}
	in_first = live_tab.used[0];
	assert_int_equal(in_first, first_limit);
	assert_int_equal(live_tab.used[0] + live_tab.used[1] + live_tab.used[2], blocks);
	assert_int_equal(live_spilled, 0);
	host_assert_only(TM_DROP_COUNT, 0);
	/* Each is found again, once. */
	for (uint64_t i = 0; i < blocks; i++)
		assert_int_equal(live_remove(base + i * 64), TM_LIVE_META(20, 64));
	for (uint64_t i = 0; i < blocks; i += 97)
		assert_int_equal(live_remove(base + i * 64), 0);
	for (int level = 0; level < 3; level++)
		assert_int_equal(live_tab.used[level], 0);
}

static void what_is_freed_makes_room_in_the_first_level(void **state)
{
	live_open(2);
	for (uint64_t i = 0; i < live_tab.limit[0] + 1000; i++)
		live_add(bases[0] + i * 32, TM_LIVE_META(20, 32));
	assert_true(live_tab.used[1] >= 1000);
	for (uint64_t i = 0; i < 5000; i++)
		assert_true(live_remove(bases[0] + i * 32));
	for (uint64_t i = 0; i < 100; i++)
		live_add(bases[1] + i * 32, TM_LIVE_META(21, 32));
	assert_true(live_tab.used[1] < 1100);
}

static void a_full_table_counts_every_block_that_it_loses(void **state)
{
	uint64_t stored = 0, refused = 0;

	host_map_add(&live_spill, HOST_HASH, sizeof(uint64_t), 32);
	host_level_add(NULL, &live_levels, &live_tab, sizeof(struct tm_live_bucket), 16,
		       TM_LIVE_WAYS, TM_FILL_4_WAYS);
	for (uint64_t i = 0; i < 500; i++) {
		if (live_add(bases[0] + i * 64, TM_LIVE_META(20, 64)))
			refused++;
		else
			stored++;
	}
	assert_int_equal(stored, live_tab.used[0] + live_spilled);
	assert_int_equal(live_spilled, 32);
	assert_int_equal(live_tab.used[0], 16 * TM_LIVE_WAYS);
	host_assert_only(TM_DROP_LIVE_TABLE, refused);
	assert_int_equal(refused, 500 - 16 * TM_LIVE_WAYS - 32);
	/* The overflow map gives back as well. */
	for (uint64_t i = 0; i < 500; i++)
		stored -= live_remove(bases[0] + i * 64) != 0;
	assert_int_equal(stored, 0);
	assert_int_equal(live_spilled, 0);
}

/* The end of a block that was not seen: its address comes back. */
static void an_address_that_comes_back_has_one_record_and_it_is_the_new_one(void **state)
{
	uint64_t meta;

	live_open(2);
	assert_int_equal(live_add(0x1000, TM_LIVE_META(20, 100)), 0);
	assert_int_equal(live_add(0x1000, TM_LIVE_META(21, 200)), 0);
	assert_int_equal(live_tab.used[0] + live_tab.used[1], 1);
	meta = live_remove(0x1000);
	assert_int_equal(TM_LIVE_STACK(meta), 21);
	assert_int_equal(TM_LIVE_BYTES(meta), 200);
	assert_int_equal(live_remove(0x1000), 0);
}

static void a_stale_record_in_an_older_level_is_removed_too(void **state)
{
	live_open(2);
	assert_int_equal(live_add(0x2000, TM_LIVE_META(20, 100)), 0);
	live_tab.limit[0] = 0; /* the first level is full from here on */
	assert_int_equal(live_add(0x2000, TM_LIVE_META(21, 200)), 0);
	assert_int_equal(live_tab.used[0], 0);
	assert_int_equal(live_tab.used[1], 1);
}

static void rebooking_keeps_the_bytes(void **state)
{
	live_open(2);
	assert_int_equal(live_rebook(0x3000, 30), 0);
	live_add(0x3000, TM_LIVE_META(20, 12345));
	assert_int_equal(live_rebook(0x3000, 30), 1);
	assert_int_equal(live_remove(0x3000), TM_LIVE_META(30, 12345));
}

/* ---- pool directory ---- */

static void dir_open(uint32_t buckets, uint32_t levels)
{
	struct host_map *segs = host_map_of(&slot_segs);

	cfg_pool_bytes = 16384;
	cfg_pool_align_shift = 4;
	for (uint32_t i = 0; i < segs->entries; i++)
		segs->inner[i] =
			host_map_add(NULL, HOST_ARRAY, sizeof(struct tm_chunk), TM_SEG_CHUNKS);
	run_chunks_avail = segs->entries * TM_SEG_CHUNKS;
	for (uint32_t i = 0; i < levels; i++)
		host_level_add(&pool_dir, &dir_levels, &dir_tab, sizeof(struct tm_dir_bucket),
			       buckets << i, TM_DIR_WAYS, TM_FILL_4_WAYS);
}

/* Arenas grow downwards, pools in them upwards; 4 KiB up to 3.9, 16 KiB since. */
static void the_directory_takes_contiguous_pools_to_its_limit(void **state)
{
	static const uint64_t steps[] = {4096, 16384, 262144, 1 << 20};
	const uint64_t limit = (uint64_t)BUCKETS * TM_DIR_WAYS * TM_FILL_4_WAYS / 100;

	for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
		uint64_t refused = 0;

		host_open(NULL);
		dir_open(BUCKETS, 1);
		for (uint64_t i = 0; i < limit; i++)
			refused += !pool_insert(0x7f3a5c000000ull - i * steps[s], 1);
		if (refused * 10000 > limit * LOSS_PER_10K)
			fail_msg("pools %llu apart: %llu of %llu found no way",
				 (unsigned long long)steps[s], (unsigned long long)refused,
				 (unsigned long long)limit);
	}
}

static void pools_go_on_to_the_next_level_and_are_found_in_it(void **state)
{
	const uint64_t pools = 1900, base = 0x7f3a5c000000ull;

	dir_open(128, 3);
	for (uint64_t i = 0; i < pools; i++)
		assert_int_equal(pool_setup(base - i * 16384, (uint32_t)(i % 32)), 0);
	assert_int_equal(dir_tab.used[0] + dir_tab.used[1] + dir_tab.used[2], pools);
	assert_int_equal(dir_tab.used[0], dir_tab.limit[0]);
	for (uint64_t i = 0; i < pools; i++) {
		uint64_t place = pool_place(base - i * 16384);

		assert_int_equal(TM_PLACE_SZIDX(place), i % 32);
		assert_true(TM_PLACE_CHUNKS(place) >= class_chunks((uint32_t)(i % 32)));
	}
	host_assert_only(TM_DROP_COUNT, 0);
}

static void a_full_directory_counts_every_pool(void **state)
{
	uint64_t refused = 0;

	dir_open(16, 1);
	for (uint64_t i = 0; i < 200; i++)
		refused += slot_claim(0x7f3a5c000000ull + i * 16384,
				      0x7f3a5c000000ull + i * 16384 + 48, 31) == NULL;
	assert_int_equal(dir_tab.used[0], 16 * TM_DIR_WAYS);
	assert_int_equal(refused, 200 - 16 * TM_DIR_WAYS);
	host_assert_only(TM_DROP_POOL_DIR, refused);
}

static void slots_that_are_used_up_are_counted(void **state)
{
	uint64_t pool = 0x7f3a5c000000ull;

	dir_open(64, 1);
	run_chunks_avail = 2 * class_chunks(31);
	for (int i = 0; i < 10; i++)
		(void)slot_claim(pool + i * 16384ull, pool + i * 16384ull + 48, 31);
	host_assert_only(TM_DROP_SLOTS, 8);
}

/* A pool that is given back and comes back with smaller blocks gets more slots, all empty. */
static void a_pool_of_another_class_starts_with_empty_slots(void **state)
{
	uint64_t pool = 0x7f3a5c000000ull;
	uint32_t *slot;

	dir_open(64, 1);
	slot = slot_claim(pool, pool + 48, 31);
	assert_non_null(slot);
	*slot = 77;
	assert_ptr_equal(slot_claim(pool, pool + 48, 31), slot);
	assert_int_equal(*slot, 77);
	for (uint32_t block = 0; block < (16384 - 48) / 16; block++) {
		slot = slot_claim(pool, pool + 48 + block * 16, 0);
		assert_non_null(slot);
		assert_int_equal(*slot, 0);
		*slot = 1000 + block;
	}
	for (uint32_t block = 0; block < (16384 - 48) / 16; block++)
		assert_int_equal(*slot_claim(pool, pool + 48 + block * 16, 0), 1000 + block);
	/* Back again: the slots that it has are enough, and what they hold is of other blocks. */
	for (uint32_t block = 0; block < (16384 - 48) / 512; block++)
		assert_int_equal(*slot_claim(pool, pool + 48 + block * 512, 31), 0);
	assert_int_equal(dir_tab.used[0], 1);
}

/* ---- stacks ---- */

static void stacks_open(uint32_t buckets, uint32_t levels)
{
	struct host_map *allocs = host_map_of(&alloc_levels);

	cfg_stack_mask = buckets - 1;
	for (uint32_t i = 0; i < levels; i++) {
		allocs->inner[i] = host_map_add(
			i ? NULL : &stack_allocs, HOST_ARRAY, sizeof(struct tm_stack_allocs),
			(buckets << i) * TM_STACK_WAYS + (i ? 0 : TM_STACK_FIRST));
		host_level_add(&stack_table, &stack_levels, &stack_tab,
			       sizeof(struct tm_stack_bucket), buckets << i, TM_STACK_WAYS,
			       TM_FILL_8_WAYS);
	}
}

/* A native stack is its caller: no frames to walk. */
static uint32_t stack_of(uint64_t caller)
{
	return stack_current(TM_DOMAIN_NATIVE, caller);
}

static void every_stack_has_an_id_of_its_own_in_all_levels(void **state)
{
	const uint32_t max = TM_STACK_BASE(63, 3), stacks = 64 * TM_STACK_WAYS * 7 * 75 / 100;
	uint8_t *seen = calloc(max, 1);

	stacks_open(64, 3);
	for (uint32_t i = 0; i < stacks; i++) {
		uint32_t id = stack_of(0x400000 + i * 16ull);

		assert_in_range(id, TM_STACK_FIRST, max - 1);
		assert_int_equal(seen[id], 0);
		seen[id] = 1;
		assert_int_equal(stack_of(0x400000 + i * 16ull), id);
		stack_count(id, i);
	}
	assert_int_equal(host.ring_records, stacks);
	assert_int_equal(stack_tab.used[0], stack_tab.limit[0]);
	for (uint32_t i = 0; i < stacks; i++) {
		uint32_t id = stack_of(0x400000 + i * 16ull), level = tm_stack_level(63, id);
		struct host_map *m = host_map_of(&alloc_levels)->inner[level];
		const struct tm_stack_allocs *a =
			(const void *)(m->values + sizeof(*a) * tm_stack_index(63, level, id));

		assert_int_equal(a->blocks, 1);
		assert_int_equal(a->bytes, i);
	}
	host_assert_only(TM_DROP_COUNT, 0);
	free(seen);
}

static void a_full_stack_table_counts_every_hit_of_a_stack_without_id(void **state)
{
	uint64_t lost = 0;

	stacks_open(4, 1);
	for (uint64_t i = 0; i < 100; i++)
		lost += stack_of(0x400000 + i * 16) == TM_STACK_LOST;
	assert_int_equal(stack_tab.used[0] + lost, 100);
	assert_true(stack_tab.used[0] <= 4 * TM_STACK_WAYS);
	host_assert_only(TM_DROP_STACK_TABLE, lost);
	assert_true(lost >= 100 - 4 * TM_STACK_WAYS);
}

static void a_full_ring_is_counted_and_the_stack_tried_once_more(void **state)
{
	uint32_t id;

	stacks_open(64, 1);
	host.ring_full = true;
	for (int i = 0; i < 7; i++)
		assert_int_equal(stack_of(0x400000), TM_STACK_LOST);
	host_assert_only(TM_DROP_RING_FULL, 7);
	assert_int_equal(stack_tab.used[0], 0);
	host.ring_full = false;
	id = stack_of(0x400000);
	assert_true(id >= TM_STACK_FIRST);
	assert_int_equal(stack_of(0x400000), id);
	host_assert_only(TM_DROP_RING_FULL, 7);
}

static void scratch_areas_in_use_are_counted(void **state)
{
	struct host_map *m = host_map_of(&scratch);
	struct tm_scratch *areas = (void *)m->values;

	stacks_open(64, 1);
	areas[0].busy = 1;
	assert_true(stack_of(0x400000) >= TM_STACK_FIRST); /* the second one */
	assert_int_equal(areas[1].busy, 0);
	areas[1].busy = 1;
	for (int i = 0; i < 3; i++)
		assert_int_equal(stack_of(0x400000), TM_STACK_NONE);
	host_assert_only(TM_DROP_SCRATCH_BUSY, 3);
}

/* An id that was taken back is nobody's until user space frees it. */
static void a_held_id_is_not_given_out(void **state)
{
	struct host_map *m;
	struct tm_stack_bucket *b;
	uint32_t id, other;

	stacks_open(1, 1);
	id = stack_of(0x400000);
	m = host_map_of(&stack_levels)->inner[0];
	b = (void *)m->values;
	b->hash[id - TM_STACK_FIRST] = TM_STACK_HELD;
	other = stack_of(0x400000);
	assert_int_not_equal(other, id);
	assert_true(other >= TM_STACK_FIRST);
	for (uint64_t i = 1; i < 20; i++)
		assert_int_not_equal(stack_of(0x400000 + i * 16), id);
	b->hash[id - TM_STACK_FIRST] = 0;
	assert_int_equal(stack_of(0x500000), id);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, host_open, host_close)
	const struct CMUnitTest tests[] = {
		TEST(a_level_filled_to_its_limit_has_room_for_every_stride),
		TEST(arenas_do_not_meet_in_the_same_buckets),
		TEST(the_next_level_is_begun_at_the_limit_and_nothing_spills),
		TEST(what_is_freed_makes_room_in_the_first_level),
		TEST(a_full_table_counts_every_block_that_it_loses),
		TEST(an_address_that_comes_back_has_one_record_and_it_is_the_new_one),
		TEST(a_stale_record_in_an_older_level_is_removed_too),
		TEST(rebooking_keeps_the_bytes),
		TEST(the_directory_takes_contiguous_pools_to_its_limit),
		TEST(pools_go_on_to_the_next_level_and_are_found_in_it),
		TEST(a_full_directory_counts_every_pool),
		TEST(slots_that_are_used_up_are_counted),
		TEST(a_pool_of_another_class_starts_with_empty_slots),
		TEST(every_stack_has_an_id_of_its_own_in_all_levels),
		TEST(a_full_stack_table_counts_every_hit_of_a_stack_without_id),
		TEST(a_full_ring_is_counted_and_the_stack_tried_once_more),
		TEST(scratch_areas_in_use_are_counted),
		TEST(a_held_id_is_not_given_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
