/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/command.h"
#include "base/log.h"
#include "target/proc_fs.h"
#include "target/target.h"

static char last_code[8], last_message[512], last_fix[512];

static void remember(void *ctx, enum log_level level, const char *code, const char *message,
		     const char *fix)
{
	snprintf(last_code, sizeof(last_code), "%s", code);
	snprintf(last_message, sizeof(last_message), "%s", message);
	snprintf(last_fix, sizeof(last_fix), "%s", fix ? fix : "");
}

static pid_t start_sleep(void)
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	pid_t pid = child_start(argv, NULL, 0);

	for (int i = 0; i < 1000; i++) { /* until it has left our own image */
		char exe[64] = "", path[64];

		snprintf(path, sizeof(path), "/proc/%d/exe", pid);
		if (readlink(path, exe, sizeof(exe) - 1) > 0 && strstr(exe, "sleep"))
			break;
		usleep(1000);
	}
	usleep(20000); /* and its linker is done */
	return pid;
}

static void stat_line_with_odd_name_is_parsed(void **state)
{
	struct proc_stat st;

	assert_int_equal(
		proc_stat_parse("7 (a) R (b) S 3 7 7 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 "
				"987654 1000 200 18446744073709551615 1 2 140000000 0 0\n",
				&st),
		0);
	assert_string_equal(st.comm, "a) R (b");
	assert_int_equal(st.state, 'S');
	assert_int_equal(st.ppid, 3);
	assert_int_equal(st.start_ticks, 987654);
	assert_int_equal(st.start_stack, 140000000);
	assert_int_equal(proc_stat_parse("7 (a) S 3", &st), -EBADMSG);
	assert_int_equal(proc_stat_parse("", &st), -EBADMSG);
	assert_int_equal(proc_stat_parse(")(", &st), -EBADMSG);
	assert_int_equal(proc_stat_parse("1 (x)", &st), -EBADMSG);
}

static void nspid_line_is_parsed(void **state)
{
	pid_t outer = 0, inner = 0;

	assert_int_equal(proc_nspid_parse("Name:\tx\nNSpid:\t40231\t17\n", &outer, &inner), 2);
	assert_int_equal(outer, 40231);
	assert_int_equal(inner, 17);
	assert_int_equal(proc_nspid_parse("Name:\tx\nNSpid:\t5\nNSsid:\t1\n", &outer, &inner), 1);
	assert_int_equal(proc_nspid_parse("Name:\tx\n", &outer, &inner), 0);
}

static void a_process_is_identified(void **state)
{
	pid_t pid = start_sleep();
	struct target *t = NULL;
	uint64_t rss = 0;

	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(t->pid, pid);
	assert_string_equal(t->comm, "sleep");
	assert_non_null(strstr(t->exe, "/sleep"));
	assert_true(t->start_time_ticks > 0);
	assert_false(t->other_pid_ns || t->other_mnt_ns || t->chrooted || t->exe_deleted);
	assert_true(t->object_count >= 3);
	assert_string_equal(t->objects[0]->path, t->exe);
	assert_true(target_is_alive(t));
	assert_true(target_same_image(t));
	assert_int_equal(target_rss(t, &rss), 0);
	assert_true(rss > 0 && rss % 4096 == 0);
	child_stop(pid);
	assert_false(target_is_alive(t));
	assert_false(target_same_image(t));
	assert_int_equal(target_rss(t, &rss), -ESRCH);
	char c;

	assert_int_equal(target_read(t, t->maps.items[0].start, &c, 1), -ESRCH);
	assert_int_equal(target_refresh_maps(t), -ESRCH);
	target_free(t);
	target_free(NULL);
}

static void objects_are_loaded_where_bias_says(void **state)
{
	struct target *t = NULL;
	Dl_info info;

	assert_int_equal(target_open(getpid(), &t), 0);
	for (size_t i = 0; i < t->object_count; i++)
		assert_int_equal(target_object_open(t, t->objects[i]), 0);
	assert_true(dladdr((void *)(uintptr_t)usleep, &info) != 0);
	struct target_object *libc = target_object_at(t, (uint64_t)(uintptr_t)info.dli_saddr);

	assert_non_null(libc);
	assert_int_equal(libc->bias, (uint64_t)(uintptr_t)info.dli_fbase);
	assert_string_equal(
		elf_image_symbol_at(libc->image, (uint64_t)(uintptr_t)info.dli_saddr - libc->bias)
			->name,
		"usleep");
	struct target_object *self =
		target_object_at(t, (uint64_t)(uintptr_t)objects_are_loaded_where_bias_says);

	assert_ptr_equal(self, t->objects[0]);
	assert_null(target_object_at(t, 0));
	assert_null(target_object_at(t, (uint64_t)(uintptr_t)&info)); /* the stack */
	assert_ptr_equal(target_object_defining(t, "main"), self);
	assert_null(target_object_defining(t, "no_such_symbol"));
	target_free(t);
}

static void a_plain_data_mapping_does_not_move_the_bias(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	void *low = mmap((void *)0x10000000, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	struct target *t = NULL;
	Dl_info info;

	assert_true(low != MAP_FAILED);
	assert_int_equal(target_open(getpid(), &t), 0);
	assert_true(dladdr((void *)(uintptr_t)start_sleep, &info) != 0);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	assert_int_equal(t->objects[0]->bias, (uint64_t)(uintptr_t)info.dli_fbase);
	target_free(t);
	munmap(low, 4096);
	close(fd);
}

static void memory_is_read_in_batches(void **state)
{
	enum { N = 3000 };
	static uint32_t source[N], copy[N];
	static struct iovec local[N], remote[N];
	struct target *t = NULL;
	uint64_t v = 0, word = 0x1122334455667788;

	assert_int_equal(target_open(getpid(), &t), 0);
	for (size_t i = 0; i < N; i++) {
		source[i] = (uint32_t)i * 7;
		remote[i] = (struct iovec){&source[i], 4};
		local[i] = (struct iovec){&copy[i], 4};
	}
	remote[5].iov_len = local[5].iov_len = 0;
	assert_int_equal(target_readv(t, local, remote, N), 4 * (N - 1));
	copy[5] = source[5];
	assert_memory_equal(source, copy, sizeof(source));
	remote[2000].iov_base = (void *)8;
	assert_int_equal(target_readv(t, local, remote, N), 4 * 1999);
	remote[0].iov_base = (void *)8;
	assert_int_equal(target_readv(t, local, remote, N), -EFAULT);
	assert_int_equal(target_readv(t, local, remote, 0), 0);
	remote[0].iov_len = 3;
	assert_int_equal(target_readv(t, local, remote, N), -EINVAL);
	assert_int_equal(target_read_u64(t, (uint64_t)(uintptr_t)&word, &v), 0);
	assert_int_equal(v, word);
	v = 1;
	assert_int_equal(target_read_u64(t, 8, &v), -EFAULT);
	assert_int_equal(v, 1);
	target_free(t);
}

static void a_read_that_runs_off_the_mapping_fails(void **state)
{
	char *two = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char out[16];
	struct target *t = NULL;

	munmap(two + 4096, 4096);
	assert_int_equal(target_open(getpid(), &t), 0);
	assert_int_equal(target_read(t, (uint64_t)(uintptr_t)two + 4088, out, 16), -EFAULT);
	assert_int_equal(target_read(t, (uint64_t)(uintptr_t)two + 4088, out, 8), 0);
	target_free(t);
	munmap(two, 4096);
}

static void dlopen_since_is_seen_after_refresh(void **state)
{
	struct target *t = NULL;

	assert_int_equal(target_open(getpid(), &t), 0);
	size_t before = t->object_count;
	void *lib = dlopen("libexpat.so.1", RTLD_NOW);

	if (!lib)
		skip();
	assert_int_equal(target_refresh_maps(t), 0);
	assert_int_equal(t->object_count, before + 1);
	assert_non_null(target_object_defining(t, "XML_ParserCreate"));
	dlclose(lib);
	assert_int_equal(target_refresh_maps(t), 0);
	assert_int_equal(t->object_count, before + 1); /* kept, but gone */
	assert_null(target_object_defining(t, "XML_ParserCreate"));
	for (size_t i = 0; i < t->object_count; i++)
		assert_true(t->objects[i]->first || strstr(t->objects[i]->path, "libexpat"));
	target_free(t);
}

static void no_such_process_is_said(void **state)
{
	struct target *t = NULL;

	last_code[0] = '\0';
	assert_int_equal(target_open(0x3fffff, &t), -ESRCH);
	assert_string_equal(last_code, "E301");
	assert_null(t);
}

static void a_zombie_is_said(void **state)
{
	pid_t pid = fork();
	struct target *t = NULL;
	siginfo_t info;

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(target_open(pid, &t), -ESRCH);
	assert_string_equal(last_code, "E305");
	waitpid(pid, NULL, 0);
}

static void missing_privileges_are_said(void **state)
{
	if (geteuid() != 0)
		skip();
	pid_t victim = start_sleep();
	pid_t pid = fork();

	if (pid == 0) { /* another user than the victim's */
		struct target *t = NULL;
		char number[16];
		char *const argv[] = {"tmbpf", "record", "-p", number, "-q", NULL};

		snprintf(number, sizeof(number), "%d", victim);
		command_remember(5, (char **)argv);
		log_set_sink(remember, NULL);
		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(1);
		int err = target_open(victim, &t);
		char want[64];

		snprintf(want, sizeof(want), " record -p %d -q", victim);
		if (err != -EACCES && err != -EPERM)
			_exit(2);
		_exit(strcmp(last_code, "E401") != 0 || strncmp(last_fix, "sudo /", 6) != 0 ||
		      !strstr(last_fix, want));
	}
	int status = 0;

	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	child_stop(victim);
}

static void exec_of_the_same_file_is_noticed(void **state)
{
	char *const argv[] = {"/bin/bash", "-c",
			      "echo; read x; exec /bin/bash -c 'echo >&2; read y'", NULL};
	int in[2], err_fd[2];
	char c;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(err_fd), 0);
	int saved_in = dup(0), saved_err = dup(2);

	dup2(in[0], 0);
	dup2(err_fd[1], 2);
	pid_t pid = child_start(argv, NULL, 1);

	dup2(saved_in, 0);
	dup2(saved_err, 2);
	struct target *t = NULL;

	assert_int_equal(target_open(pid, &t), 0);
	assert_true(target_same_image(t));
	assert_int_equal(write(in[1], "\n", 1), 1);
	assert_int_equal(read(err_fd[0], &c, 1), 1);
	assert_true(target_is_alive(t));
	assert_false(target_same_image(t));
	target_free(t);
	child_stop(pid);
	close(saved_in);
	close(saved_err);
	for (int i = 0; i < 2; i++) {
		close(in[i]);
		close(err_fd[i]);
	}
}

static void copy_file(const char *from, const char *to)
{
	char cmd[PATH_MAX];

	snprintf(cmd, sizeof(cmd), "cp '%s' '%s'", from, to);
	assert_int_equal(system(cmd), 0);
}

static void a_deleted_binary_is_opened_and_warned_of(void **state)
{
	char dir[] = "/tmp/tm_del_XXXXXX", path[64];

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/my sleep", dir);
	copy_file("/bin/sleep", path);
	char *const argv[] = {path, "1000", NULL};
	pid_t pid = child_start(argv, NULL, 0);
	struct target *t = NULL;

	usleep(100000);
	unlink(path);
	copy_file("/bin/true", path); /* replaced: opening by path would be the wrong file */
	last_code[0] = '\0';
	assert_int_equal(target_open(pid, &t), 0);
	assert_true(t->exe_deleted);
	assert_string_equal(t->exe, path);
	if (target_object_open(t, t->objects[0]) == 0) { /* needs map_files or ptrace rights */
		assert_string_equal(last_code, "W130");
		struct elf_image *original = NULL;

		assert_int_equal(elf_image_open("/bin/sleep", &original), 0);
		assert_string_equal(t->objects[0]->image->build_id_hex, original->build_id_hex);
		elf_image_free(original);
		assert_string_not_equal(t->objects[0]->open_path, path);
	}
	target_free(t);
	child_stop(pid);
	unlink(path);
	rmdir(dir);
}

/* Sleeps in a chroot or in namespaces of its own. Returns: its pid as we see it, 0 = not allowed. */
static pid_t start_elsewhere(const char *root, int namespaces, pid_t *parent)
{
	int fds[2];
	pid_t inner = 0;

	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (namespaces && unshare(namespaces))
			_exit(77);
		pid_t child = fork();

		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (root && (chroot(root) || chdir("/")))
				_exit(1);
			execl("/bin/sleep", "/bin/sleep", "1000", NULL);
			_exit(127);
		}
		if (write(fds[1], &child, sizeof(child)) < 0)
			_exit(1);
		pause(); /* its end ends the child */
		_exit(0);
	}
	close(fds[1]);
	if (read(fds[0], &inner, sizeof(inner)) != sizeof(inner)) {
		close(fds[0]);
		waitpid(pid, NULL, 0);
		return 0;
	}
	close(fds[0]);
	usleep(100000);
	*parent = pid;
	return inner;
}

static void a_process_in_another_pid_namespace_is_known(void **state)
{
	if (geteuid() != 0)
		skip();
	pid_t parent = 0, inner = start_elsewhere(NULL, CLONE_NEWPID, &parent);

	if (!inner)
		skip();
	struct target *t = NULL;

	assert_int_equal(target_open(inner, &t), 0);
	assert_true(t->other_pid_ns);
	assert_int_equal(t->ns_pid, 1);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	target_free(t);
	kill(inner, SIGKILL);
	child_stop(parent);
}

/* As init of a new pid namespace: start a process with that number. Never returns. */
static void init_of_namespace(int ready, const char *number_before)
{
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fd < 0 || write(fd, number_before, strlen(number_before)) < 0)
		_exit(77);
	if (fork() == 0) {
		write(ready, "x", 1);
		pause();
		_exit(0);
	}
	pause();
	_exit(0);
}

static void a_number_from_inside_a_container_gets_a_hint(void **state)
{
	int fds[2];
	char c;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe(fds), 0);
	pid_t parent = fork();

	if (parent == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(fds[0]);
		if (unshare(CLONE_NEWPID))
			_exit(77);
		pid_t init = fork();

		if (init == 0)
			init_of_namespace(fds[1], "31233");
		close(fds[1]);
		waitpid(init, NULL, 0);
		_exit(0);
	}
	close(fds[1]);
	ssize_t n = read(fds[0], &c, 1);

	close(fds[0]);
	if (n != 1 || kill(31234, 0) == 0) { /* not allowed, or the number is taken outside too */
		child_stop(parent);
		skip();
	}
	struct target *t = NULL;

	assert_int_equal(target_open(31234, &t), -ESRCH);
	assert_string_equal(last_code, "E301");
	assert_non_null(strstr(last_fix, "inside a container, its pid here is"));
	child_stop(parent);
}

static void files_in_a_chroot_are_found(void **state)
{
	static const char *const files[] = {"/bin/sleep", "/lib/x86_64-linux-gnu/libc.so.6",
					    "/lib64/ld-linux-x86-64.so.2"};
	char root[] = "/tmp/tm_root_XXXXXX", cmd[512];

	if (geteuid() != 0)
		skip();
	assert_non_null(mkdtemp(root));
	snprintf(cmd, sizeof(cmd), "cd %s && mkdir -p bin lib64 lib/x86_64-linux-gnu", root);
	assert_int_equal(system(cmd), 0);
	for (size_t i = 0; i < 3; i++) {
		snprintf(cmd, sizeof(cmd), "%s%s", root, files[i]);
		copy_file(files[i], cmd);
	}
	pid_t parent = 0, pid = start_elsewhere(root, 0, &parent);
	struct target *t = NULL;

	assert_true(pid > 0);
	assert_int_equal(target_open(pid, &t), 0);
	assert_true(t->chrooted);
	assert_string_equal(t->objects[0]->path, "/bin/sleep");
	struct target_object *o = target_object_defining(t, "malloc");

	assert_non_null(o);
	assert_string_equal(o->path, "/lib/x86_64-linux-gnu/libc.so.6");
	target_free(t);
	kill(pid, SIGKILL);
	child_stop(parent);
	snprintf(cmd, sizeof(cmd), "rm -r %s", root);
	assert_int_equal(system(cmd), 0);
}

static int set_up(void **state)
{
	log_set_sink(remember, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stat_line_with_odd_name_is_parsed),
		cmocka_unit_test(nspid_line_is_parsed),
		cmocka_unit_test(a_process_is_identified),
		cmocka_unit_test(objects_are_loaded_where_bias_says),
		cmocka_unit_test(a_plain_data_mapping_does_not_move_the_bias),
		cmocka_unit_test(memory_is_read_in_batches),
		cmocka_unit_test(a_read_that_runs_off_the_mapping_fails),
		cmocka_unit_test(dlopen_since_is_seen_after_refresh),
		cmocka_unit_test(no_such_process_is_said),
		cmocka_unit_test(a_zombie_is_said),
		cmocka_unit_test(missing_privileges_are_said),
		cmocka_unit_test(exec_of_the_same_file_is_noticed),
		cmocka_unit_test(a_deleted_binary_is_opened_and_warned_of),
		cmocka_unit_test(a_process_in_another_pid_namespace_is_known),
		cmocka_unit_test(a_number_from_inside_a_container_gets_a_hint),
		cmocka_unit_test(files_in_a_chroot_are_found),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
