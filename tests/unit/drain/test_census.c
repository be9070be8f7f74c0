/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was alive at attach: remembered by pool, forgotten when it dies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../alloc/pool_model.h"
#include "drain/census.h"

#define MANY 100000

static const struct py_offsets layout = {.pool_bytes = 16384, .pool_align_shift = 4};

static struct census *census_make(void)
{
	struct census *c = NULL;

	assert_int_equal(census_new(&c), 0);
	assert_non_null(c);
	return c;
}

/* A pool at addr with the live blocks of a random model. */
static struct pool_state pool_make(uint64_t addr, uint32_t szidx, uint32_t live_pct, uint64_t *seed)
{
	struct pool_model m;
	struct pool_state p = {.addr = addr, .szidx = szidx};

	model_init(&m, &layout, szidx, (16384 - HEADER) / ((szidx + 1) * 16), live_pct, seed);
	p.class_bytes = m.class_bytes;
	p.blocks = m.blocks;
	p.ref_count = m.ref_count;
	memcpy(p.live, m.live, sizeof(p.live));
	return p;
}

static void assert_holds(const struct census *c, const struct pool_state *pool,
			 const uint64_t *blocks)
{
	uint64_t got[POOL_BITMAP_WORDS];

	memset(got, 0xaa, sizeof(got));
	census_get(c, pool, got);
	assert_memory_equal(got, blocks, sizeof(got));
}

static void assert_holds_none(const struct census *c, const struct pool_state *pool)
{
	const uint64_t none[POOL_BITMAP_WORDS] = {0};

	assert_holds(c, pool, none);
}

static void what_is_added_is_there(void **state)
{
	struct census *c = census_make();
	struct pool_state pools[32];
	uint64_t seed = 1;

	for (uint32_t s = 0; s < 32; s++) {
		pools[s] = pool_make(0x7f0000000000 + s * 16384, s, 50, &seed);
		assert_int_equal(census_add(c, &pools[s], pools[s].live), 0);
	}
	for (uint32_t s = 0; s < 32; s++)
		assert_holds(c, &pools[s], pools[s].live);
	census_free(c);
}

/* Blocks that have a record are ours: the bitmap given counts, not the one of the pool. */
static void only_the_blocks_given_are_kept(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 2, some[POOL_BITMAP_WORDS];
	struct pool_state p = pool_make(0x7f0000004000, 0, 100, &seed);

	for (size_t i = 0; i < POOL_BITMAP_WORDS; i++)
		some[i] = p.live[i] & 0x00ff00ff00ff00ff;
	assert_int_equal(census_add(c, &p, some), 0);
	assert_holds(c, &p, some);
	census_free(c);
}

static void unknown_pool_holds_none(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 3;
	struct pool_state p = pool_make(0x7f0000004000, 5, 50, &seed), other = p;

	assert_holds_none(c, &p); /* nothing was added at all */
	census_prune(c, &p);
	assert_int_equal(census_add(c, &p, p.live), 0);
	other.addr += 16384;
	assert_holds_none(c, &other);
	census_prune(c, &other);
	assert_holds(c, &p, p.live);
	census_free(c);
}

static void dead_blocks_that_are_born_again_are_not_old(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 4;
	struct pool_state full = pool_make(0x7f0000004000, 1, 100, &seed);
	struct pool_state half = pool_make(0x7f0000004000, 1, 50, &seed);
	struct pool_state less = pool_make(0x7f0000004000, 1, 50, &seed);
	uint64_t both[POOL_BITMAP_WORDS];

	assert_int_equal(census_add(c, &full, full.live), 0);
	census_prune(c, &full);
	assert_holds(c, &full, full.live);
	census_prune(c, &half);
	assert_holds(c, &full, half.live); /* all alive again: half of them are new */
	census_prune(c, &less);
	for (size_t i = 0; i < POOL_BITMAP_WORDS; i++)
		both[i] = half.live[i] & less.live[i];
	assert_holds(c, &full, both);

	half.ref_count = 0;
	memset(half.live, 0, sizeof(half.live));
	census_prune(c, &half);
	assert_holds_none(c, &full);
	census_free(c);
}

/* A bitmap that was read while it changed is no proof of death. */
static void moving_pool_is_not_pruned(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 5;
	struct pool_state full = pool_make(0x7f0000004000, 1, 100, &seed);
	struct pool_state half = pool_make(0x7f0000004000, 1, 50, &seed);

	assert_int_equal(census_add(c, &full, full.live), 0);
	half.moving = true;
	census_prune(c, &half);
	assert_holds(c, &full, full.live);
	half.moving = false;
	census_prune(c, &half);
	assert_holds(c, &full, half.live);
	census_free(c);
}

static void other_class_holds_none(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 6;
	struct pool_state p = pool_make(0x7f0000004000, 1, 70, &seed);

	assert_int_equal(census_add(c, &p, p.live), 0);
	for (uint32_t s = 0; s < 32; s++) {
		struct pool_state other = pool_make(p.addr, s, 100, &seed);

		if (s != p.szidx)
			assert_holds_none(c, &other);
	}
	assert_holds(c, &p, p.live); /* asking changes nothing */
	census_free(c);
}

/* A pool changes its class only when all its blocks are dead. */
static void class_that_comes_back_holds_none(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 7;
	struct pool_state p = pool_make(0x7f0000004000, 1, 70, &seed);
	struct pool_state small = pool_make(p.addr, 0, 100, &seed);
	struct pool_state large = pool_make(p.addr, 31, 100, &seed);
	struct pool_state next = pool_make(p.addr + 16384, 1, 70, &seed);

	assert_int_equal(census_add(c, &p, p.live), 0);
	assert_int_equal(census_add(c, &next, next.live), 0);
	census_prune(c, &large);
	assert_holds_none(c, &p);
	assert_holds_none(c, &large);

	assert_int_equal(census_add(c, &p, p.live), 0);
	small.moving = true; /* its bitmap is torn, its class is not */
	census_prune(c, &small);
	assert_holds_none(c, &p);
	assert_holds(c, &next, next.live);
	census_free(c);
}

static void pool_added_again_counts_from_then(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 8;
	struct pool_state a = pool_make(0x7f0000004000, 1, 50, &seed);
	struct pool_state b = pool_make(0x7f0000004000, 9, 50, &seed);

	assert_int_equal(census_add(c, &a, a.live), 0);
	assert_int_equal(census_add(c, &b, b.live), 0);
	assert_holds_none(c, &a);
	assert_holds(c, &b, b.live);
	census_free(c);
}

static void many_pools(void **state)
{
	struct census *c = census_make();
	uint64_t seed = 9, start = 9;

	for (uint64_t i = 0; i < MANY; i++) {
		struct pool_state p = pool_make(0x7f0000000000 + i * 16384, i % 32, 50, &seed);

		assert_int_equal(census_add(c, &p, p.live), 0);
	}
	seed = start;
	for (uint64_t i = 0; i < MANY; i++) { /* every third pool is empty by now */
		struct pool_state p = pool_make(0x7f0000000000 + i * 16384, i % 32, 50, &seed);

		assert_holds(c, &p, p.live);
		if (i % 3 == 0) {
			memset(p.live, 0, sizeof(p.live));
			census_prune(c, &p);
		}
	}
	seed = start;
	for (uint64_t i = 0; i < MANY; i++) {
		struct pool_state p = pool_make(0x7f0000000000 + i * 16384, i % 32, 50, &seed);

		if (i % 3 == 0)
			assert_holds_none(c, &p);
		else
			assert_holds(c, &p, p.live);
	}
	census_free(c);
}

static void pools_that_a_whole_read_did_not_meet_are_forgotten(void **state)
{
	uint64_t seed = 11;
	struct pool_state there = pool_make(0x7f0000000000, 3, 50, &seed);
	struct pool_state gone = pool_make(0x7f0000004000, 3, 50, &seed);
	struct census *c;

	assert_int_equal(census_new(&c), 0);
	assert_int_equal(census_add(c, &there, there.live), 0);
	assert_int_equal(census_add(c, &gone, gone.live), 0);
	census_prune(c, &there);
	census_prune(c, &gone);
	census_sweep(c);
	assert_holds(c, &gone, gone.live);
	census_prune(c, &there);
	census_sweep(c);
	assert_holds(c, &there, there.live);
	assert_holds_none(c, &gone);
	census_free(c);
}

static void free_takes_null(void **state)
{
	census_free(NULL);
	heap_reader_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_added_is_there),
		cmocka_unit_test(only_the_blocks_given_are_kept),
		cmocka_unit_test(unknown_pool_holds_none),
		cmocka_unit_test(dead_blocks_that_are_born_again_are_not_old),
		cmocka_unit_test(moving_pool_is_not_pruned),
		cmocka_unit_test(other_class_holds_none),
		cmocka_unit_test(class_that_comes_back_holds_none),
		cmocka_unit_test(pool_added_again_counts_from_then),
		cmocka_unit_test(many_pools),
		cmocka_unit_test(pools_that_a_whole_read_did_not_meet_are_forgotten),
		cmocka_unit_test(free_takes_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
