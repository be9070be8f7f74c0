/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The confusion tables over simulated programs. The thresholds were chosen on seeds from 1 to 500,000; the
 * test uses others. TMBPF_LEAK_SEED=N starts elsewhere, TMBPF_LEAK_RUNS=N makes N runs a label,
 * TMBPF_LEAK_SHOW=1 names the runs that go wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "leak_models.h"

#define SEED 770000001ull
#define RUNS 200

struct table {
	unsigned counts[MODELS][LEAK_VERDICTS];
	double right[MODELS];
	unsigned runs;
};

static uint64_t from_env(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : fallback;
}

static bool is_right(enum model model, enum leak_verdict v)
{
	return models[model].allowed & ALLOW(v);
}

static bool may_leak(int model)
{
	return is_right((enum model)model, LEAK_YES);
}

static void count_model(enum model model, size_t few, size_t many, struct table *t)
{
	uint64_t seed = from_env("TMBPF_LEAK_SEED", SEED);
	bool show = getenv("TMBPF_LEAK_SHOW") != NULL;
	unsigned right = 0;

	for (uint64_t i = 0; i < t->runs; i++) {
		struct rng r = {seed + i};
		size_t snapshots = (size_t)rng_scale(&r, (double)few, (double)many + 0.5);
		struct leak_finding f;
		struct run run;

		assert_int_equal(run_make(&run, model, seed + i, snapshots), 0);
		assert_int_equal(run_judge(&run, &f), 0);
		t->counts[model][f.verdict]++;
		right += is_right(model, f.verdict);
		if (show && !is_right(model, f.verdict))
			printf("%s: seed %llu, %zu snapshots: %s, why %d\n", models[model].name,
			       (unsigned long long)(seed + i), snapshots,
			       leak_verdict_name(f.verdict), f.why);
		run_release(&run);
	}
	t->right[model] = (double)right / t->runs;
}

static void make_table(size_t few, size_t many, bool with_floor, struct table *t)
{
	*t = (struct table){.runs = (unsigned)from_env("TMBPF_LEAK_RUNS", RUNS)};
	for (int m = 0; m < MODELS; m++)
		count_model((enum model)m, few, many, t);
	printf("%zu to %zu snapshots, %u runs a label, from seed %llu\n%-22s", few, many, t->runs,
	       (unsigned long long)from_env("TMBPF_LEAK_SEED", SEED), "label");
	for (int v = 0; v < LEAK_VERDICTS; v++)
		printf(" %8s", leak_verdict_name((enum leak_verdict)v));
	printf("    right%s\n", with_floor ? "  floor" : "");
	for (int m = 0; m < MODELS; m++) {
		printf("%-22s", models[m].name);
		for (int v = 0; v < LEAK_VERDICTS; v++)
			printf(" %8u", t->counts[m][v]);
		printf("   %5.1f%%", t->right[m] * 100);
		if (with_floor)
			printf("  %4.0f%%%s", models[m].floor * 100,
			       t->right[m] < models[m].floor ? "   <-- too low" : "");
		printf("\n");
	}
}

/* Of all runs that do not leak, the share that is called a leak; one-off blocks may look like one. */
static double false_alarms(const struct table *t)
{
	unsigned alarms = 0, runs = 0;

	for (int m = 0; m < MODELS; m++) {
		if (may_leak(m) || m == MODEL_ONE_OFFS)
			continue;
		alarms += t->counts[m][LEAK_YES];
		runs += t->runs;
	}
	printf("false alarms: %u of %u\n", alarms, runs);
	return (double)alarms / runs;
}

/* A false alarm is the worst answer there is: none at all on what does not leak. */
static void assert_good(const struct table *t)
{
	for (int m = 0; m < MODELS; m++) {
		assert_true(t->right[m] >= models[m].floor);
		if (!may_leak(m))
			assert_int_equal(t->counts[m][LEAK_YES], 0);
	}
	assert_true(false_alarms(t) <= 0);
}

static void verdicts_on_forty_and_more_snapshots_are_right(void **state)
{
	struct table t;

	make_table(40, 600, true, &t);
	assert_good(&t);
}

static void verdicts_on_long_recordings_are_right(void **state)
{
	struct table t;

	make_table(600, 1440, true, &t);
	assert_good(&t);
}

/* Fewer snapshots see less; what they must not do is to alarm. */
static void eight_to_twenty_snapshots_find_plain_leaks(void **state)
{
	struct table t;

	make_table(8, 20, false, &t);
	assert_true(t.right[MODEL_LEAK] >= 0.99);
	assert_true(t.right[MODEL_BIG_BLOCK] >= 0.9);
	assert_true(t.right[MODEL_DICT] >= 0.97);
	assert_true(false_alarms(&t) <= 0.005);
}

static void three_to_seven_snapshots_say_leak_or_unknown(void **state)
{
	struct table t;

	make_table(3, 7, false, &t);
	for (int m = MODEL_LEAK; m <= MODEL_DICT; m++) {
		if (m != MODEL_SLOW_LEAK)
			assert_int_equal(t.counts[m][LEAK_YES] + t.counts[m][LEAK_UNKNOWN], t.runs);
	}
	assert_true(t.right[MODEL_LEAK] >= 0.4);
	/* three points on a line are no proof, which is why the report says how few they are */
	assert_true(false_alarms(&t) <= 0.06);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_on_forty_and_more_snapshots_are_right),
		cmocka_unit_test(verdicts_on_long_recordings_are_right),
		cmocka_unit_test(eight_to_twenty_snapshots_find_plain_leaks),
		cmocka_unit_test(three_to_seven_snapshots_say_leak_or_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
