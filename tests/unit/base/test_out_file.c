/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/out_file.h"

static char dir[64], path[96];
static char last_code[8];
static bool old_fs; /* as on a file system that has no files without a name */
static unsigned refused;

/* Stands before the one of libc. */
int openat(int at, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (old_fs && (flags & O_TMPFILE) == O_TMPFILE) {
		refused++;
		errno = EOPNOTSUPP;
		return -1;
	}
	return (int)syscall(SYS_openat, at, name, flags, mode);
}

static void on_message(void *ctx, enum log_level level, const char *code, const char *message,
		       const char *fix)
{
	snprintf(last_code, sizeof(last_code), "%s", code);
	assert_non_null(strstr(message, path));
}

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/tmbpf-out-XXXXXX");
	unsetenv("SUDO_UID");
	last_code[0] = '\0';
	log_set_sink(on_message, NULL);
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/out", dir);
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	log_set_sink(NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static void put(const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void assert_content(const char *want)
{
	char got[64] = "";
	FILE *f = fopen(path, "re");

	assert_non_null(f);
	got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(got, want);
}

/* Also those whose names begin with a point. */
static size_t entries(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static int write_out(bool force, const char *text)
{
	struct out_file *o;
	int err = out_file_open(path, force, &o);

	if (err)
		return err;
	fputs(text, out_file_stream(o));
	return out_file_commit(o);
}

static void a_file_appears_as_a_whole(void **state)
{
	struct out_file *o;
	struct stat st;

	umask(0);
	assert_int_equal(out_file_open(path, false, &o), 0);
	fputs("half", out_file_stream(o));
	fflush(out_file_stream(o));
	assert_int_equal(access(path, F_OK), -1);
	fputs(" and half", out_file_stream(o));
	assert_int_equal(out_file_commit(o), 0);
	assert_content("half and half");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(entries(), 1);
}

static void what_is_given_up_leaves_nothing(void **state)
{
	struct out_file *o;

	assert_int_equal(out_file_open(path, false, &o), 0);
	fputs("x", out_file_stream(o));
	assert_int_equal(out_file_discard(o, 0), 0);
	assert_int_equal(entries(), 0);
	assert_string_equal(last_code, "");
	assert_int_equal(out_file_open(path, false, &o), 0);
	assert_int_equal(out_file_discard(o, -ENOSPC), -ENOSPC);
	assert_string_equal(last_code, "E704");
	assert_int_equal(entries(), 0);
	assert_int_equal(out_file_discard(NULL, -EIO), -EIO);
}

static void nothing_is_replaced_without_force(void **state)
{
	struct out_file *o;

	put("old");
	/* before anything is written, not only at the end */
	assert_int_equal(out_file_open(path, false, &o), -EEXIST);
	assert_string_equal(last_code, "E702");
	assert_content("old");
	assert_int_equal(write_out(true, "new"), 0);
	assert_content("new");
	assert_int_equal(entries(), 1);
}

static void who_comes_first_keeps_it(void **state)
{
	struct out_file *o;

	assert_int_equal(out_file_open(path, false, &o), 0);
	put("first");
	assert_int_equal(out_file_commit(o), -EEXIST);
	assert_string_equal(last_code, "E702");
	assert_content("first");
	assert_int_equal(entries(), 1);
}

static void links_are_not_followed(void **state)
{
	char other[96];

	snprintf(other, sizeof(other), "%s/other", dir);
	for (int force = 0; force < 2; force++) {
		assert_int_equal(symlink(other, path), 0);
		assert_int_equal(write_out(force, "new"), -ELOOP);
		assert_string_equal(last_code, "E703");
		assert_int_equal(access(other, F_OK), -1);
		assert_int_equal(unlink(path), 0);
	}
	/* also one that appears meanwhile */
	for (int force = 0; force < 2; force++) {
		struct out_file *o;

		assert_int_equal(out_file_open(path, force, &o), 0);
		assert_int_equal(symlink(other, path), 0);
		assert_true(out_file_commit(o) < 0);
		assert_int_equal(access(other, F_OK), -1);
		assert_int_equal(entries(), 1);
		assert_int_equal(unlink(path), 0);
	}
}

static void only_regular_files_are_replaced(void **state)
{
	struct out_file *o;

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(write_out(true, "new"), -ENOTSUP);
	assert_string_equal(last_code, "E703");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(write_out(true, "new"), -EISDIR);
	snprintf(path, sizeof(path), "%s/", dir);
	assert_int_equal(out_file_open(path, true, &o), -EISDIR);
	snprintf(path, sizeof(path), "%s/.", dir);
	assert_int_equal(out_file_open(path, true, &o), -EISDIR);
}

static void a_missing_directory_is_named(void **state)
{
	snprintf(path, sizeof(path), "%s/no/out", dir);
	assert_int_equal(write_out(false, "new"), -ENOENT);
	assert_string_equal(last_code, "E703");
	path[0] = '\0';
	assert_int_equal(write_out(false, "new"), -ENOENT);
}

static void a_name_may_have_no_directory(void **state)
{
	char old[256];

	assert_non_null(getcwd(old, sizeof(old)));
	assert_int_equal(chdir(dir), 0);
	snprintf(path, sizeof(path), "out");
	assert_int_equal(write_out(false, "new"), 0);
	assert_content("new");
	assert_int_equal(chdir(old), 0);
}

static void a_full_disk_is_noticed_at_the_latest_at_the_end(void **state)
{
	struct out_file *o;

	assert_int_equal(out_file_open(path, false, &o), 0);
	assert_non_null(freopen("/dev/full", "we", out_file_stream(o)));
	fputs("x", out_file_stream(o));
	assert_int_equal(out_file_commit(o), -ENOSPC);
	assert_string_equal(last_code, "E704");
	assert_int_equal(entries(), 0);
}

static void what_root_writes_belongs_to_the_caller(void **state)
{
	struct stat st;

	if (geteuid() != 0) {
		print_message("not root: who owns the file was not tested\n");
		skip();
	}
	setenv("SUDO_UID", "1234", 1);
	setenv("SUDO_GID", "2345", 1);
	assert_int_equal(write_out(false, "x"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 2345);
	/* no numbers: as if they were not set */
	setenv("SUDO_UID", "-1", 1);
	assert_int_equal(write_out(true, "y"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	setenv("SUDO_UID", "4294967295", 1);
	assert_int_equal(write_out(true, "z"), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_uid, 0);
	unsetenv("SUDO_UID");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_file_appears_as_a_whole),
		T(what_is_given_up_leaves_nothing),
		T(nothing_is_replaced_without_force),
		T(who_comes_first_keeps_it),
		T(links_are_not_followed),
		T(only_regular_files_are_replaced),
		T(a_missing_directory_is_named),
		T(a_name_may_have_no_directory),
		T(a_full_disk_is_noticed_at_the_latest_at_the_end),
		T(what_root_writes_belongs_to_the_caller),
	};

	int failed = cmocka_run_group_tests_name("files without a name", tests, NULL, NULL);

	old_fs = true;
	failed += cmocka_run_group_tests_name("temporary names", tests, NULL, NULL);
	return failed + !refused;
}
