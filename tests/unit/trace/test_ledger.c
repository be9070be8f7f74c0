/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ledger against a simulated target: it wants some CPU time, tracing it costs some times that, and a look
 * every 25 ms takes 50 ms to remove the probes, as on a real machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "trace/ledger.h"

#define MS     1000000.0
#define LOOK   (25 * MS)
#define DETACH (50 * MS)

struct sim {
	struct ledger ledger;
	double now_ns, own_ns, cost_ns, live_ns;
	unsigned returns;
	double first_return_ns, last_return_ns, longest_live_ns, live_since_ns;
};

static void sim_open(struct sim *s, double overhead)
{
	*s = (struct sim){0};
	ledger_init(&s->ledger, overhead, 0);
}

/* A target that wants `want` of a CPU; exact tracing costs `slower` times its own time. */
static struct ledger_span run_for(struct sim *s, double wall_ns, double want, double slower,
				  bool live)
{
	double cpu = wall_ns * want, own = cpu;

	if (live) { /* one thread: what tracing takes is lost to it */
		cpu = own * (1 + slower) > wall_ns ? wall_ns : own * (1 + slower);
		own = cpu / (1 + slower);
	}
	s->now_ns += wall_ns;
	s->own_ns += own;
	s->cost_ns += cpu - own;
	return (struct ledger_span){.wall_ns = wall_ns, .cpu_ns = cpu, .cost_ns = cpu - own};
}

static void sim_run(struct sim *s, double seconds, double want, double slower)
{
	double end = s->now_ns + seconds * 1000 * MS;

	while (s->now_ns < end) {
		struct ledger_span span = run_for(s, LOOK, want, slower, s->ledger.probes_live);

		ledger_add(&s->ledger, &span);
		if (ledger_overspent(&s->ledger)) {
			ledger_leaving(&s->ledger);
			span = run_for(s, DETACH, want, slower, true);
			ledger_add(&s->ledger, &span);
			ledger_gone(&s->ledger, (int64_t)s->now_ns);
			if (s->now_ns - s->live_since_ns > s->longest_live_ns)
				s->longest_live_ns = s->now_ns - s->live_since_ns;
		} else if (ledger_has_room(&s->ledger, (int64_t)s->now_ns)) {
			ledger_back(&s->ledger, (int64_t)s->now_ns);
			s->live_since_ns = s->last_return_ns = s->now_ns;
			if (!s->returns++)
				s->first_return_ns = s->now_ns;
		}
	}
}

static void a_storm_after_idling_is_ended_within_200_ms(void **state)
{
	const double slower[] = {1, 13, 25, 76, 600};

	for (size_t i = 0; i < ARRAY_LEN(slower); i++) {
		struct sim s;

		sim_open(&s, 0.05);
		sim_run(&s, 3600, 0.0001,
			slower[i] > 76 ? 76 : slower[i]); /* an hour that saves nothing up */
		assert_true(s.ledger.probes_live);
		s.cost_ns = 0;
		sim_run(&s, 0.2, 1, slower[i]);
		assert_false(s.ledger.probes_live);
		assert_true(s.cost_ns < 160 * MS);
	}
}

static void over_an_hour_of_load_the_budget_holds(void **state)
{
	const double slower[] = {0.2, 2, 25, 129}, budget[] = {0.01, 0.05, 0.5};

	for (size_t i = 0; i < ARRAY_LEN(slower); i++) {
		for (size_t b = 0; b < ARRAY_LEN(budget); b++) {
			struct sim s;

			sim_open(&s, budget[b]);
			sim_run(&s, 3600, 1, slower[i]);
			if (slower[i] > budget[b])
				assert_true(s.cost_ns <= s.own_ns * budget[b] + 100 * MS);
		}
	}
}

static void bursts_in_an_idle_process_stay_within_budget_and_five_points(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	for (int i = 0; i < 600; i++) {
		sim_run(&s, 1.95, 0, 25);
		sim_run(&s, 0.05, 1, 25);
	}
	assert_true(s.cost_ns <= s.own_ns * 0.10);
}

static void returns_become_rare_under_constant_load(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	sim_run(&s, 600, 1, 25);
	/* 1, 2, 4, ... 60 s apart */
	assert_true(s.returns >= 3 && s.returns <= 16);
	assert_true(s.longest_live_ns < 400 * MS);
}

static void they_come_back_and_stay_when_the_load_has_gone(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	sim_run(&s, 5, 1, 25);
	assert_false(s.ledger.probes_live);
	sim_run(&s, 60, 1, 0.001); /* works, but allocates nothing */
	assert_true(s.ledger.probes_live);
	sim_run(&s, 60, 1, 0.001);
	assert_true(s.ledger.probes_live);
}

static void an_idle_process_pays_its_debt_off(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	sim_run(&s, 1, 1, 25);
	assert_false(s.ledger.probes_live);
	sim_run(&s, 600, 0, 0);
	assert_true(s.ledger.probes_live);
}

static void a_trickle_does_not_stop_tracing(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	sim_run(&s, 600, 0.0004, 15); /* 0.6 % of one CPU */
	assert_true(s.ledger.probes_live);
	assert_int_equal(s.ledger.departures, 0);
	sim_run(&s, 60, 0.004, 15); /* 6 % */
	assert_true(s.ledger.departures > 0);
}

static void a_cost_within_the_budget_never_stops_tracing(void **state)
{
	struct sim s;

	sim_open(&s, 0.05);
	sim_run(&s, 600, 1, 0.04);
	assert_true(s.ledger.probes_live);
	assert_int_equal(s.ledger.departures, 0);
}

/* Longer and longer waits keep a high cost down whatever is earned; a cost close to the budget has to be earned. */
static void a_cost_just_above_the_budget_is_held_to_it(void **state)
{
	const double budget[] = {0.01, 0.05, 0.5};

	for (size_t b = 0; b < ARRAY_LEN(budget); b++) {
		struct sim s;

		sim_open(&s, budget[b]);
		sim_run(&s, 3600, 1, budget[b] * 1.2);
		assert_true(s.ledger.departures > 0);
		assert_true(s.cost_ns <= s.own_ns * budget[b] + 100 * MS);
	}
}

static void what_children_pay_counts(void **state)
{
	struct ledger l;
	struct ledger_span span = {.wall_ns = LOOK, .other_ns = 20 * MS};

	ledger_init(&l, 0.05, 0);
	ledger_add(&l, &span);
	assert_false(ledger_overspent(&l));
	ledger_add(&l, &span);
	assert_true(ledger_overspent(&l));
}

static void slower_is_a_share_of_the_own_time(void **state)
{
	assert_true(ledger_slower(0, 0) < 0);
	assert_true(ledger_slower(5, 105) == 0.05);
	assert_true(ledger_slower(50, 100) == 1);
	assert_true(ledger_slower(99, 100) == LEDGER_SLOWER_MAX);
	assert_true(ledger_slower(120, 100) == LEDGER_SLOWER_MAX);
	assert_true(ledger_slower(1, 0) == LEDGER_SLOWER_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_storm_after_idling_is_ended_within_200_ms),
		cmocka_unit_test(over_an_hour_of_load_the_budget_holds),
		cmocka_unit_test(bursts_in_an_idle_process_stay_within_budget_and_five_points),
		cmocka_unit_test(returns_become_rare_under_constant_load),
		cmocka_unit_test(they_come_back_and_stay_when_the_load_has_gone),
		cmocka_unit_test(an_idle_process_pays_its_debt_off),
		cmocka_unit_test(a_trickle_does_not_stop_tracing),
		cmocka_unit_test(a_cost_within_the_budget_never_stops_tracing),
		cmocka_unit_test(a_cost_just_above_the_budget_is_held_to_it),
		cmocka_unit_test(what_children_pay_counts),
		cmocka_unit_test(slower_is_a_share_of_the_own_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
