/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "live_python.h"

#include <elf.h>
#include <errno.h>

#include "base/log.h"

static char last_code[8], last_message[512];

static void remember(void *ctx, enum log_level level, const char *code, const char *message,
		     const char *fix)
{
	snprintf(last_code, sizeof(last_code), "%s", code);
	snprintf(last_message, sizeof(last_message), "%s", message);
}

/* ---- every interpreter of this machine ---- */

static struct python pythons[PYTHONS_MAX];
static size_t python_count;

static bool is_supported(const struct python *p)
{
	return p->major == 3;
}

static void check_refused(struct target *t)
{
	struct python_target py = {.minor = 99};

	last_code[0] = '\0';
	assert_int_equal(python_target_find(t, &py), -ENOTSUP);
	assert_string_equal(last_code, "E303");
	assert_non_null(strstr(last_message, "3.6 to 3.15"));
	assert_non_null(strstr(last_message, "2.7"));
	assert_int_equal(py.minor, 99);
}

static void check_found(struct target *t, const struct python *p)
{
	struct python_target py;
	const struct elf_symbol *s;

	assert_int_equal(python_target_find(t, &py), 0);
	assert_int_equal(py.major, 3);
	assert_int_equal(py.minor, p->minor);
	assert_int_equal(py.free_threaded, p->free_threaded);
	/* nothing is overridden */
	assert_ptr_equal(py.offsets, py_offsets_get(p->minor, p->free_threaded));
	assert_null(t->py_row);
	assert_int_equal(py.object == t->objects[0], p->in_program);
	assert_int_equal(py.runtime_addr != 0, p->minor != 6);
	assert_int_equal(py.tstate.hops, 0);
	assert_int_equal(py.tstate.off[0], 0);
	s = elf_image_symbol_at(py.object->image, py.code_dealloc_addr - py.object->bias);
	if (!p->debian) /* those are stripped */
		assert_string_equal(s->name, "code_dealloc");
}

static void each_interpreter_is_found_or_refused(void **state)
{
	for (size_t i = 0; i < python_count; i++) {
		pid_t pid = live_start(&pythons[i], NULL);
		struct target *t = NULL;

		print_message("%s %s\n", pythons[i].name, pythons[i].program);
		assert_int_equal(target_open(pid, &t), 0);
		assert_true(python_target_mapped(t));
		if (is_supported(&pythons[i]))
			check_found(t, &pythons[i]);
		else
			check_refused(t);
		target_free(t);
		child_stop(pid);
	}
	if (!python_count)
		skip();
}

/* What the interpreter itself says. */
static void said_version(const struct python *p, char out[32])
{
	const char *const args[] = {"-c", "import platform; print(platform.python_version())",
				    NULL};
	int fd;
	pid_t pid = python_start(p, args, NULL, NULL, &fd);
	FILE *f = fdopen(fd, "r");

	assert_true(pid > 0);
	assert_non_null(f);
	assert_non_null(fgets(out, 32, f));
	out[strcspn(out, "\n")] = '\0';
	fclose(f);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Down to the patch release: it is in the first line that people read. */
static void the_whole_version_is_known(void **state)
{
	size_t wrong = 0;

	for (size_t i = 0; i < python_count; i++) {
		char said[32];
		struct target *t = NULL;
		struct python_target py;

		if (!is_supported(&pythons[i]))
			continue;
		pid_t pid = live_start(&pythons[i], NULL);

		said_version(&pythons[i], said);
		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(python_target_find(t, &py), 0);
		if (strcmp(py.version, said) != 0) {
			print_error("%s: it says %s, we %s\n", pythons[i].name, said, py.version);
			wrong++;
		}
		target_free(t);
		child_stop(pid);
	}
	assert_int_equal(wrong, 0);
}

/*
 * Where PyGILState_GetThisThreadState() has it, by other means than decoding: a symbol in 3.6, the only
 * two instructions there are in an executable of 3.15; the row otherwise.
 */
static struct py_slot slot_by_other_means(const struct python_target *py)
{
	static const uint8_t load_fs[] = {0xf3, 0x0f, 0x1e, 0xfa,	 /* endbr64 */
					  0x64, 0x48, 0x8b, 0x04, 0x25}; /* mov %fs:disp32,%rax */
	const struct elf_image *img = py->object->image;
	struct py_slot slot = {.kind = PY_SLOT_NONE};

	if (py->minor == 6) {
		slot.kind = PY_SLOT_KEY;
		slot.vaddr = elf_image_symbol(img, "autoTLSkey")->vaddr;
	} else if (py->minor == 15) {
		uint64_t at = elf_image_symbol(img, "PyGILState_GetThisThreadState")->vaddr;
		const uint8_t *code = elf_image_bytes(img, at, 13);
		int32_t disp;

		assert_memory_equal(code, load_fs, sizeof(load_fs));
		memcpy(&disp, code + sizeof(load_fs), sizeof(disp));
		slot.kind = PY_SLOT_TLS;
		slot.off = disp;
	}
	return slot;
}

static void the_path_leads_to_the_thread_state(void **state)
{
	size_t done = 0;

	for (size_t i = 0; i < python_count; i++) {
		if (!is_supported(&pythons[i]))
			continue;
		pid_t pid = live_start(&pythons[i], NULL);
		struct target *t = NULL;
		struct python_target py;
		struct py_slot slot;

		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(python_target_find(t, &py), 0);
		slot = slot_by_other_means(&py);
		assert_int_equal(python_target_set_slot(t, &py, &slot), 0);
		assert_threads_are_reached(t, &py);
		target_free(t);
		child_stop(pid);
		done++;
	}
	if (!done)
		skip();
}

/* 3.15 has no place that a row could name: without the decoded one it is refused, not guessed. */
static void without_a_place_it_is_refused(void **state)
{
	const struct py_slot nowhere = {.kind = PY_SLOT_NONE};
	size_t done = 0;

	for (size_t i = 0; i < python_count; i++) {
		if (pythons[i].major != 3 || (pythons[i].minor != 6 && pythons[i].minor != 15))
			continue;
		pid_t pid = live_start(&pythons[i], NULL);
		struct target *t = NULL;
		struct python_target py;

		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(python_target_find(t, &py), 0);
		last_code[0] = '\0';
		assert_int_equal(python_target_set_slot(t, &py, &nowhere), -ENOTSUP);
		assert_string_equal(last_code, "E303");
		target_free(t);
		child_stop(pid);
		done++;
	}
	if (!done)
		skip();
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
	assert_false(python_target_mapped(t));
	assert_string_equal(last_code, "");
	target_free(t);
	child_stop(pid);
}

/* An interpreter that is stopped before its first instruction has mapped nothing but the loader's part. */
static void before_initialisation_is_said(void **state)
{
	const struct py_slot by_row = {.kind = PY_SLOT_NONE};
	const struct python *p = NULL;

	for (size_t i = 0; i < python_count && !p; i++)
		if (pythons[i].in_program && !*pythons[i].root && pythons[i].minor < 15)
			p = &pythons[i];
	if (!p)
		skip();
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execl(p->program, p->program, "-c", "0", (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid); /* stopped at exec */
	struct target *t = NULL;
	struct python_target py;

	last_code[0] = '\0';
	assert_int_equal(target_open(pid, &t), 0);
	assert_true(python_target_mapped(t));
	assert_int_equal(python_target_find(t, &py), 0);
	assert_int_equal(python_target_set_slot(t, &py, &by_row), -EAGAIN);
	assert_string_equal(last_code, ""); /* the caller knows what waiting means */
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
	python_count = pythons_find(pythons);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_interpreter_is_found_or_refused),
		cmocka_unit_test(the_whole_version_is_known),
		cmocka_unit_test(the_path_leads_to_the_thread_state),
		cmocka_unit_test(without_a_place_it_is_refused),
		cmocka_unit_test(a_program_without_python_is_no_error),
		cmocka_unit_test(before_initialisation_is_said),
		cmocka_unit_test(a_python_child_is_named_in_the_hint),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
