/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A C program that embeds CPython, of any version: it declares the few functions that it needs itself. Its
 * arguments are steps, WORD or WORD=ARGUMENT, done one after the other:
 *
 *	say=TEXT	a line on stdout
 *	wait		for a line on stdin; its end ends the program
 *	keys=N		make N pthread keys
 *	home=PATH	what the next interpreter finds in $PYTHONHOME
 *	load=PATH	dlopen a libpython, its symbols global; load-local=PATH: its symbols to nobody else
 *	use=N		the steps that follow speak to the N-th libpython that was loaded (1, 2, ...)
 *	init, finalize	Py_InitializeEx(0), Py_FinalizeEx()
 *	run=FILE	run it, in the interpreter that is current
 *	thread=FILE	the same in a thread that Python did not make
 *	sub, sub-own	a new interpreter, which becomes current; sub-own: with its own GIL and allocator, 3.12 on
 *	main		back to the first interpreter
 *	native=N	a thread that Python does not know holds N blocks
 *	hold=N		the main thread does
 *
 * With -DLINKED it calls the libpython that it is linked with; else the one it has loaded.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_BYTES 3000
#define LIBS_MAX   4

#define NOINLINE   __attribute__((noinline))

/* PyInterpreterConfig, Include/cpython/pylifecycle.h (Include/cpython/initconfig.h), v3.12 on */
struct interpreter_config {
	int use_main_obmalloc, allow_fork, allow_exec, allow_threads, allow_daemon_threads;
	int check_multi_interp_extensions, gil;
};
#define OWN_GIL 2

/* PyStatus, Include/cpython/initconfig.h */
struct status {
	int type;
	const char *func, *err_msg;
	int exitcode;
};

#ifdef LINKED
void Py_InitializeEx(int signals);
int Py_FinalizeEx(void);
int PyRun_SimpleString(const char *code);
int PyGILState_Ensure(void);
void PyGILState_Release(int state);
void *PyEval_SaveThread(void);
void PyEval_RestoreThread(void *tstate);
void *PyThreadState_Get(void);
void *PyThreadState_Swap(void *tstate);
void *Py_NewInterpreter(void);
#define PY(name, type) ((type)name)
/* Mentioned in a program that is no PIE, the type itself lies there: a copy relocation. */
extern char PyCode_Type[];
char *volatile mentioned;
#else
#define PY(name, type) ((type)need(#name))
#endif

static void *libs[LIBS_MAX], *lib;
static size_t lib_count;
static void *main_tstate;
/* volatile: else the compiler leaves out a malloc whose block nobody reads */
static void *volatile *kept;

static void fail(const char *what)
{
	fprintf(stderr, "host: %s: %s\n", what, dlerror());
	exit(1);
}

static __attribute__((unused)) void *need(const char *name)
{
	void *p = dlsym(lib ? lib : RTLD_DEFAULT, name);

	if (!p)
		fail(name);
	return p;
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0 || write(1, "\n", 1) < 0)
		exit(1);
}

static void wait_line(void)
{
	char c = 0;

	while (c != '\n') {
		if (read(0, &c, 1) <= 0)
			exit(0);
	}
}

/* The names of files are those of this system and of the code objects. */
static void run_file(const char *path)
{
	char code[1024];

	snprintf(
		code, sizeof(code),
		"import io\n"
		"exec(compile(io.open('%s', encoding='utf-8').read(), '%s', 'exec'), {'__name__': 'embedded'})\n",
		path, path);
	if (PY(PyRun_SimpleString, int (*)(const char *))(code))
		exit(3);
}

static void *python_thread(void *path)
{
	int state = PY(PyGILState_Ensure, int (*)(void))();

	run_file(path);
	PY(PyGILState_Release, void (*)(int))(state);
	return NULL;
}

NOINLINE void hold_native(size_t count)
{
	kept = malloc(count * sizeof(*kept));
	for (size_t i = 0; kept && i < count; i++)
		kept[i] = malloc(HELD_BYTES);
}

static void *native_thread(void *count)
{
	hold_native((size_t)count);
	return NULL;
}

/* Python, if there is one, goes on meanwhile. */
static void in_thread(void *(*function)(void *), void *arg, int python)
{
	void *saved = python ? PY(PyEval_SaveThread, void *(*)(void))() : NULL;
	pthread_t thread;

	if (pthread_create(&thread, NULL, function, arg) || pthread_join(thread, NULL))
		fail("thread");
	if (python)
		PY(PyEval_RestoreThread, void (*)(void *))(saved);
}

static void load(const char *path, int scope)
{
	lib = dlopen(path, RTLD_NOW | scope);
	if (!lib || lib_count == LIBS_MAX)
		fail(path);
	libs[lib_count++] = lib;
}

/* Only 3.12 on have this function: also a linked host asks for it by name. */
static void new_own_interpreter(void)
{
	const struct interpreter_config config = {
		.allow_threads = 1, .check_multi_interp_extensions = 1, .gil = OWN_GIL};
	struct status (*make)(void **, const struct interpreter_config *) =
		(struct status(*)(void **, const struct interpreter_config *))dlsym(
			lib ? lib : RTLD_DEFAULT, "Py_NewInterpreterFromConfig");
	void *tstate = NULL;

	if (!make || make(&tstate, &config).type || !tstate)
		fail("sub-own");
}

static void make_keys(int count)
{
	pthread_key_t key;

	while (count-- > 0) {
		if (pthread_key_create(&key, NULL))
			fail("keys");
	}
}

static void python_step(const char *word, const char *arg)
{
	if (!strcmp(word, "init")) {
		PY(Py_InitializeEx, void (*)(int))(0);
		main_tstate = PY(PyThreadState_Get, void *(*)(void))();
	} else if (!strcmp(word, "finalize")) {
		if (PY(Py_FinalizeEx, int (*)(void))())
			fail(word);
	} else if (!strcmp(word, "run")) {
		run_file(arg);
	} else if (!strcmp(word, "thread")) {
		in_thread(python_thread, strdup(arg), 1);
	} else if (!strcmp(word, "sub")) {
		if (!PY(Py_NewInterpreter, void *(*)(void))())
			fail(word);
	} else if (!strcmp(word, "sub-own")) {
		new_own_interpreter();
	} else if (!strcmp(word, "main")) {
		PY(PyThreadState_Swap, void *(*)(void *))(main_tstate);
	} else {
		fprintf(stderr, "host: unknown step %s\n", word);
		exit(2);
	}
}

static void step(char *word)
{
	char *arg = strchr(word, '=');

	if (arg)
		*arg++ = '\0';
	if (!strcmp(word, "say"))
		say(arg);
	else if (!strcmp(word, "wait"))
		wait_line();
	else if (!strcmp(word, "keys"))
		make_keys((int)strtol(arg, NULL, 10));
	else if (!strcmp(word, "home"))
		setenv("PYTHONHOME", arg, 1);
	else if (!strcmp(word, "load"))
		load(arg, RTLD_GLOBAL);
	else if (!strcmp(word, "load-local"))
		load(arg, RTLD_LOCAL);
	else if (!strcmp(word, "use"))
		lib = libs[strtoul(arg, NULL, 10) - 1];
	else if (!strcmp(word, "native"))
		in_thread(native_thread, (void *)strtoul(arg, NULL, 10), 0);
	else if (!strcmp(word, "hold"))
		hold_native(strtoul(arg, NULL, 10));
	else
		python_step(word, arg);
}

int main(int argc, char **argv)
{
#ifdef LINKED
	mentioned = PyCode_Type;
#endif
	for (int i = 1; i < argc; i++)
		step(argv[i]);
	return 0;
}
