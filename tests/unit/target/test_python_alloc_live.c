/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every interpreter of this machine in every setting of its allocator. */
#include "child.h"

#include "target/python_target.h"
#include "tests/unit/python_process.h"

static struct python pythons[PYTHONS_MAX];
static size_t python_count;

static const char program[] = "import sys, time\n"
			      "sys.stdout.write('x'); sys.stdout.flush()\n"
			      "time.sleep(1000)\n";

#define ALWAYS 99

static const struct setting {
	const char *env[3];
	enum py_allocator want;
	bool debug, tracemalloc;
	unsigned from, to; /* minor versions; those that are free-threaded have only mimalloc */
} settings[] = {
	{{"NOTHING=set"}, PY_ALLOC_PYMALLOC, false, false, 6, ALWAYS},
	{{"PYTHONMALLOC=pymalloc"}, PY_ALLOC_PYMALLOC, false, false, 6, ALWAYS},
	{{"PYTHONMALLOC=malloc"}, PY_ALLOC_MALLOC, false, false, 6, ALWAYS},
	{{"PYTHONMALLOC=malloc_debug"}, PY_ALLOC_MALLOC, true, false, 6, ALWAYS},
	{{"PYTHONMALLOC=pymalloc_debug"}, PY_ALLOC_PYMALLOC, true, false, 6, ALWAYS},
	/* 3.6 starts with malloc (Programs/python.c), and sets its hooks in front of that */
	{{"PYTHONMALLOC=debug"}, PY_ALLOC_MALLOC, true, false, 6, 6},
	{{"PYTHONMALLOC=debug"}, PY_ALLOC_PYMALLOC, true, false, 7, ALWAYS},
	{{"PYTHONDEVMODE=1"}, PY_ALLOC_PYMALLOC, true, false, 7, ALWAYS},
	{{"PYTHONTRACEMALLOC=2"}, PY_ALLOC_PYMALLOC, false, true, 6, ALWAYS},
	{{"PYTHONTRACEMALLOC=1", "PYTHONMALLOC=pymalloc_debug"},
	 PY_ALLOC_PYMALLOC,
	 true,
	 true,
	 6,
	 ALWAYS},
	{{"PYTHONTRACEMALLOC=1", "PYTHONMALLOC=malloc"}, PY_ALLOC_MALLOC, false, true, 6, ALWAYS},
	{{"PYTHONMALLOC=mimalloc"}, PY_ALLOC_BY_DOMAIN, false, false, 13, ALWAYS},
	{{"PYTHONMALLOC=mimalloc_debug"}, PY_ALLOC_BY_DOMAIN, true, false, 13, ALWAYS},
};

static bool applies(const struct python *p, const struct setting *s)
{
	static const char name[] = "PYTHONMALLOC=";

	if (p->major != 3 || p->minor < s->from || p->minor > s->to)
		return false;
	for (int i = 0; p->free_threaded && s->env[i]; i++) {
		const char *value = s->env[i] + strlen(name);

		/* It refuses to start with another allocator than its own. */
		if (strncmp(s->env[i], name, strlen(name)) == 0 && strcmp(value, "debug") != 0 &&
		    strncmp(value, "mimalloc", 8) != 0)
			return false;
	}
	return true;
}

static void check_setting(const struct python *p, const struct setting *s)
{
	const char *const args[] = {"-S", "-c", program, NULL};
	char *envp[3] = {(char *)(uintptr_t)s->env[0], (char *)(uintptr_t)s->env[1], NULL};
	enum py_allocator want = p->free_threaded ? PY_ALLOC_BY_DOMAIN : s->want;
	unsigned debug_bytes = !s->debug ? 0 : p->minor < 8 ? 32 : 24;
	struct python_target py;
	struct target *t = NULL;
	int out;
	pid_t pid = python_start(p, args, envp, NULL, &out);
	struct pollfd ready = {.fd = out, .events = POLLIN};
	char c = 0;

	assert_true(pid > 0);
	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(read(out, &c, 1), 1);
	close(out);
	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(python_target_find(t, &py), 0);
	if (py.allocator != want || py.hooks.debug_bytes != debug_bytes ||
	    py.hooks.tracemalloc != s->tracemalloc)
		print_error("%s (3.%u) with %s\n", p->name, p->minor, s->env[0]);
	assert_int_equal(py.allocator, want);
	assert_int_equal(py.hooks.debug_bytes, debug_bytes);
	assert_int_equal(py.hooks.tracemalloc, s->tracemalloc);
	assert_string_equal(py.hooks.file, "");
	target_free(t);
	child_stop(pid);
}

static void each_interpreter_in_each_setting(void **state)
{
	size_t done = 0;

	for (size_t i = 0; i < python_count; i++) {
		for (size_t s = 0; s < sizeof(settings) / sizeof(settings[0]); s++) {
			if (!applies(&pythons[i], &settings[s]))
				continue;
			check_setting(&pythons[i], &settings[s]);
			done++;
		}
	}
	if (!done)
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_interpreter_in_each_setting),
	};

	python_count = pythons_find(pythons);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
