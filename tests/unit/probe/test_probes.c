/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The links of a real list in a real interpreter, seen from its text: a breakpoint (int3) stands at every site
 * that the role selects, and at no other. Needs root, as attaching does.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "probe/probes.h"
#include <errno.h>

#define INT3 0xcc

static struct {
	pid_t pid;
	struct target *target;
	struct alloc_set *alloc;
	struct bpf_session *session;
	struct probes *probes;
} s;

static int begin(void **state)
{
	const struct alloc_opts opts = {.python = true, .native = true};
	struct session_opts so = {.frames = 25};
	int out[2];
	char ready;

	if (geteuid() != 0) {
		print_error("these tests attach probes: run them as root\n");
		return -1;
	}
	if (pipe(out))
		return -1;
	s.pid = fork();
	if (s.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl("/usr/bin/python3", "python3", "-c",
		      "import sys, time\n"
		      "sys.stdout.write('x'); sys.stdout.flush()\n"
		      "time.sleep(1000)\n",
		      NULL);
		_exit(127);
	}
	close(out[1]);
	if (read(out[0], &ready, 1) != 1)
		return -1;
	close(out[0]);
	if (target_open(s.pid, &s.target) || alloc_find(s.target, &opts, &s.alloc))
		return -1;
	so.alloc = s.alloc;
	return bpf_session_open(s.target, &so, &s.session) ||
	       probes_new(s.session, s.target, &s.alloc->probes, &s.probes);
}

static int end(void **state)
{
	probes_free(s.probes);
	bpf_session_close(s.session);
	alloc_free(s.alloc);
	target_free(s.target);
	if (s.pid > 0) {
		kill(s.pid, SIGKILL);
		waitpid(s.pid, NULL, 0);
	}
	return 0;
}

static bool has_breakpoint(const struct probe_spec *spec)
{
	uint8_t byte = 0;
	uint64_t vaddr = spec->vaddr;

	assert_int_equal(target_read(s.target, vaddr + spec->object->bias, &byte, 1), 0);
	return byte == INT3;
}

static const bool *gone; /* by choice - 1 */

static bool is_expected(const struct probe_spec *at, unsigned role, unsigned away)
{
	const struct probe_list *l = &s.alloc->probes;

	for (size_t i = 0; i < l->count; i++) {
		const struct probe_spec *o = &l->specs[i];

		if (o->object == at->object && o->offset == at->offset && o->roles & role &&
		    !(o->part & away) && !(o->choice && gone && gone[o->choice - 1]))
			return true;
	}
	return false;
}

/* Returns: how many of the specs have a breakpoint. */
static size_t check_text(unsigned role, unsigned away)
{
	const struct probe_list *l = &s.alloc->probes;
	size_t found = 0;

	for (size_t i = 0; i < l->count; i++) {
		bool want = is_expected(&l->specs[i], role, away);

		found += want;
		if (has_breakpoint(&l->specs[i]) != want)
			fail_msg("%s at 0x%lx of %s: %s a breakpoint", l->specs[i].program,
				 (unsigned long)l->specs[i].vaddr, l->specs[i].object->path,
				 want ? "without" : "with");
	}
	return found;
}

static void set_role(enum probe_role role)
{
	assert_int_equal(probes_set_role(s.probes, role), 0);
	assert_int_equal(probes_role(s.probes), role);
}

static void nothing_is_attached_before_a_role_is_set(void **state)
{
	assert_true(s.alloc->probes.count > 100);
	assert_int_equal(check_text(PROBE_OFF, 0), 0);
	assert_int_equal(probes_count(s.probes, TM_PROG_POP), 0);
}

static void each_role_has_its_sites_and_no_other(void **state)
{
	size_t exact;

	set_role(PROBE_TRIAL);
	assert_true(check_text(PROBE_TRIAL, 0) > 50);
	set_role(PROBE_EXACT);
	exact = check_text(PROBE_EXACT, 0);
	assert_true(exact > probes_count(s.probes, TM_PROG_POP));
	assert_true(probes_count(s.probes, TM_PROG_NEWREF) > 50);
	set_role(PROBE_GROWTH);
	assert_in_range(check_text(PROBE_GROWTH, 0), 5, exact / 2);
	assert_int_equal(probes_count(s.probes, TM_PROG_NEWREF), 0);
	set_role(PROBE_EXACT);
	assert_int_equal(check_text(PROBE_EXACT, 0), exact);
	set_role(PROBE_OFF);
	assert_int_equal(check_text(PROBE_OFF, 0), 0);
}

static void choices_go_and_come_back_with_the_role(void **state)
{
	size_t count = probe_list_choices(&s.alloc->probes), all;
	bool *let_go = calloc(count, sizeof(*let_go));

	set_role(PROBE_EXACT);
	all = probes_count(s.probes, TM_PROG_NEWREF);
	for (size_t i = 0; i < count; i += 2)
		let_go[i] = true;
	assert_int_equal(probes_let_go(s.probes, let_go, count, 1 << 8), 0);
	gone = let_go;
	assert_true(probes_count(s.probes, TM_PROG_NEWREF) < all);
	check_text(PROBE_EXACT, 0);
	set_role(PROBE_GROWTH);
	check_text(PROBE_GROWTH, 0);
	set_role(PROBE_EXACT);
	check_text(PROBE_EXACT, 0);
	assert_int_equal(probes_let_go(s.probes, NULL, 0, 0), 0);
	gone = NULL;
	assert_int_equal(probes_count(s.probes, TM_PROG_NEWREF), all);
	check_text(PROBE_EXACT, 0);
	set_role(PROBE_OFF);
	free(let_go);
}

static void *take_away(void *parts)
{
	probes_take_away(s.probes, *(const unsigned *)parts);
	return NULL;
}

static void another_thread_takes_parts_away_and_a_role_brings_them_back(void **state)
{
	static const unsigned parts[] = {PROBE_PART_OBJECTS, PROBE_PART_MALLOC, PROBE_PART_ALL};

	set_role(PROBE_EXACT);
	for (size_t i = 0; i < 3; i++) {
		unsigned away = parts[i];
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, take_away, &away), 0);
		pthread_join(thread, NULL);
		assert_int_equal(probes_away(s.probes), away);
		/* The death of code objects is of no part: it stays. */
		assert_true(check_text(PROBE_EXACT, away) > 0);
		assert_int_equal(probes_count(s.probes, TM_PROG_DEATH), 1);
		/* Nothing attaches what is away. */
		set_role(PROBE_EXACT);
		check_text(PROBE_EXACT, away);
		assert_int_equal(probes_let_go(s.probes, NULL, 0, 0), 0);
		check_text(PROBE_EXACT, away);
		assert_int_equal(probes_readmit(s.probes), away);
		set_role(PROBE_EXACT);
		check_text(PROBE_EXACT, 0);
	}
}

static void nothing_is_left_in_the_text(void **state)
{
	set_role(PROBE_EXACT);
	probes_free(s.probes);
	s.probes = NULL;
	assert_int_equal(check_text(PROBE_OFF, 0), 0);
}

static void a_program_that_bpf_lacks_is_refused(void **state)
{
	struct probe_spec spec = s.alloc->probes.specs[0];
	struct probe_list list = {.specs = &spec, .count = 1};
	struct probes *p = NULL;

	spec.program = "no_such_program";
	assert_int_equal(probes_new(s.session, s.target, &list, &p), -EINVAL);
	assert_null(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_attached_before_a_role_is_set),
		cmocka_unit_test(each_role_has_its_sites_and_no_other),
		cmocka_unit_test(choices_go_and_come_back_with_the_role),
		cmocka_unit_test(another_thread_takes_parts_away_and_a_role_brings_them_back),
		cmocka_unit_test(a_program_that_bpf_lacks_is_refused),
		cmocka_unit_test(nothing_is_left_in_the_text),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
