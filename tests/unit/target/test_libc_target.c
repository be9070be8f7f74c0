/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <errno.h>
#include <gnu/libc-version.h>

#include "target/libc_target.h"

static pid_t start_sleep(char *const envp[])
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	pid_t pid = child_start(argv, envp, 0);

	usleep(200000); /* past exec and the dynamic linker */
	return pid;
}

static void glibc_is_recognised_with_its_version(void **state)
{
	pid_t pid = start_sleep(NULL);
	struct target *t = NULL;
	struct libc_target libc;

	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(libc_target_find(t, &libc), 0);
	assert_int_equal(libc.kind, LIBC_GLIBC);
	assert_string_equal(libc.version, gnu_get_libc_version());
	assert_non_null(strstr(libc.object->path, "libc.so.6"));
	assert_true(libc_is_glibc(t));
	target_free(t);
	child_stop(pid);
}

static int build(const char *out, const char *flags, const char *source)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd), "printf '%%s' '%s' | cc -x c - -o %s %s 2>/dev/null", source,
		 out, flags);
	return system(cmd);
}

static void a_preloaded_allocator_is_in_force(void **state)
{
	char dir[] = "/tmp/tm_pre_XXXXXX", lib[64], env[128];

	assert_non_null(mkdtemp(dir));
	snprintf(lib, sizeof(lib), "%s/libfast.so", dir);
	if (build(lib, "-shared -fPIC -nostdlib",
		  "#include <stddef.h>\nvoid *__libc_malloc(size_t); void __libc_free(void *);"
		  "void *malloc(size_t n) { return __libc_malloc(n); }"
		  "void free(void *p) { __libc_free(p); }")) {
		rmdir(dir);
		skip();
	}
	snprintf(env, sizeof(env), "LD_PRELOAD=%s", lib);
	char *const envp[] = {env, NULL};
	pid_t pid = start_sleep(envp);
	struct target *t = NULL;
	struct libc_target libc;

	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(libc_target_find(t, &libc), 0);
	assert_string_equal(libc.object->path, lib);
	assert_int_equal(libc.kind, LIBC_OTHER);
	assert_true(libc_is_glibc(t));
	assert_ptr_equal(libc.object, t->objects[1]); /* right behind the executable */
	target_free(t);
	child_stop(pid);
	unlink(lib);
	rmdir(dir);
}

static void a_static_binary_has_malloc_only_with_symbols(void **state)
{
	char dir[] = "/tmp/tm_sta_XXXXXX", exe[64];

	assert_non_null(mkdtemp(dir));
	snprintf(exe, sizeof(exe), "%s/static", dir);
	for (int stripped = 0; stripped < 2; stripped++) {
		if (build(exe, stripped ? "-static -s" : "-static",
			  "#include <stdlib.h>\n#include <unistd.h>\n"
			  "int main(void) { free(malloc(1)); write(1, \"x\", 1); pause(); }")) {
			rmdir(dir);
			skip();
		}
		char *const argv[] = {exe, NULL};
		pid_t pid = child_start(argv, NULL, 1);
		struct target *t = NULL;
		struct libc_target libc = {.version = "kept"};

		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(t->object_count, 1);
		if (stripped) {
			assert_int_equal(libc_target_find(t, &libc), -ENOENT);
			assert_string_equal(libc.version, "kept");
		} else {
			assert_int_equal(libc_target_find(t, &libc), 0);
			assert_ptr_equal(libc.object, t->objects[0]);
			assert_int_equal(libc.kind, LIBC_GLIBC);
		}
		target_free(t);
		child_stop(pid);
	}
	unlink(exe);
	rmdir(dir);
}

static void musl_is_recognised(void **state)
{
	char dir[] = "/tmp/tm_mus_XXXXXX", exe[64], cmd[256];

	assert_non_null(mkdtemp(dir));
	snprintf(exe, sizeof(exe), "%s/musl", dir);
	snprintf(cmd, sizeof(cmd),
		 "printf 'int write(int,char*,int);int pause(void);"
		 "int main(){write(1,\"x\",1);pause();}' | musl-gcc -x c - -o %s 2>/dev/null",
		 exe);
	if (system(cmd)) {
		rmdir(dir);
		skip();
	}
	char *const argv[] = {exe, NULL};
	pid_t pid = child_start(argv, NULL, 1);
	struct target *t = NULL;
	struct libc_target libc;

	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(libc_target_find(t, &libc), 0);
	assert_int_equal(libc.kind, LIBC_MUSL);
	assert_int_equal(strncmp(libc.version, "1.", 2), 0);
	assert_false(libc_is_glibc(t));
	target_free(t);
	child_stop(pid);
	unlink(exe);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(glibc_is_recognised_with_its_version),
		cmocka_unit_test(a_preloaded_allocator_is_in_force),
		cmocka_unit_test(a_static_binary_has_malloc_only_with_symbols),
		cmocka_unit_test(musl_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
