/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Python process with two threads that wait in wait_here(), and the way from a thread to its frames. */
#ifndef TM_TEST_TARGET_LIVE_PYTHON_H
#define TM_TEST_TARGET_LIVE_PYTHON_H

#include "child.h"

#include <glob.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#include "target/python_target.h"
#include "tests/unit/python_process.h"

static const char live_program[] = "import sys, time, threading\n"
				   "def wait_here():\n"
				   "    time.sleep(1000)\n"
				   "t = threading.Thread(target=wait_here)\n"
				   "t.daemon = True\n"
				   "t.start()\n"
				   "sys.stdout.write('x'); sys.stdout.flush()\n"
				   "wait_here()\n";

/* Returns: its pid, once it runs Python. */
static inline pid_t live_start(const struct python *p, char *const envp[])
{
	const char *const args[] = {"-c", live_program, NULL};
	int out;
	pid_t pid = python_start(p, args, envp, NULL, &out);
	struct pollfd ready = {.fd = out, .events = POLLIN};
	char c = 0;

	assert_true(pid > 0);
	assert_int_equal(poll(&ready, 1, 60000), 1);
	assert_int_equal(read(out, &c, 1), 1);
	close(out);
	return pid;
}

/* fs_base of a thread, which is stopped for the moment. */
static inline uint64_t thread_pointer(pid_t tid)
{
	struct user_regs_struct regs = {0};

	assert_int_equal(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
	assert_int_equal(waitpid(tid, NULL, __WALL), tid);
	assert_int_equal(ptrace(PTRACE_GETREGS, tid, 0, &regs), 0);
	assert_int_equal(ptrace(PTRACE_DETACH, tid, 0, 0), 0);
	return regs.fs_base;
}

/* What the path leads to, as bpf/stack_python.bpf.h follows it. */
static inline uint64_t path_follow(struct target *t, const struct py_tstate_path *path, uint64_t tp)
{
	uint64_t at = tp + (uint64_t)path->off[0];

	assert_true(path->hops <= 2);
	for (unsigned i = 0; i < path->hops; i++) {
		assert_int_equal(target_read_u64(t, at, &at), 0);
		at += (uint64_t)path->off[i + 1];
	}
	assert_int_equal(target_read_u64(t, at, &at), 0);
	return at;
}

/* Name of the innermost Python frame, "" while there is none; walked as the BPF program does it. */
static inline void innermost_name(struct target *t, const struct python_target *py, uint64_t tstate,
				  char out[32])
{
	const struct py_offsets *o = py->offsets;
	uint64_t frame = 0, code = 0, type = 0, name = 0;

	memset(out, 0, 32);
	assert_int_equal(target_read_u64(t, tstate + o->tstate_frame, &frame), 0);
	if (o->cframe_frame != PY_NONE)
		assert_int_equal(target_read_u64(t, frame + o->cframe_frame, &frame), 0);
	while (frame && !o->frame_objects) {
		uint8_t owner = 255;

		assert_int_equal(target_read(t, frame + o->frame_owner, &owner, 1), 0);
		if (owner < PY_OWNER_FIRST_NOT_PYTHON)
			break;
		assert_int_equal(target_read_u64(t, frame + o->frame_previous, &frame), 0);
	}
	if (!frame)
		return;
	assert_int_equal(target_read_u64(t, frame + o->frame_code, &code), 0);
	code &= ~(uint64_t)o->frame_code_mask;
	assert_int_equal(target_read_u64(t, code + o->obj_type, &type), 0);
	assert_int_equal(type, py->code_type_addr);
	assert_int_equal(target_read_u64(t, code + o->code_name, &name), 0);
	assert_int_equal(target_read(t, name + o->str_ascii_data, out, 16), 0);
}

/* tstate.thread_id, Include/cpython/pystate.h; glibc's pthread_self() is the thread pointer. */
static const uint16_t live_thread_id[] = {
	[6] = 152,  [7] = 176,	[8] = 176,  [9] = 176,	[10] = 176,
	[11] = 152, [12] = 136, [13] = 152, [14] = 152, [15] = 176};
#define LIVE_TSTATE_INTERP 16 /* the same section, all versions */

/* py.tstate leads from each of its two threads to the thread state of just that thread. */
static inline void assert_threads_are_reached(struct target *t, const struct python_target *py)
{
	char pattern[64], name[32] = "";
	glob_t tasks;

	snprintf(pattern, sizeof(pattern), "/proc/%d/task/*", t->pid);
	assert_int_equal(glob(pattern, 0, NULL, &tasks), 0);
	assert_int_equal(tasks.gl_pathc, 2);
	for (size_t k = 0; k < tasks.gl_pathc; k++) {
		pid_t tid = (pid_t)strtol(strrchr(tasks.gl_pathv[k], '/') + 1, NULL, 10);
		uint64_t tp = thread_pointer(tid), tstate = path_follow(t, &py->tstate, tp);
		uint64_t interp = 0, word = 0, thread_id = 0;

		assert_int_equal(target_read_u64(t, tstate + LIVE_TSTATE_INTERP, &interp), 0);
		assert_int_equal(target_read_u64(t, interp, &word), 0);
		assert_int_equal(target_read_u64(t, tstate + live_thread_id[py->minor], &thread_id),
				 0);
		assert_int_equal(thread_id, tp);
		/* It says that it runs a moment before it waits. */
		for (int i = 0; i < 500 && strcmp(name, "wait_here") != 0; i++) {
			usleep(i ? 10000 : 0);
			innermost_name(t, py, tstate, name);
		}
		assert_string_equal(name, "wait_here");
		name[0] = '\0';
	}
	globfree(&tasks);
}

#endif
