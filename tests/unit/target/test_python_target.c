/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <elf.h>
#include <errno.h>
#include <glob.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "base/log.h"
#include "target/python_target.h"

static char last_code[8], last_message[512];

static void remember(void *ctx, enum log_level level, const char *code, const char *message,
		     const char *fix)
{
	snprintf(last_code, sizeof(last_code), "%s", code);
	snprintf(last_message, sizeof(last_message), "%s", message);
}

/* Interpreters of this machine: Debian's and pyenv's. */
struct python {
	const char *exe;
	unsigned minor; /* 0 = 2.7 */
	bool debian;
};

static size_t list_pythons(struct python *out, size_t cap)
{
	static glob_t found;
	size_t n = 0;

	if (access("/usr/bin/python3.11", X_OK) == 0)
		out[n++] = (struct python){"/usr/bin/python3.11", 11, true};
	if (!found.gl_pathc)
		glob("~/.pyenv/versions/*/bin/python[23].[0-9]*", GLOB_TILDE, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc && n < cap; i++) {
		unsigned major = 0, minor = 0;
		const char *base = strrchr(found.gl_pathv[i], '/') + 1;
		int used = 0;

		if (sscanf(base, "python%u.%u%n", &major, &minor, &used) == 2 && !base[used])
			out[n++] =
				(struct python){found.gl_pathv[i], major == 3 ? minor : 0, false};
	}
	return n;
}

static const char program[] = "import sys, time, threading\n"
			      "def wait_here():\n"
			      "    time.sleep(1000)\n"
			      "t = threading.Thread(target=wait_here)\n"
			      "t.daemon = True\n"
			      "t.start()\n"
			      "time.sleep(0.1)\n"
			      "sys.stdout.write('x'); sys.stdout.flush()\n"
			      "wait_here()\n";

static pid_t start_python(const char *exe, char *const envp[])
{
	char *const argv[] = {(char *)(uintptr_t)exe, "-c", (char *)(uintptr_t)program, NULL};
	pid_t pid = child_start(argv, envp, 1);

	usleep(50000); /* into wait_here() */
	return pid;
}

static bool is_supported(const struct python *p)
{
	return p->minor >= 11 && p->minor <= 13;
}

static void each_interpreter_is_found_or_refused(void **state)
{
	struct python pythons[32];
	size_t n = list_pythons(pythons, 32);

	for (size_t i = 0; i < n; i++) {
		pid_t pid = start_python(pythons[i].exe, NULL);
		struct target *t = NULL;
		struct python_target py = {.minor = 99};

		assert_int_equal(target_open(pid, &t), 0);
		if (!is_supported(&pythons[i])) {
			last_code[0] = '\0';
			assert_int_equal(python_target_find(t, &py), -ENOTSUP);
			assert_string_equal(last_code, "E303");
			assert_non_null(strstr(last_message, "3.11 to 3.13"));
			assert_int_equal(py.minor, 99);
		} else {
			assert_int_equal(python_target_find(t, &py), 0);
			assert_int_equal(py.major, 3);
			assert_int_equal(py.minor, pythons[i].minor);
			assert_ptr_equal(py.offsets,
					 py_offsets_get(py.minor)); /* nothing overridden */
			assert_int_equal(py.allocator, PY_ALLOC_PYMALLOC);
			assert_int_equal(py.object == t->objects[0], pythons[i].debian);
			const struct elf_symbol *s = elf_image_symbol_at(
				py.object->image, py.code_dealloc_addr - py.object->bias);

			if (!pythons[i].debian) /* that one is stripped */
				assert_string_equal(s->name, "code_dealloc");
		}
		target_free(t);
		child_stop(pid);
	}
	if (!n)
		skip();
}

/* fs_base of a thread, which is stopped for the moment. */
static uint64_t thread_pointer(pid_t tid)
{
	struct user_regs_struct regs = {0};

	assert_int_equal(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
	assert_int_equal(waitpid(tid, NULL, __WALL), tid);
	assert_int_equal(ptrace(PTRACE_GETREGS, tid, 0, &regs), 0);
	assert_int_equal(ptrace(PTRACE_DETACH, tid, 0, 0), 0);
	return regs.fs_base;
}

/* The name of the innermost Python frame, walked as the BPF program does it. */
static void innermost_name(struct target *t, const struct python_target *py, uint64_t tstate,
			   char out[32])
{
	const struct py_offsets *o = py->offsets;
	uint64_t frame = 0, code = 0, type = 0, name = 0;
	uint8_t owner = 255;

	if (o->tstate_cframe != PY_NONE) {
		assert_int_equal(target_read_u64(t, tstate + o->tstate_cframe, &frame), 0);
		assert_int_equal(target_read_u64(t, frame + o->cframe_current_frame, &frame), 0);
	} else {
		assert_int_equal(target_read_u64(t, tstate + o->tstate_current_frame, &frame), 0);
	}
	assert_int_equal(target_read(t, frame + o->frame_owner, &owner, 1), 0);
	assert_true(owner < o->owner_first_not_python);
	assert_int_equal(target_read_u64(t, frame + o->frame_code, &code), 0);
	assert_int_equal(target_read_u64(t, code + 8, &type), 0);
	assert_int_equal(type, py->code_type_addr);
	assert_int_equal(target_read_u64(t, code + o->code_name, &name), 0);
	memset(out, 0, 32);
	assert_int_equal(target_read(t, name + o->str_ascii_data, out, 16), 0);
}

static void the_slot_holds_the_thread_state(void **state)
{
	/* tstate.thread_id by minor: python-frames.md section 3; glibc's pthread_self() is fs_base */
	static const uint16_t thread_id_off[] = {[11] = 152, [12] = 136, [13] = 152};
	struct python pythons[32];
	size_t n = list_pythons(pythons, 32), done = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_supported(&pythons[i]))
			continue;
		pid_t pid = start_python(pythons[i].exe, NULL);
		struct target *t = NULL;
		struct python_target py;
		char pattern[64];
		glob_t tasks;

		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(python_target_find(t, &py), 0);
		snprintf(pattern, sizeof(pattern), "/proc/%d/task/*", pid);
		assert_int_equal(glob(pattern, 0, NULL, &tasks), 0);
		assert_int_equal(tasks.gl_pathc, 2);
		for (size_t k = 0; k < tasks.gl_pathc; k++) {
			pid_t tid = (pid_t)strtol(strrchr(tasks.gl_pathv[k], '/') + 1, NULL, 10);
			uint64_t tp = thread_pointer(tid);
			uint64_t tstate = 0, interp = 0, word = 0, thread_id = 0;
			char name[32];

			assert_int_equal(
				target_read_u64(t, tp + (uint64_t)py.tstate_slot_off, &tstate), 0);
			assert_int_equal(target_read_u64(t, tstate + 16, &interp), 0);
			assert_int_equal(target_read_u64(t, interp, &word), 0);
			assert_int_equal(
				target_read_u64(t, tstate + thread_id_off[py.minor], &thread_id),
				0);
			assert_int_equal(thread_id, tp);
			innermost_name(t, &py, tstate, name);
			assert_string_equal(name, "wait_here");
		}
		globfree(&tasks);
		target_free(t);
		child_stop(pid);
		done++;
	}
	if (!done)
		skip();
}

static void the_allocator_in_force_is_read(void **state)
{
	static const struct {
		const char *env;
		enum py_allocator want;
	} cases[] = {
		{"PYTHONMALLOC=malloc", PY_ALLOC_MALLOC},
		{"PYTHONMALLOC=debug", PY_ALLOC_OTHER},
		{"PYTHONMALLOC=malloc_debug", PY_ALLOC_OTHER},
		{"PYTHONDEVMODE=1", PY_ALLOC_OTHER},
		{"PYTHONTRACEMALLOC=1", PY_ALLOC_OTHER},
		{"PYTHONMALLOC=pymalloc", PY_ALLOC_PYMALLOC},
	};
	struct python pythons[32];
	size_t n = list_pythons(pythons, 32);

	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0;
		     is_supported(&pythons[i]) && c < sizeof(cases) / sizeof(cases[0]); c++) {
			char *const envp[] = {(char *)(uintptr_t)cases[c].env, NULL};
			pid_t pid = start_python(pythons[i].exe, envp);
			struct target *t = NULL;
			struct python_target py;

			assert_int_equal(target_open(pid, &t), 0);
			assert_int_equal(python_target_find(t, &py), 0);
			assert_int_equal(py.allocator, cases[c].want);
			target_free(t);
			child_stop(pid);
		}
	}
}

static void a_program_without_python_is_no_error(void **state)
{
	char *const argv[] = {"/bin/sleep", "1000", NULL};
	pid_t pid = child_start(argv, NULL, 0);
	struct target *t = NULL;
	struct python_target py;

	usleep(200000);
	last_code[0] = '\0';
	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(python_target_find(t, &py), -ENOENT);
	assert_string_equal(last_code, "");
	target_free(t);
	child_stop(pid);
}

/* An interpreter that is stopped before its first instruction has mapped nothing but the loader's part. */
static void before_initialisation_is_said(void **state)
{
	struct python pythons[32];
	size_t n = list_pythons(pythons, 32);

	if (!n || !pythons[0].debian)
		skip();
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(pythons[0].exe, pythons[0].exe, "-c", "0", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid); /* stopped at exec */
	struct target *t = NULL;
	struct python_target py;

	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(python_target_find(t, &py), -EAGAIN);
	assert_string_equal(last_code, "E304");
	target_free(t);
	child_stop(pid);
}

static void a_python_child_is_named_in_the_hint(void **state)
{
	char *const argv[] = {"/bin/sh", "-c",
			      "echo; /usr/bin/python3 -c 'import time; time.sleep(99)'; :", NULL};
	char text[64] = "";

	if (access("/usr/bin/python3", X_OK))
		skip();
	pid_t pid = child_start(argv, NULL, 1);

	for (int i = 0; i < 100 && python_target_hint_child(pid, text, sizeof(text)); i++)
		usleep(20000);
	int child = 0;
	unsigned minor = 0;

	assert_int_equal(sscanf(text, "its child %d is CPython 3.%u", &child, &minor), 2);
	kill(child, SIGKILL);
	child_stop(pid);
	assert_int_equal(python_target_hint_child(pid, text, sizeof(text)), -ENOENT);
}

static int set_up(void **state)
{
	log_set_sink(remember, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_interpreter_is_found_or_refused),
		cmocka_unit_test(the_slot_holds_the_thread_state),
		cmocka_unit_test(the_allocator_in_force_is_read),
		cmocka_unit_test(a_program_without_python_is_no_error),
		cmocka_unit_test(before_initialisation_is_said),
		cmocka_unit_test(a_python_child_is_named_in_the_hint),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
