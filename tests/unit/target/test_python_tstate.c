/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a decoded place to the path that BPF follows. The target is this process: what the place holds is put
 * there by hand, and what the path must find was stored with pthread_setspecific() or is a thread variable.
 */
#include "live_python.h"

#include <errno.h>
#include <link.h>
#include <pthread.h>

#include "base/cleanup.h"
#include "base/log.h"

#define KEYS_PER_BLOCK 32   /* glibc: the first ones are in struct pthread itself */
#define KEYS	       1024 /* PTHREAD_KEYS_MAX */
#define VALUE	       0x4711471147114711ull

static char last_code[8];

static void remember(void *ctx, enum log_level level, const char *code, const char *message,
		     const char *fix)
{
	snprintf(last_code, sizeof(last_code), "%s", code);
}

static struct target *self;
static struct python_target py;

/* A minor that no row has a place for: only the slot counts. */
static void expect_minor(unsigned minor)
{
	last_code[0] = '\0';
	py = (struct python_target){.object = self->objects[0],
				    .major = 3,
				    .minor = minor,
				    .version = "3.x",
				    .offsets = py_offsets_get(minor, false)};
}

static int set_up(void **state)
{
	log_set_sink(remember, NULL);
	assert_int_equal(target_open(getpid(), &self), 0);
	return target_object_open(self, self->objects[0]);
}

static int tear_down(void **state)
{
	target_free(self);
	return 0;
}

/* A place in our memory, as an address of the object. */
static struct py_slot slot_at(enum py_slot_kind kind, const void *p)
{
	return (struct py_slot){.kind = kind, .vaddr = (uintptr_t)p - py.object->bias};
}

static uint64_t our_thread_pointer(void)
{
	uint64_t tp;

	__asm__("mov %%fs:0, %0" : "=r"(tp)); /* tcbhead_t.tcb, the pointer to itself */
	return tp;
}

/* The path of `py` leads from our thread to VALUE. */
static void assert_leads_to_value(unsigned hops)
{
	assert_int_equal(py.tstate.hops, hops);
	assert_int_equal(path_follow(self, &py.tstate, our_thread_pointer()), VALUE);
}

static pthread_key_t keys[KEYS];
static size_t key_count;

static void make_keys(void)
{
	while (key_count < KEYS && pthread_key_create(&keys[key_count], NULL) == 0)
		key_count++;
	assert_true(key_count > 3 * KEYS_PER_BLOCK);
}

static void drop_keys(void)
{
	while (key_count)
		pthread_key_delete(keys[--key_count]);
}

/* As the interpreter does it: a key, and the thread's value. */
static void check_key(pthread_key_t key)
{
	struct {
		int is_initialized;
		pthread_key_t key;
	} tss = {1, key};
	struct py_slot slot;

	assert_int_equal(pthread_setspecific(key, (void *)(uintptr_t)VALUE), 0);
	expect_minor(15);
	slot = slot_at(PY_SLOT_TSS, &tss);
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(key >= KEYS_PER_BLOCK);
	expect_minor(6);
	slot = slot_at(PY_SLOT_KEY, &key);
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(key >= KEYS_PER_BLOCK);
	assert_int_equal(pthread_setspecific(key, NULL), 0);
}

static void every_key_there_is_leads_to_its_value(void **state)
{
	unsigned blocks = 0;

	make_keys();
	for (size_t i = 0; i < key_count; i++) {
		check_key(keys[i]);
		blocks |= 1u << keys[i] / KEYS_PER_BLOCK;
	}
	assert_int_equal(blocks & 3, 3); /* those in struct pthread and others */
	drop_keys();
}

/* A library may keep the structure behind a pointer in its offset table, with the key at some distance. */
static void a_place_behind_a_pointer_is_followed(void **state)
{
	struct {
		uint8_t before[600];
		int is_initialized;
		pthread_key_t key;
	} runtime = {.is_initialized = 1};
	void *got = &runtime;
	struct py_slot slot;

	assert_int_equal(pthread_key_create(&runtime.key, NULL), 0);
	assert_int_equal(pthread_setspecific(runtime.key, (void *)(uintptr_t)VALUE), 0);
	expect_minor(15);
	slot = slot_at(PY_SLOT_TSS, &got);
	slot.indirect = true;
	slot.off = 600;
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(0);
	slot = slot_at(PY_SLOT_TSS, &runtime);
	slot.off = 600;
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(0);
	got = (void *)8;
	slot = slot_at(PY_SLOT_TSS, &got);
	slot.indirect = true;
	assert_int_equal(python_target_set_slot(self, &py, &slot), -EFAULT);
	pthread_key_delete(runtime.key);
}

static void a_key_that_was_not_made_yet_is_waited_for(void **state)
{
	int plain = -1;
	int tss[2] = {0, 0};
	struct py_slot slot;

	expect_minor(6);
	slot = slot_at(PY_SLOT_KEY, &plain);
	assert_int_equal(python_target_set_slot(self, &py, &slot), -EAGAIN);
	expect_minor(15);
	slot = slot_at(PY_SLOT_TSS, tss);
	assert_int_equal(python_target_set_slot(self, &py, &slot), -EAGAIN);
	assert_string_equal(last_code, ""); /* the caller knows what waiting means */
	assert_int_equal(py.tstate.off[0], 0);
}

static void what_can_be_no_key_is_refused(void **state)
{
	static const struct {
		int tss[2];
		int err;
	} lies[] = {
		{{2, 0}, -EBADMSG},    {{-1, 0}, -EBADMSG}, {{1 << 24, 3}, -EBADMSG},
		{{1, KEYS}, -EBADMSG}, {{1, -1}, -EBADMSG}, {{1, 1 << 30}, -EBADMSG},
	};
	int plain[] = {KEYS, -2, INT32_MAX};
	struct py_slot slot;

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		expect_minor(15);
		slot = slot_at(PY_SLOT_TSS, lies[i].tss);
		assert_int_equal(python_target_set_slot(self, &py, &slot), lies[i].err);
		assert_string_equal(last_code, "E304");
	}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		expect_minor(6);
		slot = slot_at(PY_SLOT_KEY, &plain[i]);
		assert_int_equal(python_target_set_slot(self, &py, &slot), -EBADMSG);
		assert_string_equal(last_code, "E304");
	}
}

static void a_place_that_cannot_be_read_is_an_error(void **state)
{
	static const enum py_slot_kind kinds[] = {PY_SLOT_KEY, PY_SLOT_TSS, PY_SLOT_TLS_INDEX};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct py_slot slot;

		expect_minor(15);
		slot = slot_at(kinds[i], (void *)8);
		assert_int_equal(python_target_set_slot(self, &py, &slot), -EFAULT);
	}
}

/* ---- thread variables ---- */

static _Thread_local struct {
	uint64_t before[4]; /* so that it is not the first of its block */
	uint64_t variable;
} local = {.before = {1}};

static void a_distance_from_the_thread_pointer_is_the_path(void **state)
{
	struct py_slot slot = {.kind = PY_SLOT_TLS};

	expect_minor(15);
	local.variable = VALUE;
	slot.off = (int64_t)((uintptr_t)&local.variable - our_thread_pointer());
	assert_true(slot.off < 0); /* x86-64: below it */
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(0);
}

static int find_module(struct dl_phdr_info *info, size_t len, void *out)
{
	struct dl_phdr_info *found = out;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		const char *start = info->dlpi_tls_data;

		if (ph->p_type != PT_TLS || !start || (const char *)&local < start ||
		    (const char *)&local >= start + ph->p_memsz)
			continue;
		*found = *info;
		return 1;
	}
	return 0;
}

/* The module that the variable is in, and where in its block, as the linker puts it behind a lea. */
static void the_blocks_of_a_library_are_reached(void **state)
{
	struct dl_phdr_info module = {0};
	uint64_t index[2];
	struct py_slot slot;

	local.variable = VALUE;
	assert_int_equal(dl_iterate_phdr(find_module, &module), 1);
	index[0] = module.dlpi_tls_modid;
	index[1] = (uintptr_t)&local.variable - (uintptr_t)module.dlpi_tls_data;
	assert_true(index[1] > 0);
	expect_minor(15);
	slot = slot_at(PY_SLOT_TLS_INDEX, index);
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(2);
	/* Local dynamic: the block is asked for, the distance stands in the load. */
	slot.tls_disp = (int64_t)index[1];
	index[1] = 0;
	assert_int_equal(python_target_set_slot(self, &py, &slot), 0);
	assert_leads_to_value(2);
}

static void a_module_that_can_be_none_is_refused(void **state)
{
	static const uint64_t wrong[] = {0, 65537, UINT64_MAX, 1ull << 60};

	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		uint64_t index[2] = {wrong[i], 0};
		struct py_slot slot;

		expect_minor(15);
		slot = slot_at(PY_SLOT_TLS_INDEX, index);
		assert_int_equal(python_target_set_slot(self, &py, &slot), -ENOTSUP);
		assert_string_equal(last_code, "E303");
	}
}

/* ---- the row ---- */

/* Without a decoded place the row's serves, where it has one. */
static void the_row_serves_when_nothing_was_decoded(void **state)
{
	const struct py_slot nothing = {.kind = PY_SLOT_NONE};

	for (unsigned minor = 6; minor <= 15; minor++) {
		static uint8_t runtime[4096];
		unsigned place = py_offsets_get(minor, false)->runtime_tsskey;
		int tss[2] = {1, 5};

		expect_minor(minor);
		py.runtime_addr = (uintptr_t)runtime;
		if (place == PY_NONE) {
			assert_int_equal(python_target_set_slot(self, &py, &nothing), -ENOTSUP);
			assert_string_equal(last_code, "E303");
			continue;
		}
		memset(runtime, 0, sizeof(runtime));
		assert_int_equal(python_target_set_slot(self, &py, &nothing), -EAGAIN);
		memcpy(runtime + place, tss, sizeof(tss));
		assert_int_equal(python_target_set_slot(self, &py, &nothing), 0);
		assert_int_equal(py.tstate.hops, 0);
		py.runtime_addr = 0; /* no _PyRuntime, no place in it */
		assert_int_equal(python_target_set_slot(self, &py, &nothing), -ENOTSUP);
	}
}

/* Struct pthread of another C library is unknown to us. */
static void another_c_library_is_refused(void **state)
{
	int tss[2] = {1, 0};
	struct target bare = {.pid = getpid()}; /* maps no libc.so.6 */
	struct py_slot slot;

	expect_minor(15);
	slot = slot_at(PY_SLOT_TSS, tss);
	assert_int_equal(python_target_set_slot(&bare, &py, &slot), -ENOTSUP);
	assert_string_equal(last_code, "E303");
	expect_minor(15);
	uint64_t index[2] = {1, 0};

	slot = slot_at(PY_SLOT_TLS_INDEX, index);
	assert_int_equal(python_target_set_slot(&bare, &py, &slot), -ENOTSUP);
	assert_string_equal(last_code, "E303");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_there_is_leads_to_its_value),
		cmocka_unit_test(a_place_behind_a_pointer_is_followed),
		cmocka_unit_test(a_key_that_was_not_made_yet_is_waited_for),
		cmocka_unit_test(what_can_be_no_key_is_refused),
		cmocka_unit_test(a_place_that_cannot_be_read_is_an_error),
		cmocka_unit_test(a_distance_from_the_thread_pointer_is_the_path),
		cmocka_unit_test(the_blocks_of_a_library_are_reached),
		cmocka_unit_test(a_module_that_can_be_none_is_refused),
		cmocka_unit_test(the_row_serves_when_nothing_was_decoded),
		cmocka_unit_test(another_c_library_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
