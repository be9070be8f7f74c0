/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "alloc/probe_list.h"

static bool is_even(void *ctx, const struct probe_spec *s)
{
	(*(unsigned *)ctx)++;
	return s->offset % 2 == 0;
}

/* Learning and the counters of bpf/ index by choice: a gap would be a site without a spec. */
static void choices_have_no_gap_after_a_filter(void **state)
{
	struct probe_list l = {0};
	unsigned asked = 0;

	for (uint16_t i = 0; i < 10; i++) {
		struct probe_spec s = {.program = "record_site",
				       .offset = i,
				       .choice = i > 1 ? (uint16_t)(i - 1) : 0,
				       .cookie =
					       TM_COOKIE(5, TM_KIND_NEWREF, 1, i > 1 ? i - 2 : 77)};

		probe_list_add(&l, &s);
	}
	assert_int_equal(probe_list_filter(&l, is_even, &asked), 5);
	assert_int_equal(asked, 10);
	assert_int_equal(l.count, 5);
	assert_int_equal(probe_list_choices(&l), 4);
	for (uint16_t i = 0; i < 5; i++) {
		assert_int_equal(l.specs[i].offset, 2 * i);
		assert_int_equal(l.specs[i].choice, i);
		assert_int_equal(TM_COOKIE_IDX(l.specs[i].cookie), i ? i - 1 : 77);
		assert_int_equal(TM_COOKIE_REG(l.specs[i].cookie), 5);
		assert_int_equal(TM_COOKIE_KIND(l.specs[i].cookie), TM_KIND_NEWREF);
		assert_int_equal(TM_COOKIE_FLAGS(l.specs[i].cookie), 1);
	}
	probe_list_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choices_have_no_gap_after_a_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
