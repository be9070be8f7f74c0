// SPDX-License-Identifier: GPL-2.0-or-later
/* Shadow pools and the live table against a heap made by hand in this process, which reads itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/alloc.h"
#include "drain/drain.h"
#include "session_model.h"
#include "tests/unit/alloc/pool_model.h"

#define POOL_BYTES 16384u
#define POOLS	   4096u

static const struct py_offsets layout = {.pool_bytes = POOL_BYTES, .pool_align_shift = 4};

static struct target *self;
static void *found[16]; /* by allocator: each is there, the one with a heap to read among them */
static struct alloc_set alloc = {.states = found, .python.py.offsets = &layout};
static struct session_model *model;
static struct drain *d;
static uint8_t *heap;
static uint64_t seed;

static int setup(void **state)
{
	seed = 7;
	model = session_model_new();
	heap = mmap(NULL, (size_t)POOLS * POOL_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(heap, MAP_FAILED);
	heap += -(uintptr_t)heap % POOL_BYTES;
	assert_int_equal(target_open(getpid(), &self), 0);
	return 0;
}

static int teardown(void **state)
{
	drain_free(d);
	d = NULL;
	target_free(self);
	munmap(heap, (size_t)(POOLS - 1) * POOL_BYTES);
	session_model_free(model);
	return 0;
}

static void open_drain(bool pools_mode)
{
	const struct drain_opts opts = {.pools_mode = pools_mode};

	alloc.target = self;
	for (size_t i = 0; i < ARRAY_LEN(found); i++)
		found[i] = &alloc;
	assert_int_equal(drain_new(&model->s, self, &alloc, &opts, &d), 0);
}

static uint64_t pool_addr(uint32_t n)
{
	return (uint64_t)(uintptr_t)heap + (uint64_t)n * POOL_BYTES;
}

/* The n-th pool of the heap with `live` blocks of a class, the rest never handed out or freed. */
static struct pool_model put_pool(uint32_t n, uint32_t szidx, uint32_t used, uint32_t live_pct)
{
	struct pool_model m;

	model_init(&m, &layout, szidx, used, live_pct, &seed);
	model_write(&m, &layout, pool_addr(n), heap + (size_t)n * POOL_BYTES);
	return m;
}

static const struct drain_result *read_all(uint32_t epoch)
{
	const struct drain_result *r;

	assert_int_equal(drain_read(d, false, epoch, &r), 0);
	return r;
}

static void assert_total(const struct drain_result *r, uint32_t id, uint64_t bytes, uint64_t blocks)
{
	size_t listed = 0;

	assert_int_equal(r->by_stack[id].bytes, bytes);
	assert_int_equal(r->by_stack[id].blocks, blocks);
	for (size_t i = 0; i < r->id_count; i++)
		listed += r->ids[i] == id;
	assert_int_equal(listed, blocks != 0);
}

/* ---- pools mode ---- */

/* Thousands of pools that were opened by one line and are empty now: they add nothing, once. */
static void empty_pools_are_not_listed(void **state)
{
	const uint32_t pools = 3000;

	open_drain(true);
	for (uint32_t n = 0; n < pools; n++) {
		(void)put_pool(n, 31, 31, n >= pools - 3 ? 100 : 0);
		session_model_pool(model, pool_addr(n), 31, 1)[0] = TM_STACK_FIRST + n % 2;
	}
	for (int round = 0; round < 2; round++) {
		const struct drain_result *r = read_all(0);

		assert_int_equal(r->id_count, 2);
		assert_total(r, TM_STACK_FIRST, 31 * 512, 31);
		assert_total(r, TM_STACK_FIRST + 1, 2 * 31 * 512, 2 * 31);
		assert_int_equal(r->all_bytes, 3 * 31 * 512);
		assert_int_equal(r->small_bytes, r->all_bytes);
	}
}

static void a_pool_counts_with_the_blocks_that_are_handed_out(void **state)
{
	uint64_t bytes = 0, blocks = 0;

	open_drain(true);
	for (uint32_t n = 0; n < 64; n++) {
		uint32_t szidx = n % 32, most = (POOL_BYTES - 48) / ((szidx + 1) * 16);
		struct pool_model m = put_pool(n, szidx, rnd(&seed, most + 1), rnd(&seed, 100));

		session_model_pool(model, pool_addr(n), szidx, 1)[0] = TM_STACK_FIRST + 9;
		bytes += (uint64_t)m.ref_count * m.class_bytes;
		blocks += m.ref_count;
	}
	assert_total(read_all(0), TM_STACK_FIRST + 9, bytes, blocks);
}

/* Opened again for another class between the hit and the read. */
static void a_pool_of_another_class_is_not_booked(void **state)
{
	open_drain(true);
	(void)put_pool(0, 5, 10, 100);
	session_model_pool(model, pool_addr(0), 6, 1)[0] = TM_STACK_FIRST;
	assert_int_equal(read_all(0)->id_count, 0);
}

/* ---- exact ---- */

static void each_block_goes_to_the_stack_of_its_slot(void **state)
{
	const struct drain_result *r;
	struct pool_model m;
	uint32_t *slots, want[3] = {0};

	open_drain(false);
	m = put_pool(0, 3, 200, 60);
	slots = session_model_pool(model, pool_addr(0), 3, 8);
	for (uint32_t i = 0; i < 200; i++) {
		slots[i] = TM_STACK_FIRST + i % 3; /* of dead blocks, too: what they were */
		want[i % 3] += m.live[i / 64] >> (i % 64) & 1;
	}
	r = read_all(0);
	for (uint32_t k = 0; k < 3; k++)
		assert_total(r, TM_STACK_FIRST + k, want[k] * 64, want[k]);
	assert_int_equal(r->recorded_small, m.ref_count);
	assert_int_equal(r->missed_small, 0);
	assert_int_equal(r->small_bytes, m.ref_count * 64);
}

static void blocks_without_record_and_lost_ones_are_missed(void **state)
{
	const struct drain_result *r;
	uint32_t *slots;

	open_drain(false);
	(void)put_pool(0, 3, 10, 100);
	slots = session_model_pool(model, pool_addr(0), 3, 8);
	for (int i = 0; i < 6; i++)
		slots[i] = i < 4 ? TM_STACK_FIRST : TM_STACK_LOST;
	r = read_all(0);
	assert_int_equal(r->recorded_small, 4);
	assert_int_equal(r->missed_small, 6); /* two lost, four without a record */
	assert_total(r, TM_STACK_LOST, 2 * 64, 2);
}

static void marks_of_another_epoch_are_cleaned_and_of_this_one_kept(void **state)
{
	const uint32_t id = TM_STACK_FIRST + 2;
	uint32_t *slots;

	open_drain(false);
	(void)put_pool(0, 3, 4, 100);
	slots = session_model_pool(model, pool_addr(0), 3, 8);
	for (uint32_t i = 0; i < 4; i++)
		slots[i] = id | (i + 1) << TM_MARK_SHIFT;
	assert_total(read_all(3), id, 4 * 64, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(slots[i], i + 1 == 3 ? id | 3u << TM_MARK_SHIFT : id);
}

static void a_pool_that_does_not_agree_with_itself_is_moving(void **state)
{
	const struct drain_result *r;

	open_drain(false);
	(void)put_pool(0, 3, 10, 100);
	put32(heap, AT_REF, 9); /* ten are handed out, as far as the free list says */
	session_model_pool(model, pool_addr(0), 3, 8);
	r = read_all(0);
	assert_int_equal(r->moving_pools, 1);
	assert_int_equal(r->missed_small, 0);
}

/* Its memory is unmapped, and mapped again with a pool that looks the same: those blocks are new. */
static void a_pool_that_was_away_holds_nothing_from_before_attach(void **state)
{
	struct pool_model m;
	uint8_t image[POOL_BYTES];

	open_drain(false);
	m = put_pool(0, 3, 50, 80);
	session_model_pool(model, pool_addr(0), 3, 8);
	assert_int_equal(drain_census(d), 0);
	assert_int_equal(read_all(0)->missed_small, 0);
	memcpy(image, heap, POOL_BYTES);
	memset(heap, 0, POOL_BYTES);
	assert_int_equal(read_all(0)->missed_small, 0);
	memcpy(heap, image, POOL_BYTES);
	assert_int_equal(read_all(0)->missed_small, m.ref_count);
}

static void blocks_of_malloc_are_added(void **state)
{
	const struct drain_result *r;

	open_drain(false);
	session_model_block(model, 0x1000, TM_STACK_FIRST, 100);
	session_model_block(model, 0x2000, TM_STACK_FIRST, 0);
	session_model_block(model, 1, TM_STACK_FIRST, 77); /* being filled */
	session_model_block(model, 0x3000, TM_STACK_ID_MASK, 5);
	r = read_all(0);
	assert_total(r, TM_STACK_FIRST, 100, 2);
	assert_total(r, TM_STACK_LOST, 5, 1); /* an id that was never given out */
	assert_int_equal(r->all_bytes, 105);
	assert_int_equal(r->small_bytes, 0);
}

static unsigned asked, asked_until; /* so often the answer is no */

static bool is_over(void *ctx)
{
	return ++asked > asked_until;
}

/* A large heap is left soon after a signal, and what the last read found stays. */
static void a_read_that_is_cut_leaves_the_last_result(void **state)
{
	const struct drain_result *r;

	open_drain(false);
	for (uint32_t n = 0; n < 2000; n++) {
		(void)put_pool(n, 3, 10, 100);
		session_model_pool(model, pool_addr(n), 3, 1)[0] = TM_STACK_FIRST;
	}
	session_model_block(model, 0x1000, TM_STACK_FIRST, 100);
	assert_total(read_all(0), TM_STACK_FIRST, 2000 * 64 + 100, 2001);
	session_model_block(model, 0x2000, TM_STACK_FIRST, 100);
	drain_set_cancel(d, (struct cancel){.asked = is_over});
	/* In the heap, after it, and in the table of malloc's blocks. */
	for (asked_until = 0; asked_until < 10; asked_until++) {
		asked = 0;
		assert_int_equal(drain_read(d, false, 0, &r), -ECANCELED);
		assert_int_equal(asked, asked_until + 1);
		assert_total(r, TM_STACK_FIRST, 2000 * 64 + 100, 2001);
	}
	asked_until = ~0u;
	asked = 0;
	assert_total(read_all(0), TM_STACK_FIRST, 2000 * 64 + 200, 2002);
	assert_int_equal(asked, 10);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(empty_pools_are_not_listed),
		TEST(a_pool_counts_with_the_blocks_that_are_handed_out),
		TEST(a_pool_of_another_class_is_not_booked),
		TEST(each_block_goes_to_the_stack_of_its_slot),
		TEST(blocks_without_record_and_lost_ones_are_missed),
		TEST(marks_of_another_epoch_are_cleaned_and_of_this_one_kept),
		TEST(a_pool_that_does_not_agree_with_itself_is_moving),
		TEST(a_pool_that_was_away_holds_nothing_from_before_attach),
		TEST(blocks_of_malloc_are_added),
		TEST(a_read_that_is_cut_leaves_the_last_result),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
