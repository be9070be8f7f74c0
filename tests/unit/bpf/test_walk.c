// SPDX-License-Identifier: GPL-2.0-or-later
/* The walk over the frames of an interpreter that is made by hand: what is recorded, and what is counted as lost. */
#include "bpf_host.h"

#include <sys/mman.h>

#include "bpf/stack_intern.bpf.h"
#include "bpf/stack_python.bpf.h"

#define PAGES	    8
#define PAGE	    4096u
#define FRAME_BYTES 80u
#define FIRST_CODE  0x7f0000001000ull

/* One page each: the places that lead to the newest frame. */
static uint8_t *memory;
enum { AT_SLOT = 0, AT_TSTATE = PAGE, AT_CFRAME = 2 * PAGE, AT_FRAMES = 4 * PAGE };

static uint64_t addr(uint32_t off)
{
	return (uint64_t)(uintptr_t)memory + off;
}

static void put(uint32_t off, uint64_t value)
{
	memcpy(memory + off, &value, sizeof(value));
}

static void put_frame(uint32_t n, uint64_t code, uint64_t instr, uint64_t previous)
{
	uint32_t at = AT_FRAMES + n * FRAME_BYTES;

	put(at, code);
	put(at + cfg_frame_previous, previous);
	put(at + cfg_frame_instr, instr);
	memory[at + cfg_frame_owner] = 0;
}

/* The newest frame is the last one, so that the callers are below it. */
static void put_stack(uint32_t frames, uint64_t code)
{
	for (uint32_t i = 0; i < frames; i++)
		put_frame(i, code + i * 256, 1000 + i,
			  i ? addr(AT_FRAMES + (i - 1) * FRAME_BYTES) : 0);
	put(AT_TSTATE, frames ? addr(AT_FRAMES + (frames - 1) * FRAME_BYTES) : 0);
}

static int setup(void **state)
{
	assert_int_equal(host_open(state), 0);
	memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	cfg_python = 1;
	cfg_frames = 5;
	cfg_tstate_hops = 0;
	cfg_tstate_off[0] = 0;
	cfg_has_cframe = 0;
	cfg_stack_mask = 63;
	memset((void *)(uintptr_t)code_gens, 0, sizeof(code_gens));
	host.task.thread.fsbase = addr(AT_SLOT);
	put(AT_SLOT, addr(AT_TSTATE));
	host_level_add(&stack_table, &stack_levels, &stack_tab, sizeof(struct tm_stack_bucket), 64,
		       TM_STACK_WAYS, TM_FILL_8_WAYS);
	return 0;
}

static int teardown(void **state)
{
	munmap(memory, PAGES * PAGE);
	return host_close(state);
}

static void hide(uint32_t off, uint32_t len)
{
	host.unreadable_lo = addr(off);
	host.unreadable_hi = addr(off) + len;
}

static uint32_t current(void)
{
	return stack_current(TM_DOMAIN_PYTHON, 0);
}

static const struct tm_scratch *walked(void)
{
	return (const void *)host_map_of(&scratch)->values;
}

static void every_frame_is_recorded_newest_first(void **state)
{
	put_stack(5, FIRST_CODE);
	assert_true(current() >= TM_STACK_FIRST);
	assert_int_equal(walked()->frame_count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(walked()->rec.frames[i].code, FIRST_CODE + (4 - i) * 256);
		assert_int_equal(walked()->rec.frames[i].instr, 1000 + 4 - i);
	}
	assert_int_equal(walked()->rec.truncated, 0);
	host_assert_only(TM_DROP_COUNT, 0);
}

static void frames_of_the_interpreter_itself_are_left_out(void **state)
{
	put_stack(5, FIRST_CODE);
	memory[AT_FRAMES + 2 * FRAME_BYTES + cfg_frame_owner] = (uint8_t)cfg_owner_not_python;
	(void)current();
	assert_int_equal(walked()->frame_count, 4);
	assert_int_equal(walked()->rec.frames[1].code, FIRST_CODE + 3 * 256);
	assert_int_equal(walked()->rec.frames[2].code, FIRST_CODE + 256);
}

/* One more than asked for is kept, as the newest may be incomplete. */
static void a_stack_is_cut_at_the_limit_and_says_so(void **state)
{
	put_stack(6, FIRST_CODE);
	(void)current();
	assert_int_equal(walked()->frame_count, 6);
	assert_int_equal(walked()->rec.truncated, 0);
	put_stack(7, FIRST_CODE);
	(void)current();
	assert_int_equal(walked()->frame_count, 6);
	assert_int_equal(walked()->rec.truncated, 1);
}

static void an_unreadable_thread_state_is_counted_wherever_it_ends(void **state)
{
	put_stack(3, FIRST_CODE);
	hide(AT_SLOT, 8);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	host_assert_only(TM_DROP_TSTATE_READ, 1);
	hide(AT_TSTATE, 8);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	host_assert_only(TM_DROP_TSTATE_READ, 2);
	cfg_has_cframe = 1;
	put(AT_TSTATE, addr(AT_CFRAME));
	hide(AT_CFRAME, 8);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	host_assert_only(TM_DROP_TSTATE_READ, 3);
	cfg_has_cframe = 0;
	cfg_tstate_hops = 1;
	hide(AT_SLOT, 8);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	host_assert_only(TM_DROP_TSTATE_READ, 4);
}

/* A foreign thread, and one in which nothing runs. */
static void no_thread_state_is_no_loss(void **state)
{
	put_stack(0, FIRST_CODE);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	put(AT_SLOT, 0);
	assert_int_equal(current(), TM_STACK_UNKNOWN);
	host_assert_only(TM_DROP_COUNT, 0);
}

static void an_unreadable_frame_cuts_the_stack_and_is_counted(void **state)
{
	put_stack(3, FIRST_CODE);
	put(AT_FRAMES + FRAME_BYTES + cfg_frame_previous, addr(7 * PAGE));
	hide(7 * PAGE, PAGE);
	for (uint64_t i = 1; i <= 4; i++) {
		assert_true(current() >= TM_STACK_FIRST);
		assert_int_equal(walked()->frame_count, 2);
		host_assert_only(TM_DROP_FRAME_READ, i);
	}
	assert_int_equal(host.ring_records, 1);
}

/* Another code object at the same address is another stack, from the death of the first on. */
static void a_death_gives_the_stack_another_id(void **state)
{
	uint32_t before, after;

	put_stack(3, FIRST_CODE);
	before = current();
	assert_int_equal(current(), before);
	code_gens[TM_CODE_GEN(FIRST_CODE + 256)]++;
	after = current();
	assert_int_not_equal(after, before);
	assert_int_equal(current(), after);
	code_gens[TM_CODE_GEN(FIRST_CODE + 100 * 256)]++; /* of a code object that is not in it */
	assert_int_equal(current(), after);
	assert_int_equal(host.ring_records, 2);
}

static void code_objects_without_room_are_counted(void **state)
{
	const uint32_t room = host_map_of(&codes)->entries;

	for (uint32_t i = 0; i < room + 10; i++) {
		put_stack(1, FIRST_CODE + i * 256);
		assert_true(current() >= TM_STACK_FIRST);
		assert_true(current() >= TM_STACK_FIRST); /* known: nothing is remembered again */
	}
	host_assert_only(TM_DROP_CODE_TABLE, 10);
	/* A new stack of code that is known there is no loss. */
	put_stack(1, FIRST_CODE);
	put(AT_FRAMES + cfg_frame_instr, 5000);
	(void)current();
	host_assert_only(TM_DROP_CODE_TABLE, 10);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_frame_is_recorded_newest_first),
		TEST(frames_of_the_interpreter_itself_are_left_out),
		TEST(a_stack_is_cut_at_the_limit_and_says_so),
		TEST(an_unreadable_thread_state_is_counted_wherever_it_ends),
		TEST(no_thread_state_is_no_loss),
		TEST(an_unreadable_frame_cuts_the_stack_and_is_counted),
		TEST(a_death_gives_the_stack_another_id),
		TEST(code_objects_without_room_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
