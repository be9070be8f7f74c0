/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report_fixture.h"

static struct short_paths paths;

static int setup(void **state)
{
	paths = (struct short_paths){0};
	return story_setup(state);
}

static int teardown(void **state)
{
	short_paths_release(&paths);
	return story_teardown(state);
}

static str_id_t known(const char *path)
{
	str_id_t id;

	assert_int_equal(intern_str(in, path, &id), 0);
	assert_int_equal(short_paths_add(&paths, path, id), 0);
	return id;
}

#define ASSERT_SHORT(path, expected)                                               \
	do {                                                                       \
		str_id_t id_;                                                      \
		assert_int_equal(intern_str(in, path, &id_), 0);                   \
		assert_string_equal(short_paths_get(&paths, path, id_), expected); \
	} while (0)

static void an_unknown_path_stays_whole(void **state)
{
	ASSERT_SHORT("/srv/a.py", "/srv/a.py");
	known("/srv/b.py");
	ASSERT_SHORT("/srv/a.py", "/srv/a.py");
	ASSERT_SHORT("", "");
}

static void a_unique_name_is_enough(void **state)
{
	known("/srv/shop/cache.py");
	known("/srv/shop/views.py");
	known("/srv/shop/views.py"); /* twice is still one file */
	ASSERT_SHORT("/srv/shop/cache.py", "cache.py");
	ASSERT_SHORT("/srv/shop/views.py", "views.py");
}

static void equal_names_get_as_many_components_as_they_need(void **state)
{
	known("/srv/shop/cache.py");
	known("/srv/lib/cache.py");
	known("/opt/lib/cache.py");
	ASSERT_SHORT("/srv/shop/cache.py", "shop/cache.py");
	ASSERT_SHORT("/srv/lib/cache.py", "srv/lib/cache.py");
	ASSERT_SHORT("/opt/lib/cache.py", "opt/lib/cache.py");
}

static void a_path_that_is_another_ones_suffix_stays_whole(void **state)
{
	known("/app/x.py");
	known("/srv/app/x.py");
	known("app/x.py");
	ASSERT_SHORT("/app/x.py", "/app/x.py");
	ASSERT_SHORT("/srv/app/x.py", "srv/app/x.py");
	ASSERT_SHORT("app/x.py", "app/x.py");
}

static void dunder_files_carry_their_package(void **state)
{
	known("/usr/lib/python3.12/json/__init__.py");
	ASSERT_SHORT("/usr/lib/python3.12/json/__init__.py", "json/__init__.py");
}

static void names_without_a_folder_are_kept(void **state)
{
	known("<frozen importlib._bootstrap>");
	known("<a/b>");
	known("setup.py");
	ASSERT_SHORT("<frozen importlib._bootstrap>", "<frozen importlib._bootstrap>");
	ASSERT_SHORT("<a/b>", "<a/b>");
	ASSERT_SHORT("setup.py", "setup.py");
}

static void odd_slashes_do_not_break_it(void **state)
{
	known("/");
	known("//");
	known("/srv/");
	known("/srv//x.py");
	ASSERT_SHORT("/srv//x.py", "x.py");
	assert_non_null(short_paths_get(&paths, "/", known("/")));
	assert_non_null(short_paths_get(&paths, "/srv/", known("/srv/")));
}

static void paths_deeper_than_the_limit_are_shown_whole(void **state)
{
	const char *a = "/a/1/2/3/4/5/6/7/8/9/10/11/12/13/x.py";
	const char *b = "/b/1/2/3/4/5/6/7/8/9/10/11/12/13/x.py";

	known(a);
	known(b);
	ASSERT_SHORT(a, a);
	ASSERT_SHORT(b, b);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_unknown_path_stays_whole),
		CASE(a_unique_name_is_enough),
		CASE(equal_names_get_as_many_components_as_they_need),
		CASE(a_path_that_is_another_ones_suffix_stays_whole),
		CASE(dunder_files_carry_their_package),
		CASE(names_without_a_folder_are_kept),
		CASE(odd_slashes_do_not_break_it),
		CASE(paths_deeper_than_the_limit_are_shown_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
