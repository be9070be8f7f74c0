/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Return addresses of this very process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "symbolize/symbolize.h"

static struct target *self;
static struct intern *strings;

__attribute__((noinline)) static uint64_t where_am_i_called_from(void)
{
	return (uint64_t)(uintptr_t)__builtin_return_address(0);
}

__attribute__((noinline)) static uint64_t a_local_function(void)
{
	uint64_t addr = where_am_i_called_from();

	__asm__ volatile("" : "+r"(addr)); /* no tail call */
	return addr;
}

static const char *file_of(uint64_t addr)
{
	struct sym_frame f;

	native_resolve(self, strings, addr, &f);
	assert_int_equal(f.line, 0);
	return intern_get(strings, f.file);
}

static const char *function_of(uint64_t addr)
{
	struct sym_frame f;

	native_resolve(self, strings, addr, &f);
	return intern_get(strings, f.function);
}

static void own_function_is_named(void **state)
{
	uint64_t addr = a_local_function();

	assert_string_equal(file_of(addr), "test_native_symbols");
	assert_string_equal(function_of(addr), "a_local_function");
}

static void library_function_is_named(void **state)
{
	uint64_t addr = (uint64_t)(uintptr_t)strtoull + 1;

	assert_string_equal(file_of(addr), "libc.so.6");
	assert_non_null(strstr(function_of(addr), "strtou")); /* or an alias of the same address */
}

/* A call that does not return may be the last instruction: the address is the next function's. */
static void address_behind_a_function_belongs_to_it(void **state)
{
	struct target_object *obj = target_object_at(self, (uintptr_t)a_local_function);

	assert_non_null(obj);
	const struct elf_symbol *sym = elf_image_symbol(obj->image, "a_local_function");

	assert_non_null(sym);
	assert_true(sym->len > 0);
	uint64_t start = sym->vaddr + obj->bias;

	assert_string_equal(function_of(start + sym->len), "a_local_function");
	assert_string_equal(function_of(start + 1), "a_local_function");
	assert_string_not_equal(function_of(start), "a_local_function");
}

/* libc is stripped of its local functions: there are gaps between the names. */
static void code_without_symbol_is_an_offset(void **state)
{
	struct target_object *obj = target_object_at(self, (uintptr_t)strtoull);
	uint64_t vaddr = (uint64_t)(uintptr_t)strtoull - obj->bias;
	char want[32];

	assert_non_null(obj);
	for (size_t i = 0; i < 1 << 16 && elf_image_symbol_at(obj->image, vaddr); i++)
		vaddr += 16;
	snprintf(want, sizeof(want), "+0x%lx", (unsigned long)vaddr + 1);
	assert_string_equal(function_of(vaddr + 1 + obj->bias), want);
	assert_string_equal(file_of(vaddr + 1 + obj->bias), "libc.so.6");
}

static void what_is_no_object_is_unknown(void **state)
{
	const uint64_t nowhere[] = {0, 1, 2, 0x1000, 1ull << 47, 1ull << 63, UINT64_MAX};

	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++) {
		assert_string_equal(file_of(nowhere[i]), "[unknown]");
		assert_string_equal(function_of(nowhere[i]), "[unknown]");
	}
}

static void special_mapping_keeps_its_name(void **state)
{
	tm_for_each_mapping(m, &self->maps) {
		if (strcmp(m->path, "[stack]"))
			continue;
		assert_string_equal(file_of(m->start + 64), "[stack]");
		assert_string_equal(function_of(m->start + 64), "[unknown]");
		return;
	}
	skip();
}

static int open_self(void **state)
{
	strings = intern_new();
	return strings ? target_open(getpid(), &self) : -1;
}

static int close_self(void **state)
{
	target_free(self);
	intern_free(strings);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_function_is_named),
		cmocka_unit_test(library_function_is_named),
		cmocka_unit_test(address_behind_a_function_belongs_to_it),
		cmocka_unit_test(code_without_symbol_is_an_offset),
		cmocka_unit_test(what_is_no_object_is_unknown),
		cmocka_unit_test(special_mapping_keeps_its_name),
	};

	return cmocka_run_group_tests(tests, open_self, close_self);
}
