/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where PyGILState_GetThisThreadState() has the thread state: in the files of this machine, followed in living
 * processes, and in code written here, one shape a case.
 */
#include "tests/unit/target/live_python.h"

#include <errno.h>

#include "asm_code.h"
#include "base/cleanup.h"
#include "elf_fixture.h"
#include "sites/python_slot.h"

/* ---- the interpreters of this machine ---- */

static enum py_slot_kind kind_of(const struct python_target *py)
{
	if (py->minor == 6)
		return PY_SLOT_KEY;
	if (py->minor < 15)
		return PY_SLOT_TSS;
	return py->object->image->type == ET_EXEC ? PY_SLOT_TLS : PY_SLOT_TLS_INDEX;
}

/* The address in the process that a place stands for. */
static uint64_t address_of(struct target *t, const struct python_target *py,
			   const struct py_slot *slot)
{
	uint64_t addr = slot->vaddr + py->object->bias;

	if (slot->indirect)
		assert_int_equal(target_read_u64(t, addr, &addr), 0);
	return addr + (uint64_t)slot->off;
}

/* What symbols and rows say of the same place. */
static void check_place(struct target *t, const struct python_target *py,
			const struct py_slot *slot)
{
	const struct py_slot by_row = {.kind = PY_SLOT_NONE};
	struct python_target other = *py;

	assert_int_equal(slot->kind, kind_of(py));
	if (py->minor == 6) {
		assert_int_equal(address_of(t, py, slot),
				 elf_image_symbol(py->object->image, "autoTLSkey")->vaddr +
					 py->object->bias);
	} else if (py->offsets->runtime_tsskey != PY_NONE) {
		assert_int_equal(address_of(t, py, slot),
				 py->runtime_addr + py->offsets->runtime_tsskey);
		assert_int_equal(python_target_set_slot(t, &other, &by_row), 0);
		assert_int_equal(other.tstate.hops, py->tstate.hops);
		assert_memory_equal(other.tstate.off, py->tstate.off,
				    (py->tstate.hops + 1) * sizeof(other.tstate.off[0]));
	}
}

static void the_code_names_the_place_that_the_row_knows(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons), done = 0, failed = 0;

	for (size_t i = 0; i < n; i++) {
		if (pythons[i].major != 3)
			continue;
		pid_t pid = live_start(&pythons[i], NULL);
		struct target *t = NULL;
		struct python_target py;
		struct py_slot slot;

		assert_int_equal(target_open(pid, &t), 0);
		assert_int_equal(python_target_find(t, &py), 0);
		int err = python_slot_find(py.object->image, py.minor, &slot);

		if (err) {
			print_error("%s: not decoded, %d\n", pythons[i].name, err);
			failed++;
			target_free(t);
			child_stop(pid);
			continue;
		}
		print_message("%s: kind %d, 0x%lx%s%+ld\n", pythons[i].name, (int)slot.kind,
			      slot.vaddr, slot.indirect ? " behind a pointer " : " ", slot.off);
		assert_int_equal(python_target_set_slot(t, &py, &slot), 0);
		check_place(t, &py, &slot);
		assert_threads_are_reached(t, &py);
		target_free(t);
		child_stop(pid);
		done++;
	}
	assert_int_equal(failed, 0);
	if (!done)
		skip();
}

/* ---- code written here ---- */

/* Behind the code: where the offset table's entry and the key would be. */
#define DATA "\n.balign 8\n9: .quad 0, 0\n"
#define OUT  ".+0x100000\n" /* another function, not in what is decoded */

ASM_CODE(plain_key, "mov 9f(%rip),%edi\n jmp " OUT DATA);
/* pyenv 3.6.15 */
ASM_CODE(checked_key, "cmpq $0,0x1000(%rip)\n je 1f\n mov 9f(%rip),%edi\n jmp " OUT
		      "1: xor %eax,%eax\n ret\n" DATA);
/* pyenv 3.7.16 to 3.11.7 */
ASM_CODE(behind_got,
	 "mov 9f(%rip),%rax\n cmpq $0,0x5d8(%rax)\n je 1f\n lea 0x5e0(%rax),%rdi\n jmp " OUT
	 "1: xor %eax,%eax\n ret\n" DATA);
/* pyenv 3.12.1: asks twice, the first question has the same argument */
ASM_CODE(kept_in_rbx,
	 "mov 9f(%rip),%rax\n push %rbx\n lea 0x608(%rax),%rbx\n mov %rbx,%rdi\n call " OUT
	 "test %eax,%eax\n je 1f\n mov %rbx,%rdi\n pop %rbx\n jmp " OUT
	 "1: xor %eax,%eax\n pop %rbx\n ret\n" DATA);
ASM_CODE(got_and_add, "sub $8,%rsp\n mov 9f(%rip),%rdi\n add $0x608,%rdi\n call " OUT
		      "add $8,%rsp\n ret\n" DATA);
/* clang, without optimization by profile */
ASM_CODE(constant_plus_got,
	 "push %rbx\n mov $0x870,%ebx\n add 9f(%rip),%rbx\n mov %rbx,%rdi\n call " OUT
	 "test %eax,%eax\n je 1f\n mov %rbx,%rdi\n pop %rbx\n jmp " OUT
	 "1: xor %eax,%eax\n pop %rbx\n ret\n" DATA);
/* Debian 3.9 to 3.13: pthread_getspecific() with the key itself */
ASM_CODE(inlined_key, "endbr64\n cmpl $0,9f(%rip)\n je 1f\n mov 9f+4(%rip),%edi\n jmp " OUT
		      "1: xor %eax,%eax\n ret\n" DATA);
ASM_CODE(inlined_behind_got, "mov 9f(%rip),%rdx\n mov 0x254(%rdx),%edi\n jmp " OUT DATA);
ASM_CODE(lea_direct, "lea 9f(%rip),%rdi\n call " OUT "ret\n" DATA);
ASM_CODE(lea_in_two, "lea 9f-0x870(%rip),%rax\n add $0x870,%rax\n mov %rax,%rdi\n jmp " OUT DATA);
/* Debian 3.14 */
ASM_CODE(immediate, "endbr64\n cmpl $0,0x1000(%rip)\n je 1f\n mov $0xb950e0,%edi\n jmp " OUT
		    "1: xor %eax,%eax\n ret\n");
ASM_CODE(long_immediate, "movabs $0x7fff00001000,%rdi\n jmp " OUT);
ASM_CODE(another_way_round,
	 "jmp 2f\n ud2\n 2: lea 9f(%rip),%rdi\n jmp 3f\n ud2\n 3: jmp " OUT DATA);
/* Debian 3.15 */
ASM_CODE(tls_exec, "endbr64\n mov %fs:0xffffffffffffffd8,%rax\n ret\n");
ASM_CODE(tls_late,
	 "push %rbp\n mov %rsp,%rbp\n mov %fs:0xfffffffffffff000,%rax\n pop %rbp\n ret\n");
/* general dynamic, with the padding that the linker needs to relax it */
ASM_CODE(tls_gd, "sub $8,%rsp\n .byte 0x66\n lea 9f(%rip),%rdi\n .byte 0x66,0x66,0x48\n call " OUT
		 "mov (%rax),%rax\n add $8,%rsp\n ret\n" DATA);
ASM_CODE(tls_ld,
	 "push %rbx\n lea 9f(%rip),%rdi\n call " OUT "pop %rbx\n mov 0x18(%rax),%rax\n ret\n" DATA);
ASM_CODE(tls_ld_negative, "lea 9f(%rip),%rdi\n call " OUT "mov -0x8(%rax),%rax\n ret\n" DATA);

/* Shapes that say nothing, or something else. */
ASM_CODE(only_ret, "ret\n");
ASM_CODE(null_result, "xor %eax,%eax\n ret\n");
ASM_CODE(unknown_argument, "call " OUT "ret\n");
ASM_CODE(argument_passed_on, "mov %rsi,%rdi\n jmp " OUT);
ASM_CODE(through_register, "lea 9f(%rip),%rdi\n call *%rax\n ret\n" DATA);
ASM_CODE(through_memory, "lea 9f(%rip),%rdi\n jmp *0x1000(%rip)\n" DATA);
ASM_CODE(trap, "lea 9f(%rip),%rdi\n ud2\n call " OUT DATA);
ASM_CODE(endless, "1: nop\n jmp 1b\n");
ASM_CODE(clobbered, "lea 9f(%rip),%rdi\n pop %rdi\n call " OUT DATA);
ASM_CODE(indexed, "lea 9f(%rip),%rax\n mov (%rax,%rcx,8),%edi\n call " OUT DATA);
ASM_CODE(too_deep, "mov 9f(%rip),%rax\n mov 8(%rax),%rax\n mov 16(%rax),%rdi\n call " OUT DATA);
ASM_CODE(key_changed, "mov 9f(%rip),%edi\n add $1,%edi\n jmp " OUT DATA);
ASM_CODE(short_key, "movzwl 9f(%rip),%edi\n jmp " OUT DATA);
ASM_CODE(narrow_key, "mov 9f(%rip),%di\n jmp " OUT DATA);
ASM_CODE(pointer_in_structure, "mov 9f(%rip),%rax\n mov 8(%rax),%rdi\n jmp " OUT DATA);
ASM_CODE(exchanged, "lea 9f(%rip),%rdi\n xchg %rax,%rdi\n call " OUT DATA);
ASM_CODE(stepped_over, "lea 9f(%rip),%rdi\n stosq\n call " OUT DATA);
ASM_CODE(low_byte, "lea 9f(%rip),%rdi\n mov $0x10,%dil\n call " OUT DATA);
ASM_CODE(zero_immediate, "mov $0,%edi\n jmp " OUT);
/* initial exec: the distance is a word that only the linker of the process knows */
ASM_CODE(tls_initial_exec, "mov 9f(%rip),%rax\n mov %fs:(%rax),%rax\n ret\n" DATA);
/* as clang -O0 has it: the thread pointer first */
ASM_CODE(tls_from_pointer, "mov %fs:0,%rax\n mov -0x28(%rax),%rax\n ret\n");
/* -fstack-protector-all: above the thread pointer is glibc's, here its canary */
ASM_CODE(canary_first, "sub $0x18,%rsp\n mov %fs:0x28,%rax\n mov %rax,8(%rsp)\n xor %eax,%eax\n"
		       "mov %fs:0xffffffffffffffd8,%rax\n add $0x18,%rsp\n ret\n");
ASM_CODE(tls_narrow, "mov %fs:0xffffffffffffffd8,%eax\n ret\n");
ASM_CODE(tls_descriptor, "lea 9f(%rip),%rax\n call *(%rax)\n mov %fs:(%rax),%rax\n ret\n" DATA);

#define DATA_BYTES  16

#define TEXT_BEHIND 128 /* bytes of other functions */

/* Decodes it as 3.minor, with `behind` bytes of text behind it. */
static int find_before(const uint8_t *p, size_t len, size_t behind, unsigned minor,
		       struct py_slot *out)
{
	const struct fix_sym sym = {"PyGILState_GetThisThreadState", 0, len};
	uint8_t text[512];

	assert_true(len + behind <= sizeof(text));
	memcpy(text, p, len);
	memset(text + len, 0xcc, behind); /* int3, as linkers fill */
	struct elf_image *img = fix_open(text, len + behind, &sym, 1);

	assert_non_null(img);
	memset(out, 0xaa, sizeof(*out));
	int err = python_slot_find(img, minor, out);

	elf_image_free(img);
	return err;
}

static int find(const uint8_t *p, size_t len, unsigned minor, struct py_slot *out)
{
	return find_before(p, len, TEXT_BEHIND, minor, out);
}

static void expect(const char *name, const uint8_t *p, size_t len, unsigned minor,
		   struct py_slot want)
{
	struct py_slot got;

	if (find(p, len, minor, &got))
		fail_msg("%s as 3.%u is not found", name, minor);
	assert_int_equal(got.kind, want.kind);
	assert_int_equal(got.indirect, want.indirect);
	assert_int_equal(got.tls_disp, want.tls_disp);
	if (got.indirect || got.kind == PY_SLOT_TLS) { /* what each part is, matters */
		assert_int_equal(got.vaddr, want.vaddr);
		assert_int_equal(got.off, want.off);
	} else {
		assert_int_equal(got.vaddr + (uint64_t)got.off, want.vaddr + (uint64_t)want.off);
	}
}

/* The data behind the code of `name`. */
#define AT(name) fix_vaddr(ASM_LEN(name) - DATA_BYTES)
#define EXPECT(name, minor, ...) \
	expect(#name, name, ASM_LEN(name), minor, (struct py_slot){__VA_ARGS__})

static void a_plain_key_is_named(void **state)
{
	EXPECT(plain_key, 6, .kind = PY_SLOT_KEY, .vaddr = AT(plain_key));
	EXPECT(checked_key, 6, .kind = PY_SLOT_KEY, .vaddr = AT(checked_key));
}

static void a_structure_behind_the_offset_table_is_named(void **state)
{
	for (unsigned minor = 7; minor <= 14; minor++) {
		EXPECT(behind_got, minor, .kind = PY_SLOT_TSS, .indirect = true,
		       .vaddr = AT(behind_got), .off = 0x5e0);
		EXPECT(kept_in_rbx, minor, .kind = PY_SLOT_TSS, .indirect = true,
		       .vaddr = AT(kept_in_rbx), .off = 0x608);
		EXPECT(got_and_add, minor, .kind = PY_SLOT_TSS, .indirect = true,
		       .vaddr = AT(got_and_add), .off = 0x608);
	}
}

static void a_constant_to_which_the_address_is_added_is_the_same(void **state)
{
	EXPECT(constant_plus_got, 13, .kind = PY_SLOT_TSS, .indirect = true,
	       .vaddr = AT(constant_plus_got), .off = 0x870);
}

static void an_inlined_key_stands_behind_its_flag(void **state)
{
	EXPECT(inlined_key, 13, .kind = PY_SLOT_TSS, .vaddr = AT(inlined_key));
	EXPECT(inlined_behind_got, 11, .kind = PY_SLOT_TSS, .indirect = true,
	       .vaddr = AT(inlined_behind_got), .off = 0x250);
}

static void an_address_is_named_however_it_is_made(void **state)
{
	EXPECT(lea_direct, 9, .kind = PY_SLOT_TSS, .vaddr = AT(lea_direct));
	EXPECT(lea_in_two, 9, .kind = PY_SLOT_TSS, .vaddr = AT(lea_in_two));
	EXPECT(immediate, 14, .kind = PY_SLOT_TSS, .vaddr = 0xb950e0);
	EXPECT(long_immediate, 14, .kind = PY_SLOT_TSS, .vaddr = 0x7fff00001000);
	EXPECT(another_way_round, 14, .kind = PY_SLOT_TSS, .vaddr = AT(another_way_round));
}

static void a_thread_variable_of_an_executable_is_a_distance(void **state)
{
	EXPECT(tls_exec, 15, .kind = PY_SLOT_TLS, .off = -0x28);
	EXPECT(tls_late, 15, .kind = PY_SLOT_TLS, .off = -0x1000);
}

static void a_thread_variable_of_a_library_is_an_index(void **state)
{
	EXPECT(tls_gd, 15, .kind = PY_SLOT_TLS_INDEX, .vaddr = AT(tls_gd));
	EXPECT(tls_ld, 15, .kind = PY_SLOT_TLS_INDEX, .vaddr = AT(tls_ld), .tls_disp = 0x18);
	EXPECT(tls_ld_negative, 15, .kind = PY_SLOT_TLS_INDEX, .vaddr = AT(tls_ld_negative),
	       .tls_disp = -8);
}

#define REFUSE(name, minor)                                                             \
	do {                                                                            \
		struct py_slot slot_;                                                   \
		if (find(name, ASM_LEN(name), minor, &slot_) != -ENOENT)                \
			fail_msg("%s as 3.%u gives kind %d at 0x%lx%+ld", #name, minor, \
				 (int)slot_.kind, slot_.vaddr, slot_.off);              \
	} while (0)

static void other_code_names_nothing(void **state)
{
	for (unsigned minor = 6; minor <= 15; minor++) {
		REFUSE(only_ret, minor);
		REFUSE(null_result, minor);
		REFUSE(unknown_argument, minor);
		REFUSE(argument_passed_on, minor);
		REFUSE(through_register, minor);
		REFUSE(through_memory, minor);
		REFUSE(trap, minor);
		REFUSE(endless, minor);
		REFUSE(clobbered, minor);
		REFUSE(indexed, minor);
		REFUSE(too_deep, minor);
		REFUSE(key_changed, minor);
		REFUSE(short_key, minor);
		REFUSE(narrow_key, minor);
		REFUSE(pointer_in_structure, minor);
		REFUSE(exchanged, minor);
		REFUSE(stepped_over, minor);
		REFUSE(zero_immediate, minor);
		REFUSE(tls_initial_exec, minor);
		REFUSE(tls_descriptor, minor);
		REFUSE(tls_narrow, minor);
	}
}

static void a_register_that_is_written_in_part_names_nothing(void **state)
{
	for (unsigned minor = 6; minor <= 15; minor++)
		REFUSE(low_byte, minor);
}

/* What one version does means nothing in another. */
static void the_shapes_of_other_versions_are_refused(void **state)
{
	REFUSE(lea_direct, 6); /* its key is an int, and passed as one */
	REFUSE(behind_got, 6);
	REFUSE(plain_key, 15); /* no key any more */
	REFUSE(behind_got, 15);
	REFUSE(inlined_key, 15);
	REFUSE(tls_exec, 6);
	REFUSE(tls_exec, 14);
}

/* Words at and above the thread pointer are glibc's; a thread variable lies below (System V, variant II). */
static void what_is_not_below_the_thread_pointer_is_no_variable(void **state)
{
	struct py_slot slot;

	/* Understood or not, but not taken for the thread pointer itself. */
	if (find(tls_from_pointer, ASM_LEN(tls_from_pointer), 15, &slot) == 0)
		assert_int_equal(slot.off, -0x28);
	EXPECT(canary_first, 15, .kind = PY_SLOT_TLS, .off = -0x28);
}

/* It may be the last function of the text. */
static void code_at_the_end_is_read_to_its_last_byte(void **state)
{
	struct py_slot slot;

	for (size_t behind = 0; behind < TEXT_BEHIND; behind++) {
		assert_int_equal(find_before(tls_exec, ASM_LEN(tls_exec), behind, 15, &slot), 0);
		assert_int_equal(slot.off, -0x28);
		assert_int_equal(find_before(behind_got, ASM_LEN(behind_got), behind, 9, &slot), 0);
		assert_int_equal(slot.off, 0x5e0);
	}
}

static void code_that_is_cut_off_gives_the_same_or_nothing(void **state)
{
	for (size_t len = 1; len < ASM_LEN(behind_got) - DATA_BYTES; len++) {
		struct py_slot slot;
		int err = find_before(behind_got, len, 0, 9, &slot);

		if (err && err != -ENOENT)
			fail_msg("%zu bytes: %d", len, err);
		if (!err)
			assert_int_equal(slot.off, 0x5e0);
	}
}

static void without_the_function_there_is_no_place(void **state)
{
	const struct fix_sym other = {"PyGILState_Ensure", 0, 8};
	struct elf_image *img = fix_open(plain_key, ASM_LEN(plain_key), &other, 1);
	struct py_slot slot;

	assert_int_equal(python_slot_find(img, 9, &slot), -ENOENT);
	elf_image_free(img);
	/* It is said to be behind the end of the file. */
	const struct fix_sym far = {"PyGILState_GetThisThreadState", 1 << 20, 8};

	img = fix_open(plain_key, ASM_LEN(plain_key), &far, 1);
	assert_int_equal(python_slot_find(img, 9, &slot), -ENOENT);
	elf_image_free(img);
}

/* Any bytes: an answer of the right kind, or none. */
static void junk_gives_a_place_or_none(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;

	for (int i = 0; i < 20000; i++) {
		uint8_t bytes[128];
		struct py_slot slot;
		unsigned minor = 6 + (unsigned)i % 10;

		for (size_t k = 0; k < sizeof(bytes); k++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			bytes[k] = (uint8_t)(seed >> 56);
		}
		if (i % 2) /* most of a real one, a few bytes wrong */
			memcpy(bytes, kept_in_rbx, 40 + (size_t)i % 8);
		bytes[seed % sizeof(bytes)] ^= (uint8_t)(seed >> 40);
		int err = find(bytes, sizeof(bytes), minor, &slot);

		if (err) {
			assert_true(err == -ENOENT || err == -EBADMSG);
			continue;
		}
		assert_true(slot.kind == (minor == 6   ? PY_SLOT_KEY
					  : minor < 15 ? PY_SLOT_TSS
					  : slot.vaddr ? PY_SLOT_TLS_INDEX
						       : PY_SLOT_TLS));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_code_names_the_place_that_the_row_knows),
		cmocka_unit_test(a_plain_key_is_named),
		cmocka_unit_test(a_structure_behind_the_offset_table_is_named),
		cmocka_unit_test(a_constant_to_which_the_address_is_added_is_the_same),
		cmocka_unit_test(an_inlined_key_stands_behind_its_flag),
		cmocka_unit_test(an_address_is_named_however_it_is_made),
		cmocka_unit_test(a_thread_variable_of_an_executable_is_a_distance),
		cmocka_unit_test(a_thread_variable_of_a_library_is_an_index),
		cmocka_unit_test(other_code_names_nothing),
		cmocka_unit_test(a_register_that_is_written_in_part_names_nothing),
		cmocka_unit_test(the_shapes_of_other_versions_are_refused),
		cmocka_unit_test(what_is_not_below_the_thread_pointer_is_no_variable),
		cmocka_unit_test(code_at_the_end_is_read_to_its_last_byte),
		cmocka_unit_test(code_that_is_cut_off_gives_the_same_or_nothing),
		cmocka_unit_test(without_the_function_there_is_no_place),
		cmocka_unit_test(junk_gives_a_place_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
