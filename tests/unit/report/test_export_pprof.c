/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pprof_decode.h"

static struct profile *pr;

static int setup(void **state)
{
	pr = NULL;
	return export_setup(state);
}

static int teardown(void **state)
{
	if (pr)
		profile_free(pr);
	return export_teardown(state);
}

static void export_pprof_text(void)
{
	export_text("pprof");
	if (pr)
		profile_free(pr);
	pr = decode();
}

static const char *leaf_name(const struct sample *s)
{
	return pr->functions[pr->locations[s->locations[0] - 1].function - 1].name;
}

static const struct sample *sample_of(const char *leaf)
{
	for (size_t i = 0; i < pr->sample_count; i++) {
		if (!strcmp(leaf_name(&pr->samples[i]), leaf))
			return &pr->samples[i];
	}
	fail_msg("no sample of %s", leaf);
	return NULL;
}

static const struct label *label_of(const struct sample *s, const char *key)
{
	const struct label *found = NULL;

	for (size_t i = 0; i < s->label_count; i++) {
		if (strcmp(s->labels[i].key, key) != 0)
			continue;
		assert_null(found); /* one value a key */
		found = &s->labels[i];
	}
	return found;
}

static void types_are_gos_in_gos_order(void **state)
{
	static const char *const types[] = {"alloc_objects", "alloc_space", "inuse_objects",
					    "inuse_space"};
	static const char *const units[] = {"count", "bytes", "count", "bytes"};

	add_story();
	export_pprof_text();
	assert_int_equal(pr->type_count, 4);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(pr->types[i], types[i]);
		assert_string_equal(pr->units[i], units[i]);
	}
	assert_string_equal(pr->default_type, "inuse_space");
	assert_string_equal(pr->period_type, "space");
	assert_string_equal(pr->period_unit, "bytes");
	assert_int_equal(pr->period, 1);
	assert_int_equal(pr->time_ns, 1795356120013000000);
	assert_int_equal(pr->duration_ns, 20500000000);
	assert_string_equal(pr->strings[0], "");
}

static void a_sample_goes_from_the_leaf_to_the_root(void **state)
{
	static const uint64_t values[] = {50, 5000, 10, 1000};
	const struct sample *s;

	add_story();
	export_pprof_text();
	assert_int_equal(pr->sample_count, 3);
	s = sample_of("put");
	assert_int_equal(s->value_count, 4);
	assert_memory_equal(s->values, values, sizeof(values));
	assert_int_equal(s->location_count, 3);
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = {"put", "handle", "<module>"};
		static const int lines[] = {88, 31, 12};
		uint64_t l = s->locations[i] - 1;

		assert_string_equal(pr->functions[pr->locations[l].function - 1].name, names[i]);
		assert_int_equal(pr->locations[l].line, lines[i]);
		assert_int_equal(pr->locations[l].address, 0);
		assert_int_equal(pr->locations[l].mapping, 1);
	}
}

static void labels_tell_domain_thread_pid_and_block_size(void **state)
{
	const struct sample *s;

	add_story();
	export_pprof_text();
	s = sample_of("put");
	assert_string_equal(label_of(s, "domain")->str, "python");
	assert_string_equal(label_of(s, "thread")->str, "MainThread");
	assert_int_equal(label_of(s, "pid")->num, 4711);
	assert_int_equal(label_of(s, "bytes")->num, 100);
	assert_string_equal(label_of(s, "bytes")->unit, "bytes");
	s = sample_of("xmlNewNode");
	assert_string_equal(label_of(s, "domain")->str, "native");
	assert_null(label_of(s, "thread"));
	assert_int_equal(label_of(s, "bytes")->num, 4096);
}

static void python_functions_have_no_system_name(void **state)
{
	add_story();
	ADD(SNAP_NATIVE, 1, 1, frame("/lib/y.so", 0, ""));
	ADD(SNAP_PYTHON, 1, 1, frame("/srv/nameless.py", 7, ""));
	add_unknown(SNAP_PYTHON, 1, 1);
	export_pprof_text();
	for (size_t i = 0; i < pr->function_count; i++) {
		const char *name = pr->functions[i].name;

		if (!strcmp(name, "xmlNewNode")) /* pprof demangles names of C++ */
			assert_string_equal(pr->functions[i].system_name, "xmlNewNode");
		else
			assert_string_equal(pr->functions[i].system_name, "");
		assert_true(*name && *pr->functions[i].file);
	}
	assert_string_equal(leaf_name(&pr->samples[3]), "[y.so]");
	assert_string_equal(leaf_name(&pr->samples[4]), "nameless.py");
	assert_string_equal(leaf_name(&pr->samples[5]), "<unknown>");
}

static void there_is_always_a_mapping(void **state)
{
	struct export_opts opts = {0};

	export_pprof_text();
	assert_int_equal(pr->mapping_count, 1);
	assert_string_equal(pr->mappings[0].file, "/usr/bin/python3.12");
	assert_true(pr->mappings[0].functions && pr->mappings[0].files && pr->mappings[0].lines);
	profile_free(pr);
	assert_int_equal(export_with("pprof", &(struct store_meta){0}, &opts), 0);
	pr = decode();
	assert_int_equal(pr->mapping_count, 1);
	assert_string_equal(pr->mappings[0].file, "[unknown]");
	profile_free(pr);
	assert_int_equal(export_with("pprof", &(struct store_meta){.comm = "cc1"}, &opts), 0);
	pr = decode();
	assert_string_equal(pr->mappings[0].file, "cc1");
}

static void a_library_is_a_mapping(void **state)
{
	add_story();
	ADD(SNAP_NATIVE, 1, 1, frame("/usr/lib/libxml2.so.2", 0, "xmlFree"));
	ADD(SNAP_NATIVE, 1, 1, frame("/usr/bin/python3.12", 0, "PyObject_Malloc"));
	export_pprof_text();
	assert_int_equal(pr->mapping_count, 2);
	assert_string_equal(pr->mappings[1].file, "/usr/lib/libxml2.so.2");
	assert_true(pr->mappings[1].functions);
	assert_int_equal(pr->locations[sample_of("xmlFree")->locations[0] - 1].mapping, 2);
	/* code of the program itself belongs to the first one */
	assert_int_equal(pr->locations[sample_of("PyObject_Malloc")->locations[0] - 1].mapping, 1);
}

static void a_location_is_one_line_of_one_function(void **state)
{
	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, "f"), frame("a.py", 2, "f"), frame("a.py", 1, "f"));
	ADD(SNAP_NATIVE, 1, 1, frame("a.py", 1, "f"));
	ADD(SNAP_PYTHON, 1, 1, frame("b.py", 1, "f"));
	export_pprof_text();
	assert_int_equal(pr->location_count, 3);
	assert_int_equal(pr->function_count, 2);
	assert_int_equal(pr->samples[0].locations[0], pr->samples[0].locations[2]);
	assert_int_equal(pr->samples[0].locations[0], pr->samples[1].locations[0]);
}

static void names_may_carry_the_line(void **state)
{
	struct export_opts opts = {.line_names = true};

	add_story();
	assert_int_equal(export_with("pprof", &story_meta, &opts), 0);
	pr = decode();
	assert_string_equal(leaf_name(&pr->samples[0]), "put (cache.py:88)");
	assert_string_equal(leaf_name(&pr->samples[2]), "xmlNewNode (libxml2.so.2)");
}

static void what_was_not_recorded_is_a_lower_bound_and_said(void **state)
{
	static const uint64_t values[] = {3, 30, 3, 30};

	ADD(SNAP_PYTHON, 30, 3, frame("a.py", 1, "f"));
	export_pprof_text();
	assert_memory_equal(pr->samples[0].values, values, sizeof(values));
	assert_string_equal(pr->comments[pr->comment_count - 1], EXPORT_ALLOC_NOTE);
}

static void comments_are_lines(void **state)
{
	add_story();
	export_pprof_text();
	assert_int_equal(pr->comment_count, 3);
	assert_string_equal(pr->comments[0],
			    "tmbpf " TMBPF_VERSION ", exact, 25 frames, 2026-11-22T14:02:00.013Z");
	assert_string_equal(pr->comments[1], "gunicorn, pid 4711, CPython 3.12.4");
	assert_string_equal(pr->comments[2], "coverage python n/a, native n/a; lost: nothing");
}

static void more_than_127_strings_are_fine(void **state)
{
	for (int i = 0; i < 200; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		ADD(SNAP_PYTHON, 1, 1, frame(name, i + 1, name));
	}
	export_pprof_text();
	assert_int_equal(pr->sample_count, 200);
	assert_int_equal(pr->function_count, 200);
	assert_string_equal(leaf_name(&pr->samples[199]), "f199");
	assert_int_equal(pr->comment_count, 4);
}

static void numbers_stay_positive(void **state)
{
	ADD(SNAP_PYTHON, UINT64_MAX, 1, frame("a.py", 1, "f"));
	export_pprof_text();
	assert_int_equal(pr->samples[0].values[3], INT64_MAX);
	assert_int_equal(pr->samples[0].values[1], INT64_MAX);
}

static void what_is_freed_counts_as_allocated(void **state)
{
	static const uint64_t values[] = {5, 500, 0, 0};

	ADD(SNAP_PYTHON, 0, 0, frame("a.py", 1, "f"));
	last_allocated(500, 5);
	ADD(SNAP_PYTHON, 0, 0, frame("b.py", 1, "f"));
	export_pprof_text();
	assert_int_equal(pr->sample_count, 1);
	assert_memory_equal(pr->samples[0].values, values, sizeof(values));
	assert_int_equal(label_of(&pr->samples[0], "bytes")->num, 100);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(types_are_gos_in_gos_order),
		T(a_sample_goes_from_the_leaf_to_the_root),
		T(labels_tell_domain_thread_pid_and_block_size),
		T(python_functions_have_no_system_name),
		T(there_is_always_a_mapping),
		T(a_library_is_a_mapping),
		T(a_location_is_one_line_of_one_function),
		T(names_may_carry_the_line),
		T(what_was_not_recorded_is_a_lower_bound_and_said),
		T(comments_are_lines),
		T(more_than_127_strings_are_fine),
		T(numbers_stay_positive),
		T(what_is_freed_counts_as_allocated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
