/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "child.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "target/python_layout.h"

/* Tables of our own: this program is the interpreter, libc the other file. */

/* Only where an address lies is looked at. */
#define RAW	   ((uint64_t)(uintptr_t)raw_code)
#define OBJ	   (RAW + 0x10)
#define MEM	   (RAW + 0x20)
#define HOOK	   (RAW + 0x30)
#define OWN	   (RAW + 0x40) /* an allocator of the program that the interpreter is linked into */
#define OTHER	   ((uint64_t)(uintptr_t)getppid)
#define NOWHERE	   0x10
#define END	   0xfffffffffffffff8

#define ENTRY	   5 /* words */
#define DOMAIN	   6
#define DEBUG	   (3 * DOMAIN)
#define RUNTIME_AT 88  /* 704 bytes: 3.13 */
#define DATA_AT	   256 /* of the debug state, in .data */
#define DATA_WORDS 512

/* In .bss, where nothing is looked for; and in .data. */
static uint64_t runtime[1024], saved[256];
static uint64_t data[DATA_WORDS] = {1};

static void raw_code(void)
{
	__asm__ volatile(".nops 128");
}

static void put(uint64_t *at, uint64_t ctx, uint64_t code)
{
	at[0] = ctx;
	for (int i = 1; i < ENTRY; i++)
		at[i] = code + (uint64_t)i;
}

static uint64_t addr(const uint64_t *at)
{
	return (uint64_t)(uintptr_t)at;
}

static void put_debug(uint64_t *at, uint64_t raw, uint64_t mem, uint64_t obj)
{
	at[0] = 'r';
	put(at + 1, 0, raw);
	at[DOMAIN] = 'm';
	put(at + DOMAIN + 1, 0, mem);
	at[2 * DOMAIN] = 'o';
	put(at + 2 * DOMAIN + 1, 0, obj);
}

static uint64_t *const tables = runtime + RUNTIME_AT;
static uint64_t *const debug = runtime + RUNTIME_AT + 3 * ENTRY;

enum { T_RAW, T_MEM, T_OBJ };

static void set(int domain, uint64_t ctx, uint64_t code)
{
	put(tables + domain * ENTRY, ctx, code);
}

/* What an untouched interpreter has. */
static int fresh(void **state)
{
	memset(runtime, 0, sizeof(runtime));
	memset(saved, 0, sizeof(saved));
	memset(data, 0, sizeof(data));
	put_debug(debug, RAW, OBJ, OBJ);
	set(T_RAW, 0, RAW);
	set(T_MEM, 0, OBJ);
	set(T_OBJ, 0, OBJ);
	return 0;
}

/* Hooks in front of all three, each with an entry of its own at `slots` words of saved[]. */
static void hook_all(uint64_t code, size_t slots, size_t entry_at)
{
	for (int i = 0; i < 3; i++) {
		uint64_t *ctx = saved + (size_t)i * slots;

		memcpy(ctx + entry_at, tables + i * ENTRY, ENTRY * sizeof(uint64_t));
		set(i, addr(ctx), code);
	}
}

static void debug_hooks(void)
{
	for (int i = 0; i < 3; i++) {
		memcpy(debug + i * DOMAIN + 1, tables + i * ENTRY, ENTRY * sizeof(uint64_t));
		set(i, addr(debug + i * DOMAIN), HOOK);
	}
}

static struct py_hooks hooks;
static uint64_t domain_free[2];

/* What is said of a copy of this process as it is now. */
static enum py_allocator find(unsigned minor)
{
	pid_t pid = fork();
	struct target *t = NULL;

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	assert_int_equal(target_open(pid, &t), 0);
	assert_int_equal(target_object_open(t, t->objects[0]), 0);
	struct python_target py = {.object = t->objects[0],
				   .major = 3,
				   .minor = minor,
				   .offsets = py_offsets_get(minor, false)};

	py.runtime_addr = minor == 6 ? 0 : addr(runtime);
	memset(&py.hooks, 0x55, sizeof(py.hooks));
	enum py_allocator found = python_allocator_find(t, &py);

	hooks = py.hooks;
	memcpy(domain_free, py.domain_free, sizeof(domain_free));
	target_free(t);
	child_stop(pid);
	return found;
}

static void assert_hooks(unsigned debug_bytes, bool tracemalloc, bool other)
{
	assert_int_equal(hooks.debug_bytes, debug_bytes);
	assert_int_equal(hooks.tracemalloc, tracemalloc);
	assert_int_equal(strncmp(hooks.file, "lib", 3) == 0, other);
	assert_int_equal(*hooks.file != 0, other);
}

static void plain_tables(void **state)
{
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, false);
	assert_int_equal(find(12), PY_ALLOC_PYMALLOC);
	set(T_MEM, 0, RAW);
	set(T_OBJ, 0, RAW);
	assert_int_equal(find(13), PY_ALLOC_MALLOC);
	set(T_RAW, 0, OWN);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	set(T_RAW, 0, RAW);
	/* An interpreter without pymalloc. */
	put_debug(debug, RAW, RAW, RAW);
	assert_int_equal(find(13), PY_ALLOC_MALLOC);
}

static void mimalloc_has_functions_for_each_domain(void **state)
{
	set(T_MEM, 0, MEM);
	assert_int_equal(find(13), PY_ALLOC_BY_DOMAIN);
	assert_int_equal(domain_free[0], MEM + 4);
	assert_int_equal(domain_free[1], OBJ + 4);
	assert_int_equal(find(12), PY_ALLOC_UNKNOWN); /* there was none */
	/* 3.15: also for raw */
	set(T_RAW, 0, OWN);
	assert_int_equal(find(15), PY_ALLOC_BY_DOMAIN);
	tables[T_MEM * ENTRY + 4] = tables[T_OBJ * ENTRY + 4];
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	set(T_RAW, 0, RAW);
	set(T_MEM, 0, RAW);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
}

/* It may serve mem and obj alike, as pymalloc does, and lie in the same file. */
static void an_allocator_of_the_program_is_not_pymalloc(void **state)
{
	set(T_MEM, 0, OWN);
	set(T_OBJ, 0, OWN);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, false);
	set(T_RAW, 0, OWN);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
}

static void hooks_lead_to_what_they_replaced(void **state)
{
	debug_hooks();
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, false);
	hook_all(HOOK, ENTRY, 0); /* tracemalloc in front of them */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(24, true, false);
	fresh(state);
	hook_all(HOOK, ENTRY, 0);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, true, false);
	debug_hooks(); /* the other way round */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(24, true, false);
	fresh(state);
	set(T_MEM, 0, MEM);
	debug_hooks();
	assert_int_equal(find(13), PY_ALLOC_BY_DOMAIN);
	assert_int_equal(domain_free[1], OBJ + 4); /* behind the hooks */
	assert_hooks(24, false, false);
	fresh(state);
	set(T_MEM, 0, RAW);
	set(T_OBJ, 0, RAW);
	debug_hooks();
	assert_int_equal(find(13), PY_ALLOC_MALLOC);
	assert_hooks(24, false, false);
}

static void hooks_of_another_file_are_named(void **state)
{
	hook_all(OTHER, ENTRY, 0); /* memray's context is the entry */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, true);
	fresh(state);
	hook_all(OTHER, 7,
		 2); /* the entry is inside of it, and the next domain's begins behind it */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, true);
	debug_hooks(); /* these have the contexts now */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, true);
	fresh(state);
	hook_all(OTHER, 32, 7);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, true);
	fresh(state);
	debug_hooks();
	hook_all(OTHER, 32, 7);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, true);
	/* Only malloc is hooked, the rest is still the interpreter's. */
	fresh(state);
	hook_all(HOOK, ENTRY, 0);
	for (int i = 0; i < 3; i++)
		tables[i * ENTRY + 1] = OTHER;
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, true);
}

static void hooks_that_do_not_say_what_is_behind_them(void **state)
{
	/* no context */
	for (int i = 0; i < 3; i++)
		set(i, 0, OTHER);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, true);
	/* only one domain is known */
	fresh(state);
	set(T_OBJ, 0, OTHER);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, true);
	/* one context for all, so of which domain is the entry in it? */
	fresh(state);
	put(saved, 0, OBJ);
	for (int i = 0; i < 3; i++)
		set(i, addr(saved), OTHER);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, true);
	/* two entries in the context */
	fresh(state);
	hook_all(OTHER, 32, 9);
	put(saved + 2 * 32 + 3, 0, RAW);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	memcpy(saved + 2 * 32 + 3, saved + 2 * 32 + 9, ENTRY * sizeof(*saved)); /* the same twice */
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	/* a context without one */
	fresh(state);
	set(T_OBJ, addr(saved + 200), OTHER);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	/* raw alone does not matter for pymalloc, which the debug state proves */
	fresh(state);
	set(T_RAW, 0, OTHER);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, true);
}

static void code_without_a_name(void **state)
{
	char dir[] = "/tmp/tmbpf-alloc-XXXXXX", path[64];
	uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(code, MAP_FAILED);
	hook_all((uint64_t)(uintptr_t)code, ENTRY, 0);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_string_equal(hooks.file, "code without a file");
	assert_int_equal(munmap(code, 4096), 0);

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ho\x1b\nok.so", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0700);

	assert_int_equal(ftruncate(fd, 4096), 0);
	code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(code, MAP_FAILED);
	fresh(state);
	hook_all((uint64_t)(uintptr_t)code, ENTRY, 0);
	assert_int_equal(find(13), PY_ALLOC_PYMALLOC);
	assert_string_equal(hooks.file, "ho??ok.so");
	munmap(code, 4096);
	close(fd);
	unlink(path);
	rmdir(dir);
}

static void circles_end(void **state)
{
	const uint64_t codes[] = {HOOK, OTHER};

	for (int i = 0; i < 2; i++) {
		fresh(state);
		put(saved, addr(saved), codes[i]); /* itself */
		set(T_OBJ, addr(saved), codes[i]);
		assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
		put(saved, addr(saved + 50), codes[i]); /* two of them */
		put(saved + 50, addr(saved), codes[i]);
		assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	}
	/* the debug hooks in front of themselves */
	fresh(state);
	debug_hooks();
	debug_hooks();
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_int_equal(hooks.debug_bytes, 24);
}

static void long_ways_end(void **state)
{
	for (size_t hops = 7; hops <= 10; hops++) {
		fresh(state);
		for (size_t i = 1; i < hops; i++)
			put(saved + i * ENTRY, addr(saved + (i - 1) * ENTRY), HOOK);
		put(saved, 0, OBJ);
		set(T_OBJ, addr(saved + (hops - 1) * ENTRY), HOOK);
		assert_int_equal(find(13), hops <= 8 ? PY_ALLOC_PYMALLOC : PY_ALLOC_UNKNOWN);
	}
}

static void pointers_into_nowhere(void **state)
{
	uint8_t *page =
		mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const uint64_t last = (uint64_t)(uintptr_t)page + 4096 - 16;
	const uint64_t bad[] = {NOWHERE, END, 1ull << 63, last};
	const uint64_t codes[] = {HOOK, OTHER};

	assert_ptr_not_equal(page, MAP_FAILED);
	munmap(page + 4096, 4096);
	for (size_t i = 0; i < 4; i++) {
		for (int k = 0; k < 2; k++) {
			fresh(state);
			set(T_OBJ, bad[i], codes[k]);
			assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
			fresh(state);
			put(saved, bad[i], codes[k]); /* one hop further */
			set(T_OBJ, addr(saved), codes[k]);
			assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
		}
		fresh(state);
		set(T_OBJ, 0, bad[i]);
		assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	}
	fresh(state);
	set(T_OBJ, 0, addr(saved)); /* data, not code */
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, false);
	fresh(state);
	tables[T_OBJ * ENTRY + 3] = 0;
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	munmap(page, 4096);
}

static void tables_that_are_not_there(void **state)
{
	debug[0] = 'R';
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	/* a padded char has no other bits */
	debug[0] = 'r' | 0x100;
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	/* two of them */
	fresh(state);
	put_debug(runtime + 300, RAW, OBJ, OBJ);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	/* no room for the tables in front */
	fresh(state);
	memset(runtime, 0, sizeof(runtime));
	put_debug(runtime + 14, RAW, OBJ, OBJ);
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	memset(runtime, 0, sizeof(runtime));
	assert_int_equal(find(13), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, false);
}

/* ---- up to 3.11: static variables near the debug state ---- */

static uint64_t *const old_debug = data + DATA_AT;

static void old_tables(int first, int second, int raw)
{
	fresh(NULL);
	memset(debug, 0, DEBUG * sizeof(*debug));
	put_debug(old_debug, RAW, OBJ, OBJ);
	put(old_debug + first, 0, OBJ);
	put(old_debug + second, 0, OBJ);
	put(old_debug + raw, 0, RAW);
}

static void static_tables_of_every_compiler(void **state)
{
	old_tables(-24, -16, -8); /* gcc -O2 */
	assert_int_equal(find(6), PY_ALLOC_PYMALLOC);
	assert_int_equal(find(11), PY_ALLOC_PYMALLOC);
	assert_hooks(0, false, false);
	old_tables(-16, -8, 20); /* Debian's */
	assert_int_equal(find(11), PY_ALLOC_PYMALLOC);
	old_tables(DEBUG + 10, DEBUG + 5, DEBUG);
	assert_int_equal(find(9), PY_ALLOC_PYMALLOC);
	put(old_debug + DEBUG + 10, 0, RAW);
	assert_int_equal(find(9), PY_ALLOC_UNKNOWN);
	put(old_debug + DEBUG + 5, 0, RAW);
	assert_int_equal(find(9), PY_ALLOC_MALLOC);
	/* 3.12 does not look there */
	old_tables(-24, -16, -8);
	assert_int_equal(find(12), PY_ALLOC_UNKNOWN);
}

static void static_tables_with_hooks(void **state)
{
	old_tables(-24, -16, -8);
	put(old_debug - 24, addr(old_debug + 2 * DOMAIN), HOOK);
	put(old_debug - 16, addr(old_debug + DOMAIN), HOOK);
	put(old_debug - 8, addr(old_debug), HOOK);
	assert_int_equal(find(7), PY_ALLOC_PYMALLOC);
	assert_hooks(32, false, false);
	assert_int_equal(find(8), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, false);
	/* another file's in front of that */
	for (int i = 0; i < 3; i++) {
		memcpy(saved + i * ENTRY, old_debug - 24 + 8 * i, ENTRY * sizeof(uint64_t));
		put(old_debug - 24 + 8 * i, addr(saved + i * ENTRY), OTHER);
	}
	assert_int_equal(find(8), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, true);
	/* with the entries inside of their contexts */
	for (int i = 2; i >= 0; i--) {
		memmove(saved + 7 * i + 2, saved + i * ENTRY, ENTRY * sizeof(uint64_t));
		memset(saved + 7 * i, 0, 2 * sizeof(uint64_t));
		put(old_debug - 24 + 8 * i, addr(saved + 7 * i), OTHER);
	}
	assert_int_equal(find(8), PY_ALLOC_PYMALLOC);
	assert_hooks(24, false, true);
	put(old_debug - 24, 0, OTHER);
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	assert_hooks(24, false, true);
	/* raw cannot be followed */
	old_tables(-24, -16, -8);
	put(old_debug - 8, 0, OTHER);
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	assert_hooks(0, false, true);
	/* the debug hooks in front of what cannot be followed */
	old_tables(-24, -16, -8);
	put(old_debug + 2 * DOMAIN + 1, 0, OTHER);
	put(old_debug - 24, addr(old_debug + 2 * DOMAIN), HOOK);
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	assert_hooks(24, false, true);
	/* malloc behind the debug hooks: nothing else is left of pymalloc */
	old_tables(-24, -16, -8);
	put_debug(old_debug, RAW, RAW, RAW);
	for (int i = 0; i < 3; i++)
		put(old_debug - 24 + 8 * i, addr(old_debug + (2 - i) * DOMAIN), HOOK);
	assert_int_equal(find(8), PY_ALLOC_MALLOC);
	assert_hooks(24, false, false);
}

static void static_tables_in_doubt(void **state)
{
	old_tables(-24, -16, -8);
	put(old_debug + 60, 0, OWN); /* some other functions in a row */
	put(old_debug + 70, NOWHERE, OBJ);
	assert_int_equal(find(8), PY_ALLOC_PYMALLOC);
	put(old_debug + 60, 0, OBJ); /* a third one */
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	old_tables(-24, -200, -8); /* too far away */
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	old_tables(-24, -16, -8);
	memcpy(data + 16, old_debug, DEBUG * sizeof(*data)); /* two debug states */
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
	old_tables(-24, -16, -8);
	put(saved, 0, OBJ); /* one context for two domains */
	put(old_debug - 24, addr(saved), OTHER);
	put(old_debug - 16, addr(saved), OTHER);
	assert_int_equal(find(8), PY_ALLOC_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(plain_tables, fresh),
		cmocka_unit_test_setup(mimalloc_has_functions_for_each_domain, fresh),
		cmocka_unit_test_setup(an_allocator_of_the_program_is_not_pymalloc, fresh),
		cmocka_unit_test_setup(hooks_lead_to_what_they_replaced, fresh),
		cmocka_unit_test_setup(hooks_of_another_file_are_named, fresh),
		cmocka_unit_test_setup(hooks_that_do_not_say_what_is_behind_them, fresh),
		cmocka_unit_test_setup(code_without_a_name, fresh),
		cmocka_unit_test_setup(circles_end, fresh),
		cmocka_unit_test_setup(long_ways_end, fresh),
		cmocka_unit_test_setup(pointers_into_nowhere, fresh),
		cmocka_unit_test_setup(tables_that_are_not_there, fresh),
		cmocka_unit_test_setup(static_tables_of_every_compiler, fresh),
		cmocka_unit_test_setup(static_tables_with_hooks, fresh),
		cmocka_unit_test_setup(static_tables_in_doubt, fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
