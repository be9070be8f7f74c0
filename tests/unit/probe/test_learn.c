// SPDX-License-Identifier: GPL-2.0-or-later
/* Which new-reference sites go: counts and time are set here, and nothing is attached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/learn.h"
#include "probe/session_priv.h"

#define SITES	  6
#define UNPROVEN  3 /* decoding does not prove that its objects are always fresh */
#define SECOND_NS 1000000000LL
#define VADDR(i)  (0x1000u + 16u * (SITES - (i))) /* falling: the result has to be sorted */
#define FIRST_NS  SECOND_NS			  /* the time of the first step */

static struct bpf_session session;
static struct tm_site_count counts[TM_SITES_MAX];
static struct probe_list list;
static struct probes *probes;
static struct learn *learn;
static int64_t now;

static int setup(void **state)
{
	memset(&session, 0, sizeof(session));
	memset(counts, 0, sizeof(counts));
	session.skel = tmbpf_bpf__open();
	session.site_counts = counts;
	for (uint16_t i = 0; i < SITES; i++) {
		struct probe_spec s = {.program = "record_site",
				       .roles = PROBE_EXACT,
				       .kind = TM_PROG_NEWREF,
				       .vaddr = VADDR(i),
				       .choice = (uint16_t)(i + 1),
				       .may_go = i != UNPROVEN};

		probe_list_add(&list, &s);
	}
	now = FIRST_NS;
	return session.skel ? probes_new(&session, NULL, &list, &probes) : -1;
}

static int teardown(void **state)
{
	learn_free(learn);
	probes_free(probes);
	probe_list_release(&list);
	tmbpf_bpf__destroy(session.skel);
	learn = NULL;
	return 0;
}

static void begin(const uint64_t *known, size_t count)
{
	assert_int_equal(learn_new(probes, &session, &list, known, count, &learn), 0);
}

static bool step_after(int64_t ns)
{
	bool changed = false;

	now += ns;
	assert_int_equal(learn_step(learn, now, &changed), 0);
	return changed;
}

/* From the state without the fresh-only sites through a whole window, in which the counts rise by these. */
static bool window_with(size_t site, uint64_t fresh, uint64_t reuse)
{
	assert_false(step_after(30 * SECOND_NS)); /* it opens */
	counts[site].fresh += fresh;
	counts[site].reuse += reuse;
	return step_after(SECOND_NS / 4);
}

static void assert_gone(const size_t *sites, size_t count)
{
	size_t n;
	const uint64_t *vaddrs = learn_fresh_only(learn, &n);

	assert_int_equal(n, count);
	for (size_t i = 0; i < n; i++) {
		bool listed = false;

		assert_true(!i || vaddrs[i] > vaddrs[i - 1]);
		for (size_t k = 0; k < count; k++)
			listed |= vaddrs[i] == VADDR(sites[k]);
		assert_true(listed);
	}
}

/* The first window: sites 0 and 4 have shown enough. */
static void learn_two(void)
{
	begin(NULL, 0);
	assert_false(step_after(0));
	counts[0].fresh = 256;
	counts[1].fresh = 255;
	counts[2].fresh = 1000;
	counts[2].reuse = 1;
	counts[UNPROVEN].fresh = 1000;
	counts[4].fresh = 1000;
	assert_false(step_after(SECOND_NS / 4)); /* too soon */
	assert_true(step_after(SECOND_NS / 2));
}

static void what_is_proven_and_seen_often_enough_goes(void **state)
{
	learn_two();
	assert_gone((const size_t[]){0, 4}, 2);
}

static void a_thread_caught_between_pop_and_reference_is_no_re_use(void **state)
{
	learn_two();
	/* Two in each window, counted from its beginning. */
	for (int i = 0; i < 5; i++)
		assert_false(window_with(0, 100, 2));
	assert_gone((const size_t[]){0, 4}, 2);
}

static void re_use_brings_a_site_back_for_good(void **state)
{
	learn_two();
	assert_true(window_with(4, 100, 3));
	assert_gone((const size_t[]){0}, 1);
	for (int i = 0; i < 3; i++)
		assert_false(window_with(4, 100000, 0));
	assert_gone((const size_t[]){0}, 1);
}

static void what_was_remembered_counts_where_it_is_proven(void **state)
{
	const uint64_t known[] = {VADDR(5), VADDR(UNPROVEN), 0xdead, VADDR(1)};

	begin(known, 4);
	assert_gone((const size_t[]){1, 5}, 2);
	/* It is checked in a window of its own. */
	assert_false(step_after(0));
	assert_true(window_with(1, 0, 10));
	assert_gone((const size_t[]){5}, 1);
}

static void epochs_come_round_after_fifteen(void **state)
{
	learn_two();
	assert_int_equal(learn_epoch(learn), 1);
	for (uint32_t i = 1; i < 40; i++) {
		assert_false(window_with(5, 1, 0));
		assert_int_equal(learn_epoch(learn), i % 15 + 1);
		assert_int_equal(session.skel->data->run_epoch, learn_epoch(learn));
	}
}

/* After a time without probes no mark of before counts, and no count. */
static void after_a_pause_an_epoch_begins(void **state)
{
	bool changed;

	begin(NULL, 0);
	assert_false(step_after(0));
	counts[0].fresh = 1000;
	learn_resume(learn, now + SECOND_NS);
	assert_int_equal(learn_epoch(learn), 2);
	assert_int_equal(session.skel->data->run_epoch, 2);
	now += SECOND_NS;
	counts[0].fresh += 255;
	assert_int_equal(learn_step(learn, now + SECOND_NS, &changed), 0);
	assert_false(changed);
	assert_gone(NULL, 0);
}

/* Nothing new for long: a window after 1, 2, 4, 8, 16, 20, 20 s; news make it a second again. */
static void windows_become_rare_until_something_changes(void **state)
{
	static const int64_t seconds[] = {1, 2, 4, 8, 16, 20, 20};

	learn_two();
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		uint32_t before = learn_epoch(learn);

		assert_false(step_after(seconds[i] * SECOND_NS - 1));
		assert_int_equal(learn_epoch(learn), before);
		assert_false(step_after(1));
		assert_int_not_equal(learn_epoch(learn), before);
		if (i + 1 == ARRAY_LEN(seconds))
			counts[5].fresh += 1000;
		assert_int_equal(step_after(SECOND_NS / 4), i + 1 == ARRAY_LEN(seconds));
	}
	assert_gone((const size_t[]){0, 4, 5}, 3);
	uint32_t before = learn_epoch(learn);

	assert_false(step_after(SECOND_NS));
	assert_int_not_equal(learn_epoch(learn), before);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_proven_and_seen_often_enough_goes),
		TEST(a_thread_caught_between_pop_and_reference_is_no_re_use),
		TEST(re_use_brings_a_site_back_for_good),
		TEST(what_was_remembered_counts_where_it_is_proven),
		TEST(epochs_come_round_after_fifteen),
		TEST(after_a_pause_an_epoch_begins),
		TEST(windows_become_rare_until_something_changes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
