/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "snap_fixture.h"

#include "analyze/stat_module.h"

static void paths_become_module_names(void **state)
{
	static const struct {
		const char *file, *module;
		bool native;
	} rows[] = {
		{"/usr/lib/python3.11/json/decoder.py", "json.decoder", false},
		{"/usr/lib/python3.11/json/__init__.py", "json", false},
		{"/usr/lib/python3.11/os.py", "os", false},
		{"/usr/lib64/python3.9/site-packages/a/b.py", "a.b", false},
		{"/v/lib/python3.13t/site-packages/a/b.py", "a.b", false},
		{"/usr/lib/python3/dist-packages/six.py", "six", false},
		{"/usr/lib/python3.11/lib-dynload/_json.so", "_json.so", false},
		{"/v/lib/python3.12/site-packages/x/lib/python3.12/y.pyc", "y", false},
		{"/srv/shop/cache.py", "/srv/shop/cache", false},
		{"/srv/shop/__init__.py", "/srv/shop", false},
		{"/srv/lib/pythonic/x.py", "/srv/lib/pythonic/x", false},
		{"cache.py", "cache", false},
		{".py", ".py", false},
		{"<frozen importlib._bootstrap>", "importlib._bootstrap", false},
		{"<frozen ", "<frozen ", false},
		{"<string>", "<string>", false},
		{"<unknown>", "<unknown>", false},
		{"", "", false},
		{"/v/site-packages/", "/v/site-packages/", false},
		{"/usr/lib/x86_64-linux-gnu/libxml2.so.2", "libxml2.so.2", true},
		{"libc.so.6", "libc.so.6", true},
		{"/dir/", "/dir/", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = {0};

		stat_module_name(&out, rows[i].file, rows[i].native);
		assert_string_equal(out.data ? out.data : "", rows[i].module);
		buf_release(&out);
	}
}

static void each_file_is_asked_once(void **state)
{
	struct stat_modules *m = NULL;
	str_id_t a, b, file = text_id(in, "/usr/lib/python3.11/os.py");

	assert_int_equal(stat_modules_new(in, &m), 0);
	assert_int_equal(stat_modules_get(m, file, false, &a), 0);
	assert_int_equal(stat_modules_get(m, file, false, &b), 0);
	assert_int_equal(a.v, b.v);
	assert_string_equal(intern_get(in, a), "os");
	assert_int_equal(stat_modules_get(m, file, true, &b), 0);
	assert_string_equal(intern_get(in, b), "os.py");
	stat_modules_free(m);
	stat_modules_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(paths_become_module_names),
		CASE(each_file_is_asked_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
