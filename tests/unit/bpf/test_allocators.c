// SPDX-License-Identifier: GPL-2.0-or-later
/* Hits of pymalloc and of libc's family: what is recorded of a block, to the byte, and what is counted lost. */
#include "bpf_host.h"

#include "bpf/alloc_libc.bpf.h"
#include "bpf/alloc_pymalloc.bpf.h"

#define POOL_BYTES 16384u
#define REG_AX	   0
#define REG_CX	   1
#define REG_DX	   2

static uint8_t pool_memory[2 * POOL_BYTES];
static uint64_t pool;
static struct pt_regs regs;

static struct tm_stack_allocs *allocs_of(uint32_t stack)
{
	return (struct tm_stack_allocs *)bpf_map_lookup_elem(&stack_allocs, &stack);
}

static int setup(void **state)
{
	struct host_map *segs;

	assert_int_equal(host_open(state), 0);
	segs = host_map_of(&slot_segs);
	segs->inner[0] = host_map_add(NULL, HOST_ARRAY, sizeof(struct tm_chunk), TM_SEG_CHUNKS);
	run_chunks_avail = TM_SEG_CHUNKS;
	cfg_pool_bytes = POOL_BYTES;
	cfg_pool_align_shift = 4;
	cfg_stack_mask = 63;
	host_map_add(&live_spill, HOST_HASH, sizeof(uint64_t), 64);
	host_map_add(&stack_allocs, HOST_ARRAY, sizeof(struct tm_stack_allocs),
		     64 * TM_STACK_WAYS + TM_STACK_FIRST);
	host_level_add(&pool_dir, &dir_levels, &dir_tab, sizeof(struct tm_dir_bucket), 64,
		       TM_DIR_WAYS, TM_FILL_4_WAYS);
	host_level_add(NULL, &live_levels, &live_tab, sizeof(struct tm_live_bucket), 64,
		       TM_LIVE_WAYS, TM_FILL_4_WAYS);
	host_level_add(&stack_table, &stack_levels, &stack_tab, sizeof(struct tm_stack_bucket), 64,
		       TM_STACK_WAYS, TM_FILL_8_WAYS);
	memset(&regs, 0, sizeof(regs));
	memset(pool_memory, 0, sizeof(pool_memory));
	pool = ((uint64_t)(uintptr_t)pool_memory + POOL_BYTES - 1) & ~(POOL_BYTES - 1ull);
	return 0;
}

/* ---- pymalloc ---- */

static void pool_class(uint32_t szidx)
{
	memcpy((void *)(uintptr_t)(pool + 36), &szidx, sizeof(szidx));
}

static uint32_t *slot_of(uint64_t block)
{
	return slot_get(pool_place(pool), pool, block);
}

/* The jump after the pop: ax holds the pool, cx the block. */
static void pop_block(uint64_t block)
{
	regs.ax = pool;
	regs.cx = block;
	pop_record(&regs, TM_COOKIE(REG_AX, TM_KIND_POP, TM_POP_AFTER, REG_CX));
}

/* No frame is known here: every block is of TM_STACK_UNKNOWN. */
static void a_popped_block_has_its_stack_the_epoch_and_its_class(void **state)
{
	pool_class(6);
	run_epoch = 5;
	for (uint32_t i = 0; i < 10; i++)
		pop_block(pool + 48 + i * 112);
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(*slot_of(pool + 48 + i * 112),
				 TM_STACK_UNKNOWN | 5u << TM_MARK_SHIFT);
	assert_int_equal(*slot_of(pool + 48 + 10 * 112), 0);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->blocks, 10);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->bytes, 10 * 112);
	host_assert_only(TM_DROP_COUNT, 0);
}

static void in_pools_mode_the_pool_is_booked_once_and_whole(void **state)
{
	pool_class(6);
	run_pools_mode = 1;
	pop_block(pool + 48 + 3 * 112);
	assert_int_equal(*slot_of(pool + 48) & TM_STACK_ID_MASK, TM_STACK_UNKNOWN);
	assert_int_equal(*slot_of(pool + 48 + 3 * 112), 0);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->blocks, 1);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->bytes, POOL_BYTES);
	refill_record(pool + 48);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->bytes, 2 * POOL_BYTES);
	assert_int_equal(chunks_used, 1); /* one slot is enough */
}

static void a_block_without_stack_loses_the_record_of_its_last_owner(void **state)
{
	struct tm_scratch *areas;

	pool_class(6);
	pop_block(pool + 48);
	assert_int_not_equal(*slot_of(pool + 48), 0);
	areas = (void *)host_map_of(&scratch)->values;
	areas[0].busy = areas[1].busy = 1;
	pop_block(pool + 48);
	assert_int_equal(*slot_of(pool + 48), 0);
	host_assert_only(TM_DROP_SCRATCH_BUSY, 1);
}

static void newref_at(uint64_t block, uint32_t flags)
{
	regs.dx = block;
	newref_record(&regs, TM_COOKIE(REG_DX, TM_KIND_NEWREF, flags, 3));
}

static struct tm_site_count count_of_site(void)
{
	uint32_t site = 3;

	return *(struct tm_site_count *)bpf_map_lookup_elem(&site_counts, &site);
}

static void a_new_reference_in_the_epoch_of_the_pop_is_fresh(void **state)
{
	pool_class(6);
	run_epoch = 2;
	pop_block(pool + 48);
	newref_at(pool + 48, 0);
	assert_int_equal(*slot_of(pool + 48), TM_STACK_UNKNOWN); /* the mark is used up */
	assert_int_equal(count_of_site().fresh, 1);
	assert_int_equal(count_of_site().reuse, 0);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->blocks, 1);
	/* Again: it came from a free list. */
	newref_at(pool + 48, 0);
	assert_int_equal(count_of_site().reuse, 1);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->blocks, 2);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->bytes, 2 * 112);
}

static void a_mark_of_another_epoch_is_a_re_use(void **state)
{
	pool_class(6);
	run_epoch = 2;
	pop_block(pool + 48);
	run_epoch = 3;
	newref_at(pool + 48, 0);
	assert_int_equal(count_of_site().fresh, 0);
	assert_int_equal(count_of_site().reuse, 1);
	assert_int_equal(*slot_of(pool + 48), TM_STACK_UNKNOWN);
}

static void while_sites_are_detached_marks_are_not_believed(void **state)
{
	pool_class(6);
	run_epoch = 2;
	pop_block(pool + 48);
	newref_at(pool + 48, TM_NEWREF_KEEP);
	assert_int_equal(count_of_site().fresh + count_of_site().reuse, 0);
	assert_int_equal(allocs_of(TM_STACK_UNKNOWN)->blocks,
			 1); /* that very allocation, perhaps */
}

static void a_block_from_before_attach_stays_without_a_record(void **state)
{
	pool_class(6);
	pop_block(pool + 48);
	newref_at(pool + 48 + 112, 0);
	assert_int_equal(*slot_of(pool + 48 + 112), 0);
	newref_at(pool + POOL_BYTES + 48, 0); /* of a pool that is not known */
	assert_int_equal(count_of_site().fresh + count_of_site().reuse, 0);
}

static void pools_that_cannot_be_read_are_counted(void **state)
{
	host.unreadable_lo = pool;
	host.unreadable_hi = pool + POOL_BYTES;
	for (int i = 0; i < 3; i++)
		pop_block(pool + 48);
	refill_record(pool + 48);
	host_assert_only(TM_DROP_POOL_READ, 4);
}

static void pools_that_make_no_sense_are_counted(void **state)
{
	pool_class(TM_SIZE_CLASSES);
	pop_block(pool + 48);
	pool_class(6);
	pop_block(pool + 40);	      /* in the header */
	pop_block(pool + POOL_BYTES); /* after the pool */
	regs.ax = pool + 8;
	pop_record(&regs, TM_COOKIE(REG_AX, TM_KIND_POP, TM_POP_AFTER, REG_CX));
	host_assert_only(TM_DROP_POOL_BAD, 4);
	assert_int_equal(dir_tab.used[0], 0);
}

/* ---- libc ---- */

static void call_libc(uint32_t fn, uint64_t di, uint64_t si, uint64_t result)
{
	static uint64_t stack[4] = {0, 0x400000};

	regs.sp = (uint64_t)(uintptr_t)&stack[1];
	regs.di = di;
	regs.si = si;
	alloc_begin(&regs, fn, 0);
	regs.sp += 8;
	regs.ax = result;
	alloc_end(&regs);
}

static uint64_t bytes_at(uint64_t addr)
{
	uint64_t meta = live_remove(addr);

	if (meta)
		live_add(addr, meta);
	return meta ? TM_LIVE_BYTES(meta) : ~0ull;
}

static void requests_are_recorded_to_the_byte(void **state)
{
	call_libc(TM_FN_MALLOC, 1234567, 0, 0x1000);
	call_libc(TM_FN_CALLOC, 100, 33, 0x2000);
	call_libc(TM_FN_MALLOC, 0, 0, 0x3000);
	call_libc(TM_FN_MALLOC, 1ull << 40, 0, 0x4000);
	assert_int_equal(bytes_at(0x1000), 1234567);
	assert_int_equal(bytes_at(0x2000), 3300);
	assert_int_equal(bytes_at(0x3000), 0);
	assert_int_equal(bytes_at(0x4000), TM_LIVE_BYTES_MAX);
	assert_int_equal(live_tab.used[0], 4);
}

static void a_realloc_that_fails_leaves_the_old_block(void **state)
{
	call_libc(TM_FN_MALLOC, 5000, 0, 0x1000);
	call_libc(TM_FN_REALLOC, 0x1000, 1ull << 62, 0);
	assert_int_equal(bytes_at(0x1000), 5000);
	assert_int_equal(live_tab.used[0], 1);
}

static void a_realloc_moves_or_stays_or_frees(void **state)
{
	call_libc(TM_FN_MALLOC, 5000, 0, 0x1000);
	call_libc(TM_FN_REALLOC, 0x1000, 9000, 0x2000);
	assert_int_equal(bytes_at(0x1000), ~0ull);
	assert_int_equal(bytes_at(0x2000), 9000);
	call_libc(TM_FN_REALLOC, 0x2000, 100, 0x2000);
	assert_int_equal(bytes_at(0x2000), 100);
	call_libc(TM_FN_REALLOC, 0x2000, 0, 0);
	assert_int_equal(live_tab.used[0], 0);
}

static void blocks_below_the_least_size_are_left_out_and_taken_out(void **state)
{
	run_min_bytes = 1033;
	call_libc(TM_FN_MALLOC, 1032, 0, 0x1000);
	call_libc(TM_FN_MALLOC, 1033, 0, 0x2000);
	assert_int_equal(live_tab.used[0], 1);
	call_libc(TM_FN_REALLOC, 0x2000, 10, 0x2000);
	assert_int_equal(live_tab.used[0], 0);
}

/* realloc calls malloc inside, a wrapper the function that it wraps. */
static void only_the_outermost_call_counts(void **state)
{
	static uint64_t stack[16];
	const uint64_t outer = (uint64_t)(uintptr_t)&stack[12],
		       inner = (uint64_t)(uintptr_t)&stack[4];

	stack[12] = stack[4] = 0x400000;
	regs.sp = outer;
	regs.di = 1000;
	alloc_begin(&regs, TM_FN_MALLOC, 0);
	regs.sp = inner;
	regs.di = 24;
	alloc_begin(&regs, TM_FN_MALLOC, 0);
	regs.sp = inner + 8;
	regs.ax = 0x1000;
	alloc_end(&regs);
	assert_int_equal(live_tab.used[0], 0);
	regs.sp = outer + 8;
	regs.ax = 0x2000;
	alloc_end(&regs);
	assert_int_equal(live_tab.used[0], 1);
	assert_int_equal(bytes_at(0x2000), 1000);
}

/* longjmp left it; the next call stands at the same place or above. */
static void a_call_that_never_returned_is_forgotten(void **state)
{
	static uint64_t stack[16];

	for (int i = 0; i < 16; i++)
		stack[i] = 0x400000;
	regs.sp = (uint64_t)(uintptr_t)&stack[4];
	regs.di = 1000;
	alloc_begin(&regs, TM_FN_MALLOC, 0);
	for (int at = 4; at < 8; at += 3) {
		regs.sp = (uint64_t)(uintptr_t)&stack[at];
		regs.di = 2000 + at;
		alloc_begin(&regs, TM_FN_MALLOC, 0);
		regs.sp += 8;
		regs.ax = 0x1000 * at;
		alloc_end(&regs);
		assert_int_equal(bytes_at(0x1000 * at), 2000 + at);
	}
	assert_int_equal(live_tab.used[0], 2);
}

/* A site in malloc's text is passed by inner calls as well; the distance from the return address tells them apart. */
static void a_result_belongs_to_the_call_at_its_distance(void **state)
{
	static uint64_t stack[16];
	const uint64_t words = 3,
		       cookie =
			       TM_COOKIE(REG_AX, TM_KIND_ALLOC_RESULT,
					 TM_RESULT_FLAGS(TM_RESULT_BLOCK, TM_RESULT_ALWAYS), words);

	stack[12] = 0x400000;
	regs.sp = (uint64_t)(uintptr_t)&stack[12];
	regs.di = 1000;
	alloc_begin(&regs, TM_FN_MALLOC, 0);
	regs.ax = 0x1000;
	regs.sp = (uint64_t)(uintptr_t)&stack[4];
	alloc_result(&regs, cookie);
	assert_int_equal(live_tab.used[0], 0);
	regs.ax = 0x2000;
	regs.sp = (uint64_t)(uintptr_t)&stack[12 - words];
	alloc_result(&regs, cookie);
	assert_int_equal(bytes_at(0x2000), 1000);
	/* It is finished: the next site on the way out adds nothing. */
	regs.ax = 0x3000;
	alloc_result(&regs, cookie);
	assert_int_equal(live_tab.used[0], 1);
}

static void a_call_without_state_is_counted(void **state)
{
	host.no_task_storage = true;
	for (int i = 0; i < 5; i++)
		call_libc(TM_FN_MALLOC, 100, 0, 0x1000);
	host_assert_only(TM_DROP_NESTED, 5);
	assert_int_equal(live_tab.used[0], 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, host_close)
	const struct CMUnitTest tests[] = {
		TEST(a_popped_block_has_its_stack_the_epoch_and_its_class),
		TEST(in_pools_mode_the_pool_is_booked_once_and_whole),
		TEST(a_block_without_stack_loses_the_record_of_its_last_owner),
		TEST(a_new_reference_in_the_epoch_of_the_pop_is_fresh),
		TEST(a_mark_of_another_epoch_is_a_re_use),
		TEST(while_sites_are_detached_marks_are_not_believed),
		TEST(a_block_from_before_attach_stays_without_a_record),
		TEST(pools_that_cannot_be_read_are_counted),
		TEST(pools_that_make_no_sense_are_counted),
		TEST(requests_are_recorded_to_the_byte),
		TEST(a_realloc_that_fails_leaves_the_old_block),
		TEST(a_realloc_moves_or_stays_or_frees),
		TEST(blocks_below_the_least_size_are_left_out_and_taken_out),
		TEST(only_the_outermost_call_counts),
		TEST(a_call_that_never_returned_is_forgotten),
		TEST(a_result_belongs_to_the_call_at_its_distance),
		TEST(a_call_without_state_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
