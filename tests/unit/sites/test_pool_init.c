/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where an allocator sets up a pool itself (CPython up to 3.8, and where its refill function is inlined): in real
 * libraries, checked by reading the code again, and in code written here.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "asm_code.h"
#include "base/cleanup.h"
#include "elf_fixture.h"
#include "sites/pool_init.h"
#include "tests/unit/pythons.h"

#define RBX	    3
#define R15	    15
#define POOL_REF    0 /* struct pool_header, Objects/obmalloc.c, v3.8 */
#define POOL_SZIDX  36
#define POOL_NEXT   40
#define POOL_MAXOFF 44
#define POOL_FIRST  48 /* where its first block is */

/* ---- real libraries ---- */

static const struct {
	const char *build_id; /* of the builds that were read by hand */
	uint64_t sites[2];
	uint8_t pool, size;
} read_by_hand[] = {
	{"6d853d1016a951ac13d69174b9a33ac9639c3a22", {0xc4f6c, 0xc511a}, REG_RAX, R15}, /* 3.6.15 */
	{"edcca1179f608e68bf531649c8046e6c3508c5f9", {0xd4dc3, 0xd4f9d}, REG_RAX, RBX}, /* 3.7.16 */
	{"ff2a4988bea9e9bbbb8004eb6e74cc0792734c3b", {0xe1d62, 0xe1fa2}, REG_RDX, RBX}, /* 3.8.18 */
};

static bool stores_to(const struct insn *in, uint8_t base, int32_t disp)
{
	return in->op == OP_MOV && in->dst == OPERAND_MEM && in->width == 4 &&
	       insn_mem_is(in, base, disp);
}

/* pool->szidx = size */
static bool sets_szidx(const struct insn *in, uint8_t pool, uint8_t size)
{
	return stores_to(in, pool, POOL_SZIDX) && in->src == OPERAND_REG && in->src_reg == size;
}

/* The straight line of code before idx holds it, at most `span` instructions back. */
static bool is_before(const struct code *c, size_t idx, unsigned span,
		      bool (*is)(const struct insn *in, const struct site *s), const struct site *s)
{
	while (span-- && idx-- > 0)
		if (is(&c->insns[idx], s))
			return true;
	return false;
}

/* pool->ref.count = 1 */
static bool counts_one(const struct insn *in, const struct site *s)
{
	return stores_to(in, s->reg, POOL_REF) && in->src == OPERAND_IMM && in->imm == 1;
}

static bool compares_size(const struct insn *in, const struct site *s)
{
	return in->op == OP_CMP && (in->dst_reg == s->reg2 || in->src_reg == s->reg2);
}

/* What the source says of the place: counted once, then not of this size, then this size is set. */
static void check_site(const struct code *c, const struct site *s, bool *seen_store)
{
	size_t idx = decode_find(c, s->vaddr), store;
	const struct insn *in = &c->insns[idx];

	assert_true(idx != CODE_NONE);
	assert_true(s->init && !s->after_pop);
	assert_int_equal(s->evidence, 2);
	assert_true(in->flags & INSN_EMULATED);
	if (in->op == OP_JCC) {
		assert_true(in->cc == CC_E || in->cc == CC_NE);
		assert_true(compares_size(&c->insns[idx - 1], s));
		store = in->cc == CC_E ? decode_next(c, idx) : decode_target(c, idx);
	} else {
		assert_int_equal(in->op, OP_JMP);
		store = decode_target(c, idx);
	}
	assert_true(store != CODE_NONE);
	assert_true(sets_szidx(&c->insns[store], s->reg, s->reg2));
	assert_true(is_before(c, idx, 6, counts_one, s));
	seen_store[store] = true;
}

/* Other structures have fields at these places, too. */
static bool is_allocator(const struct elf_image *img, uint64_t vaddr)
{
	const struct elf_symbol *f = elf_image_symbol_at(img, vaddr);

	return f && strstr(f->name, "lloc"); /* Malloc, Realloc, pymalloc_alloc */
}

/* Every store of szidx from a register with those of both offsets and the first block's address close behind it. */
static size_t count_set_ups(const struct elf_image *img, const struct code *c, bool *seen_store)
{
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++) {
		const struct insn *in = &c->insns[i];
		bool next = false, max = false, first = false;

		if (in->base > 15 || in->base == REG_RSP || !sets_szidx(in, in->base, in->src_reg))
			continue;
		for (size_t k = i + 1; k < i + 24 && k < c->count; k++) {
			next |= stores_to(&c->insns[k], in->base, POOL_NEXT);
			max |= stores_to(&c->insns[k], in->base, POOL_MAXOFF);
			first |= c->insns[k].op == OP_LEA &&
				 insn_mem_is(&c->insns[k], in->base, POOL_FIRST);
		}
		if (next && max && first && is_allocator(img, insn_vaddr(c, i))) {
			assert_true(seen_store[i]);
			n++;
		}
	}
	return n;
}

static void check_library(const struct python *p)
{
	struct elf_image *img = NULL;
	struct site_list l = {0};
	struct code c;
	size_t uncovered = 77;

	assert_int_equal(elf_image_open(p->file, &img), 0);
	assert_int_equal(decode_image(img, &c), 0);
	bool *seen_store = calloc(c.count, 1);

	assert_non_null(seen_store);
	assert_int_equal(pool_inits_find(&c, &l, &uncovered), 0);
	print_message("%s: %zu ways\n", p->name, l.count);
	assert_int_equal(uncovered, 0);
	for (size_t i = 0; i < l.count; i++) {
		assert_true(!i || l.v[i].vaddr > l.v[i - 1].vaddr);
		check_site(&c, &l.v[i], seen_store);
	}
	assert_true(count_set_ups(img, &c, seen_store) >= 1);
	for (size_t k = 0; k < ARRAY_LEN(read_by_hand); k++) {
		if (strcmp(read_by_hand[k].build_id, img->build_id_hex) != 0)
			continue;
		assert_int_equal(l.count, 2);
		for (size_t i = 0; i < 2; i++) {
			assert_int_equal(l.v[i].vaddr, read_by_hand[k].sites[i]);
			assert_int_equal(l.v[i].reg, read_by_hand[k].pool);
			assert_int_equal(l.v[i].reg2, read_by_hand[k].size);
		}
	}
	free(seen_store);
	site_list_release(&l);
	decode_release(&c);
	elf_image_free(img);
}

static void each_way_in_a_real_library_is_a_jump_before_the_store(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons), done = 0;

	for (size_t i = 0; i < n; i++) {
		/* clang inlines the function that later versions have for it */
		if (pythons[i].major != 3 ||
		    (pythons[i].minor > 8 && strcmp(pythons[i].name, "clang-3.13") != 0))
			continue;
		check_library(&pythons[i]);
		done++;
	}
	if (!done)
		skip();
}

/* ---- code written here ---- */

/* szidx and both offsets, as gcc writes them; P, S are the registers of pool and size, T of something. */
#define SET_UP(P, S, T)             \
	"mov %" S ",0x24(%" P ")\n" \
	"add $1,%" S "\n"           \
	"lea 0x30(%" P "),%" T "\n" \
	"mov %" S ",0x28(%" P ")\n" \
	"mov %" T ",0x8(%" P ")\n"  \
	"mov %ecx,0x2c(%" P ")\n"

/* pyenv 3.8.18: one way through the comparison, one from a pool that was just carved off */
ASM_CODE(two_ways, "movl $1,(%rdx)\n cmp %ecx,%ebx\n je 2f\n"
		   "1:" SET_UP("rdx", "ebx", "rsi") "ret\n"
						    "2: mov 0x8(%rdx),%rsi\n ret\n"
						    "movl $1,(%rdx)\n jmp 1b\n");
/* the store stands away from the comparison */
ASM_CODE(taken_edge, "cmp 0x24(%rax),%r15d\n jne 1f\n mov 0x8(%rax),%rcx\n ret\n"
		     "1:" SET_UP("rax", "r15d", "rsi") "ret\n");
/* the rest is stored behind a jump, in another order */
ASM_CODE(far_offsets, "cmp %ecx,%ebx\n je 2f\n mov %ebx,0x24(%rdi)\n jmp 1f\n 2: ret\n"
		      "1: mov %rax,0x8(%rdi)\n mov %edx,0x2c(%rdi)\n mov %edx,0x28(%rdi)\n"
		      "lea 0x30(%rdi),%rax\n ret\n");
/* pool copied behind the jump: at the jump it is in the first register */
ASM_CODE(copied,
	 "cmp %ecx,%ebx\n je 2f\n mov %r12,%rdx\n" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");
/* several instructions between, none of which touches either */
ASM_CODE(some_between, "cmp %ecx,%ebx\n je 2f\n mov %rsi,%rdi\n add $8,%rsi\n mov %rdi,(%r8)\n"
		       "lea 4(%rsi),%r9\n" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");

/* Ways that have no jump to probe. */
ASM_CODE(call_before,
	 "cmp %ecx,%ebx\n je 2f\n call 2f\n" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");
ASM_CODE(size_made_late,
	 "cmp %ecx,%ebp\n je 2f\n mov %ebp,%ebx\n shr $4,%ebx\n" SET_UP("rdx", "ebx",
									"rsi") "ret\n 2: ret\n");
ASM_CODE(pool_made_late,
	 "cmp %ecx,%ebx\n je 2f\n mov 0x18(%r12),%rdx\n" SET_UP("rdx", "ebx",
								"rsi") "ret\n 2: ret\n");
ASM_CODE(hinted_jump,
	 "cmp %ecx,%ebx\n .byte 0x3e\n je 2f\n" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");
/* one way has a jump, the other comes out of a call */
ASM_CODE(one_of_two, "test %rax,%rax\n jne 1f\n call 2f\n"
		     "1:" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");
/* a function of its own, entered from the top */
ASM_CODE(entered, "ret\n .balign 16\n" SET_UP("rdi", "esi", "rax") "ret\n");
/* the jump is too far away to be looked for */
ASM_CODE(jump_far_away,
	 "cmp %ecx,%ebx\n je 2f\n"
	 ".rept 20\n mov %rsi,(%r8)\n .endr\n" SET_UP("rdx", "ebx", "rsi") "ret\n 2: ret\n");

/* Look-alikes: each lacks one thing, or has it elsewhere. */
#define LOOK_ALIKE(name, szidx, next, max, free, first)                                        \
	ASM_CODE(name, "cmp %ecx,%ebx\n je 2f\n" szidx "\n" next "\n" max "\n" free "\n" first \
		       "\n2: ret\n")
#define SZIDX "mov %ebx,0x24(%rdx)"
#define NEXT  "mov %ebx,0x28(%rdx)"
#define MAX   "mov %ecx,0x2c(%rdx)"
#define FREE  "mov %rsi,0x8(%rdx)"
#define FIRST "lea 0x30(%rdx),%rsi"

LOOK_ALIKE(none_missing, SZIDX, NEXT, MAX, FREE, FIRST);
LOOK_ALIKE(dummy_size, "movl $0xffff,0x24(%rdx)", NEXT, MAX, FREE, FIRST);
LOOK_ALIKE(no_max, SZIDX, NEXT, "", FREE, FIRST);
LOOK_ALIKE(no_next, SZIDX, "", MAX, FREE, FIRST);
LOOK_ALIKE(no_freeblock, SZIDX, NEXT, MAX, "", FIRST);
LOOK_ALIKE(no_first_block, SZIDX, NEXT, MAX, FREE, "lea 0x38(%rdx),%rsi");
LOOK_ALIKE(other_pool, SZIDX, "mov %ebx,0x28(%rdi)", "mov %ebx,0x2c(%rdi)", FREE, FIRST);
LOOK_ALIKE(pool_changed, SZIDX "\n mov 8(%rdx),%rdx", NEXT, MAX, FREE, FIRST);
LOOK_ALIKE(wide_store, "mov %rbx,0x24(%rdx)", NEXT, MAX, FREE, FIRST);
LOOK_ALIKE(wide_next, SZIDX, "mov %rbx,0x28(%rdx)", MAX, FREE, FIRST);
LOOK_ALIKE(narrow_freeblock, SZIDX, NEXT, MAX, "mov %esi,0x8(%rdx)", FIRST);
LOOK_ALIKE(with_index, "mov %ebx,0x24(%rdx,%rsi,4)", NEXT, MAX, FREE, FIRST);
LOOK_ALIKE(behind_a_call, SZIDX "\n call 2f", NEXT, MAX, FREE, FIRST);
ASM_CODE(on_stack, "je 2f\n mov %ebx,0x24(%rsp)\n mov %ebx,0x28(%rsp)\n mov %ebx,0x2c(%rsp)\n"
		   "mov %rsi,0x8(%rsp)\n lea 0x30(%rsp),%rsi\n 2: ret\n");

static struct code find(const uint8_t *p, size_t len, struct site_list *l, size_t *uncovered)
{
	struct code c;

	*l = (struct site_list){0};
	*uncovered = 77;
	assert_int_equal(decode_bytes(p, len, 0x1000, &c), 0);
	assert_int_equal(pool_inits_find(&c, l, uncovered), 0);
	return c;
}

static void expect(const char *name, const uint8_t *p, size_t len, uint8_t pool, uint8_t size,
		   size_t sites, size_t uncovered)
{
	struct site_list l;
	size_t left;
	struct code c = find(p, len, &l, &left);

	if (l.count != sites || left != uncovered)
		fail_msg("%s: %zu sites, expected %zu; %zu uncovered, expected %zu", name, l.count,
			 sites, left, uncovered);
	for (size_t i = 0; i < l.count; i++) {
		const struct insn *in = &c.insns[decode_find(&c, l.v[i].vaddr)];

		assert_int_equal(l.v[i].reg, pool);
		assert_int_equal(l.v[i].reg2, size);
		assert_true(l.v[i].init);
		assert_true(in->op == OP_JCC || in->op == OP_JMP);
		assert_true(!i || l.v[i].vaddr > l.v[i - 1].vaddr);
	}
	site_list_release(&l);
	decode_release(&c);
}

#define EXPECT(name, pool, size, sites, uncovered) \
	expect(#name, name, ASM_LEN(name), pool, size, sites, uncovered)

static void every_shape_gives_its_jumps(void **state)
{
	EXPECT(two_ways, REG_RDX, RBX, 2, 0);
	EXPECT(taken_edge, REG_RAX, R15, 1, 0);
	EXPECT(far_offsets, REG_RDI, RBX, 1, 0);
	EXPECT(copied, 12, RBX, 1, 0);
	EXPECT(some_between, REG_RDX, RBX, 1, 0);
}

static void a_way_without_a_jump_is_counted(void **state)
{
	EXPECT(call_before, 0, 0, 0, 1);
	EXPECT(size_made_late, 0, 0, 0, 1);
	EXPECT(pool_made_late, 0, 0, 0, 1);
	EXPECT(hinted_jump, 0, 0, 0, 1);
	EXPECT(one_of_two, REG_RDX, RBX, 1, 1);
}

/* What the walk does not reach is not covered either. */
static void a_way_that_the_walk_does_not_reach_is_counted(void **state)
{
	EXPECT(entered, 0, 0, 0, 1);
	EXPECT(jump_far_away, 0, 0, 0, 1);
}

static void look_alikes_are_none(void **state)
{
	EXPECT(none_missing, REG_RDX, RBX, 1, 0); /* or the others prove nothing */
	EXPECT(dummy_size, 0, 0, 0, 0);
	EXPECT(no_max, 0, 0, 0, 0);
	EXPECT(no_next, 0, 0, 0, 0);
	EXPECT(no_freeblock, 0, 0, 0, 0);
	EXPECT(no_first_block, 0, 0, 0, 0);
	EXPECT(other_pool, 0, 0, 0, 0);
	EXPECT(pool_changed, 0, 0, 0, 0);
	EXPECT(wide_store, 0, 0, 0, 0);
	EXPECT(wide_next, 0, 0, 0, 0);
	EXPECT(narrow_freeblock, 0, 0, 0, 0);
	EXPECT(with_index, 0, 0, 0, 0);
	EXPECT(behind_a_call, 0, 0, 0, 0);
	EXPECT(on_stack, 0, 0, 0, 0);
}

/* ---- in a file, with a pop ---- */

ASM_CODE(old_allocator,
	 POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
		 "rax", "rdx",
		 "rcx") "ret\n"
			"9: movl $1,(%rdx)\n cmp %ecx,%ebx\n je 2f\n"
			"1:" SET_UP("rdx", "ebx",
				    "rsi") "ret\n"
					   "2: mov 0x8(%rdx),%rsi\n ret\n movl $1,(%rdx)\n jmp 1b\n"
					   ".balign 16\n call 8f\n" SET_UP("rdx", "ebx",
									   "rsi") "ret\n 8: ret\n");
ASM_CODE(inlined_refill,
	 POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY(
		 "rax", "rdx",
		 "rcx") "ret\n"
			"9: movl $1,(%rdx)\n cmp %ecx,%ebx\n je 2f\n"
			"1:" SET_UP(
				"rdx", "ebx",
				"rsi") "ret\n"
				       "2: mov 0x8(%rdx),%rsi\n ret\n movl $1,(%rdx)\n jmp 1b\n");
ASM_CODE(pop_only,
	 POP_GUARD("rax", "rdx") "je 9f\n" POP_BODY("rax", "rdx", "rcx") "ret\n 9: ret\n");

static void the_sites_of_a_file_say_what_is_uncovered(void **state)
{
	struct elf_image *img = fix_open(old_allocator, ASM_LEN(old_allocator), NULL, 0);
	struct python_sites s;

	assert_non_null(img);
	for (unsigned minor = 6; minor <= 8; minor++) {
		char text[4096] = "";
		FILE *f = fmemopen(text, sizeof(text), "w");

		assert_int_equal(python_sites_find(img, minor, &s), 0);
		assert_int_equal(s.pop_count, 1);
		assert_int_equal(s.init_count, 2);
		assert_int_equal(s.inits[0].vaddr - s.inits[0].file_off, FIX_VADDR);
		assert_non_null(strstr(s.reason, "2 ways into a new pool, 1 without a jump"));
		assert_int_equal(python_sites_print(f, img, &s, true), 0);
		fclose(f);
		assert_non_null(strstr(text, "new-pool sites           2"));
		assert_non_null(strstr(text, "rdx,rbx"));
		assert_null(strstr(text, "refill function"));
		python_sites_release(&s);
	}
	/* From 3.9 on there is a function for it, and where there is none every way must have its jump. */
	assert_int_equal(python_sites_find(img, 9, &s), -ENOENT);
	assert_non_null(strstr(s.reason, "no refill function"));
	assert_null(s.inits);
	python_sites_release(&s);
	elf_image_free(img);
}

static void an_inlined_refill_is_taken_when_nothing_is_uncovered(void **state)
{
	struct elf_image *img = fix_open(inlined_refill, ASM_LEN(inlined_refill), NULL, 0);
	struct python_sites s;

	assert_non_null(img);
	for (unsigned minor = 6; minor <= 15; minor++) {
		assert_int_equal(python_sites_find(img, minor, &s), 0);
		assert_int_equal(s.init_count, 2);
		assert_int_equal(s.refill_vaddr, 0);
		assert_non_null(strstr(s.reason, "2 ways into a new pool, 0 without a jump"));
		python_sites_release(&s);
	}
	elf_image_free(img);
}

static void a_file_without_a_set_up_is_refused(void **state)
{
	struct elf_image *img = fix_open(pop_only, ASM_LEN(pop_only), NULL, 0);
	struct python_sites s;

	assert_non_null(img);
	assert_int_equal(python_sites_find(img, 8, &s), -ENOENT);
	assert_non_null(strstr(s.reason, "no place where a new pool is set up"));
	assert_null(s.inits);
	assert_null(s.pops);
	python_sites_release(&s);
	elf_image_free(img);
}

static void too_many_of_them_are_refused(void **state)
{
	static uint8_t text[SITES_MAX * 64];
	struct site_list l = {0};
	struct code c;
	size_t len = 0, uncovered;

	while (len + ASM_LEN(two_ways) <= sizeof(text)) {
		memcpy(text + len, two_ways, ASM_LEN(two_ways));
		len += ASM_LEN(two_ways);
	}
	assert_true(2 * len / ASM_LEN(two_ways) > SITES_MAX);
	assert_int_equal(decode_bytes(text, len, 0x1000, &c), 0);
	assert_int_equal(pool_inits_find(&c, &l, &uncovered), -EFBIG);
	site_list_release(&l);
	decode_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way_in_a_real_library_is_a_jump_before_the_store),
		cmocka_unit_test(every_shape_gives_its_jumps),
		cmocka_unit_test(a_way_without_a_jump_is_counted),
		cmocka_unit_test(a_way_that_the_walk_does_not_reach_is_counted),
		cmocka_unit_test(look_alikes_are_none),
		cmocka_unit_test(the_sites_of_a_file_say_what_is_uncovered),
		cmocka_unit_test(an_inlined_refill_is_taken_when_nothing_is_uncovered),
		cmocka_unit_test(a_file_without_a_set_up_is_refused),
		cmocka_unit_test(too_many_of_them_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
