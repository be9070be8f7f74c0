/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pools made by hand: decoded here as images, and read from a child that holds them. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "pool_model.h"

#define POOL_ADDR 0x7f12345f4000ull
#define TRIALS	  12

static const struct py_offsets layouts[] = {
	{.pool_bytes = 16384, .pool_align_shift = 4}, /* 3.10 and later */
	{.pool_bytes = 4096, .pool_align_shift = 4},  /* 3.8, 3.9 */
	{.pool_bytes = 4096, .pool_align_shift = 3},  /* before */
	{.pool_bytes = 16384, .pool_align_shift = 3}, /* nobody's; the most blocks that fit */
};
static const struct py_offsets *const usual = &layouts[0];

static uint32_t classes_of(const struct py_offsets *o)
{
	return 512u >> o->pool_align_shift;
}

/* ---- one image ---- */

/* In memory of its own, so that ASan sees a byte too many. */
static uint8_t *image_of(const struct pool_model *m, const struct py_offsets *o)
{
	uint8_t *image = malloc(o->pool_bytes);

	assert_non_null(image);
	model_write(m, o, POOL_ADDR, image);
	return image;
}

static void check_model(const struct pool_model *m, const struct py_offsets *o)
{
	uint8_t *image = image_of(m, o);
	struct pool_state p;

	memset(&p, 0xaa, sizeof(p));
	assert_true(pool_decode(o, POOL_ADDR, image, &p));
	assert_true(model_equals(m, POOL_ADDR, &p));
	free(image);
}

/* Every class of every layout. */
static void for_each_class(void (*check)(const struct py_offsets *o, uint32_t szidx,
					 uint32_t blocks))
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		const struct py_offsets *o = &layouts[i];

		for (uint32_t s = 0; s < classes_of(o); s++)
			check(o, s, (o->pool_bytes - HEADER) / ((s + 1) << o->pool_align_shift));
	}
}

static void check_full(const struct py_offsets *o, uint32_t szidx, uint32_t blocks)
{
	struct pool_model m;
	uint64_t seed = 1;
	uint32_t live = 0;

	model_init(&m, o, szidx, blocks, 100, &seed);
	assert_int_equal(m.ref_count, blocks);
	for (size_t i = 0; i < POOL_BITMAP_WORDS; i++)
		live += (uint32_t)__builtin_popcountll(m.live[i]);
	assert_int_equal(live, blocks);
	check_model(&m, o);
}

static void full_pool_is_all_alive(void **state)
{
	for_each_class(check_full);
}

static void check_freed(const struct py_offsets *o, uint32_t szidx, uint32_t blocks)
{
	struct pool_model m;
	uint64_t seed = 2;

	model_init(&m, o, szidx, blocks, 0, &seed);
	assert_int_equal(m.ref_count, 0);
	check_model(&m, o);
	model_init(&m, o, szidx, 0, 0, &seed); /* not a block was handed out yet */
	check_model(&m, o);

	/* All on the free list, and yet one counted: something moves. */
	struct pool_state p;

	model_init(&m, o, szidx, blocks, 0, &seed);
	m.ref_count = 1;
	uint8_t *image = image_of(&m, o);

	assert_true(pool_decode(o, POOL_ADDR, image, &p));
	assert_true(p.moving);
	free(image);
}

static void pool_of_free_blocks_is_all_dead(void **state)
{
	for_each_class(check_freed);
}

/* Nothing may be believed of the list of a pool that has no live block: it is not even walked. */
static void pool_without_references_is_dead_whatever_its_list(void **state)
{
	struct pool_model m;
	struct pool_state p;
	uint64_t seed = 3;

	model_init(&m, usual, 7, 50, 0, &seed);
	uint8_t *image = image_of(&m, usual);

	put64(image, block_off(&m, m.free[3]), 0x4141414141414141);
	assert_true(pool_decode(usual, POOL_ADDR, image, &p));
	assert_true(model_equals(&m, POOL_ADDR, &p));
	free(image);
}

static void check_random(const struct py_offsets *o, uint32_t szidx, uint32_t blocks)
{
	uint64_t seed = 0x9e3779b97f4a7c15 + szidx;

	for (int i = 0; i < TRIALS; i++) {
		struct pool_model m;
		uint32_t used = rnd(&seed, blocks + 1), pct = rnd(&seed, 101);

		model_init(&m, o, szidx, i ? used : blocks, pct, &seed);
		check_model(&m, o);
	}
}

static void random_free_lists_give_the_model(void **state)
{
	for_each_class(check_random);
}

/* What lies at or beyond nextoffset was never handed out, whatever the memory holds. */
static void blocks_beyond_nextoffset_are_dead(void **state)
{
	struct pool_model m;
	uint64_t seed = 4;

	for (uint32_t used = 1; used <= 1021; used++) {
		model_init(&m, usual, 0, used, 100, &seed);
		for (uint32_t i = used; i < m.blocks; i++)
			assert_false(m.live[i / 64] >> (i % 64) & 1);
		check_model(&m, usual);
	}
	assert_int_equal(m.blocks, 1021);
}

/* ---- lists and counts that are not what they should be ---- */

struct broken {
	struct pool_model m;
	uint8_t *image;
};

static void broken_init(struct broken *b, uint32_t szidx)
{
	uint64_t seed = 5 + szidx;

	model_init(&b->m, usual, szidx, 24, 50, &seed);
	assert_true(b->m.free_count > 4 && b->m.ref_count > 4);
	b->image = image_of(&b->m, usual);
}

/* The list's entry number `nth` leads to `to`. */
static void assert_moving(uint32_t szidx, uint32_t nth, uint64_t to)
{
	struct pool_state p;
	struct broken b;

	broken_init(&b, szidx);
	put64(b.image, nth ? block_off(&b.m, b.m.free[nth - 1]) : AT_FREE, to);
	memset(&p, 0, sizeof(p));
	assert_true(pool_decode(usual, POOL_ADDR, b.image, &p));
	assert_true(p.moving);
	assert_int_equal(p.ref_count, b.m.ref_count);
	for (uint32_t i = b.m.used; i < TM_POOL_SLOTS_MAX; i++)
		assert_false(p.live[i / 64] >> (i % 64) & 1);
	free(b.image);
}

static uint64_t free_at(uint32_t szidx, uint32_t nth)
{
	struct broken b;

	broken_init(&b, szidx);
	free(b.image);
	return POOL_ADDR + block_off(&b.m, b.m.free[nth]);
}

static void list_that_loops_is_moving(void **state)
{
	for (uint32_t s = 0; s < 32; s++) {
		struct broken b;

		broken_init(&b, s);
		free(b.image);
		for (uint32_t nth = 1; nth <= b.m.free_count; nth++) {
			assert_moving(s, nth, free_at(s, 0));
			assert_moving(s, nth, free_at(s, nth - 1)); /* points at itself */
		}
	}
}

static void list_that_leaves_the_pool_is_moving(void **state)
{
	const uint64_t out[] = {8,
				16,
				POOL_ADDR,
				POOL_ADDR + HEADER - 16,
				POOL_ADDR + 16384,
				POOL_ADDR + 16384 + HEADER,
				POOL_ADDR - 16384 + HEADER,
				POOL_ADDR + (1ull << 32) + HEADER,
				1ull << 63,
				UINT64_MAX,
				UINT64_MAX - 15,
				0x5a5a5a5a5a5a5a5a};

	for (uint32_t s = 0; s < 32; s++)
		for (size_t i = 0; i < ARRAY_LEN(out); i++)
			for (uint32_t nth = 1; nth < 4; nth++)
				assert_moving(s, nth, out[i]);
}

static void misaligned_link_is_moving(void **state)
{
	for (uint32_t s = 0; s < 32; s++) {
		for (uint32_t nth = 0; nth < 4; nth++) {
			assert_moving(s, nth, free_at(s, nth) + 1);
			assert_moving(s, nth, free_at(s, nth) + 8);
			if (s)
				assert_moving(s, nth, free_at(s, nth) + 16);
		}
	}
}

/* The count agrees, the list ends: only where it points to is wrong. */
static void misaligned_last_link_is_moving(void **state)
{
	for (uint32_t s = 0; s < 32; s++) {
		struct pool_state p;
		struct broken b;

		broken_init(&b, s);
		uint32_t last = b.m.free[b.m.free_count - 1];
		uint32_t before = b.m.free[b.m.free_count - 2];

		put64(b.image, block_off(&b.m, last) + 8, 0);
		put64(b.image, block_off(&b.m, before), POOL_ADDR + block_off(&b.m, last) + 8);
		assert_true(pool_decode(usual, POOL_ADDR, b.image, &p));
		assert_true(p.moving);
		free(b.image);
	}
}

static void link_beyond_nextoffset_is_moving(void **state)
{
	for (uint32_t s = 0; s < 32; s++) {
		uint64_t size = (s + 1) * 16;

		for (uint32_t nth = 0; nth < 4; nth++) {
			assert_moving(s, nth, POOL_ADDR + HEADER + 24 * size);
			assert_moving(s, nth, POOL_ADDR + HEADER + 25 * size);
		}
	}
}

static void list_cut_short_is_moving(void **state)
{
	for (uint32_t nth = 0; nth < 4; nth++)
		assert_moving(3, nth, 0);
}

static void count_that_disagrees_with_the_list_is_moving(void **state)
{
	const int off[] = {-3, -1, 1, 3};

	for (uint32_t s = 0; s < 32; s++) {
		for (size_t i = 0; i < ARRAY_LEN(off); i++) {
			struct pool_state p;
			struct broken b;

			broken_init(&b, s);
			put32(b.image, AT_REF, b.m.ref_count + (uint32_t)off[i]);
			assert_true(pool_decode(usual, POOL_ADDR, b.image, &p));
			assert_true(p.moving);
			/* The list was whole: what it says is still handed on. */
			assert_memory_equal(p.live, b.m.live, sizeof(p.live));
			free(b.image);
		}
	}
}

/* ---- headers that obmalloc does not write ---- */

static void assert_refused(size_t field, uint64_t value)
{
	struct pool_state p, before;
	struct broken b;

	broken_init(&b, 6);
	if (field == AT_FREE)
		put64(b.image, field, value);
	else
		put32(b.image, field, (uint32_t)value);
	memset(&p, 0xaa, sizeof(p));
	before = p;
	assert_false(pool_decode(usual, POOL_ADDR, b.image, &p));
	assert_memory_equal(&p, &before, sizeof(p));
	free(b.image);
}

static void header_that_makes_no_sense_is_refused(void **state)
{
	const uint32_t size = 7 * 16, max = 16384 - size;

	assert_refused(AT_SZIDX, 32);
	assert_refused(AT_SZIDX,
		       0xffff); /* DUMMY_SIZE_IDX: a pool that waits for its first class */
	assert_refused(AT_SZIDX, UINT32_MAX);
	assert_refused(AT_SZIDX, 5); /* maxnextoffset belongs to another class */
	assert_refused(AT_SZIDX, 7);
	assert_refused(AT_MAX, 0);
	assert_refused(AT_MAX, max - 16);
	assert_refused(AT_MAX, max + 16);
	assert_refused(AT_MAX, 16384);
	assert_refused(AT_NEXT, 0);
	assert_refused(AT_NEXT, HEADER - 1);
	assert_refused(AT_NEXT, HEADER - size);
	assert_refused(AT_NEXT, HEADER + size + 16);
	assert_refused(AT_NEXT, HEADER + 146 * size); /* 145 fit */
	assert_refused(AT_NEXT, UINT32_MAX);
	assert_refused(AT_REF, 25); /* 24 below nextoffset */
	assert_refused(AT_REF, UINT32_MAX);
	assert_refused(AT_FREE, 8);
	assert_refused(AT_FREE, POOL_ADDR);
	assert_refused(AT_FREE, POOL_ADDR + HEADER - 1);
	assert_refused(AT_FREE, POOL_ADDR + max + 1);
	assert_refused(AT_FREE, POOL_ADDR + 16384);
	assert_refused(AT_FREE, POOL_ADDR - size);
	assert_refused(AT_FREE, UINT64_MAX);
}

static void class_behind_the_last_is_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(layouts); i++) {
		const struct py_offsets *o = &layouts[i];
		uint32_t size = (classes_of(o) + 1) << o->pool_align_shift;
		uint8_t *image = calloc(1, o->pool_bytes);
		struct pool_state p;

		assert_non_null(image);
		put32(image, AT_SZIDX, classes_of(o));
		put32(image, AT_NEXT, HEADER + size);
		put32(image, AT_MAX, o->pool_bytes - size);
		assert_false(pool_decode(o, POOL_ADDR, image, &p));
		free(image);
	}
}

static void blank_memory_is_no_pool(void **state)
{
	const uint8_t fill[] = {0, 0xff, 0x5a};
	uint8_t *image = malloc(usual->pool_bytes);
	struct pool_state p;

	assert_non_null(image);
	for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
		memset(image, fill[i], usual->pool_bytes);
		assert_false(pool_decode(usual, POOL_ADDR, image, &p));
	}
	free(image);
}

static void more_blocks_than_slots_are_refused(void **state)
{
	static const struct py_offsets huge = {.pool_bytes = 32768, .pool_align_shift = 3};
	uint8_t *image = calloc(1, huge.pool_bytes);
	struct pool_state p;

	assert_non_null(image);
	put32(image, AT_NEXT, HEADER + 8 * 4000);
	put32(image, AT_MAX, 32768 - 8);
	assert_false(pool_decode(&huge, POOL_ADDR, image, &p));
	put32(image, AT_REF, 4000);
	assert_false(pool_decode(&huge, POOL_ADDR, image, &p));
	free(image);
}

/* ---- a child that holds pools ---- */

#define POOLS 300 /* several batches, none of them full */
#define PAGE  4096u

enum slot_kind {
	POOL,	    /* a pool */
	BLANK,	    /* memory that is no pool */
	UNTOUCHED,  /* mapped, never written */
	HOLE,	    /* not mapped */
	FIRST_HOLE, /* its first page is not mapped */
	LAST_HOLE,  /* its last page is not mapped */
	SHUT,	    /* a pool; shut behind our back, after the maps were read */
	LAST_SHUT,  /* the same, its last page alone: the header can be read */
	MOVING,	    /* its count and its list never agree */
	KINDS,
};

struct scene {
	uint8_t *region; /* the same address here and in the child; here it is wiped */
	enum slot_kind kind[POOLS];
	struct pool_model model[POOLS];
	uint64_t addrs[POOLS];
	int to_child[2], to_test[2];
	pid_t pid;
	struct target *target;
	struct heap_reader *reader;
};

static uint8_t *slot(const struct scene *s, size_t i)
{
	return s->region + i * usual->pool_bytes;
}

/* All kinds beside each other; runs of holes; the seam of two batches falls among them. */
static void scene_fill(struct scene *s, bool (*only_pools)(size_t))
{
	uint64_t seed = 77;

	for (size_t i = 0; i < POOLS; i++) {
		uint64_t addr = (uintptr_t)slot(s, i);
		uint32_t szidx = (uint32_t)i % 32, blocks = (16384 - HEADER) / ((szidx + 1) * 16);

		s->kind[i] = i % 3 ? POOL : (enum slot_kind)(i / 3 % KINDS);
		if (i >= 120 && i < 140)
			s->kind[i] = HOLE;
		if (only_pools && only_pools(i))
			s->kind[i] = POOL;
		s->addrs[i] = addr;
		model_init(&s->model[i], usual, szidx, 2 + rnd(&seed, blocks - 1), 60, &seed);
		if (s->kind[i] == UNTOUCHED || s->kind[i] == HOLE)
			continue;
		model_write(&s->model[i], usual, addr, slot(s, i));
		if (s->kind[i] == BLANK)
			memset(slot(s, i), 0x77, usual->pool_bytes);
		if (s->kind[i] == MOVING)
			put64(slot(s, i), AT_FREE, addr + block_off(&s->model[i], 0) + 8);
		if (s->kind[i] == MOVING && !get32(slot(s, i), AT_REF))
			put32(slot(s, i), AT_REF, 1);
	}
	for (size_t i = 0; i < POOLS; i++) {
		size_t len = s->kind[i] == HOLE ? usual->pool_bytes : PAGE;
		size_t off = s->kind[i] == LAST_HOLE ? usual->pool_bytes - PAGE : 0;

		if (s->kind[i] == HOLE || s->kind[i] == FIRST_HOLE || s->kind[i] == LAST_HOLE)
			assert_int_equal(munmap(slot(s, i) + off, len), 0);
	}
}

/* What the child does: shuts pools when told to, then plays with one of them for ever. */
static void child_main(const struct scene *s, const uint8_t *a, const uint8_t *b, size_t play)
{
	char c;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(s->to_child[0], &c, 1) != 1)
		_exit(1);
	for (size_t i = 0; i < POOLS; i++) {
		if (s->kind[i] == SHUT)
			mprotect(slot(s, i), usual->pool_bytes, PROT_NONE);
		if (s->kind[i] == LAST_SHUT)
			mprotect(slot(s, i) + usual->pool_bytes - PAGE, PAGE, PROT_NONE);
	}
	if (write(s->to_test[1], "x", 1) != 1)
		_exit(1);
	while (a) {
		memcpy(slot(s, play), a, usual->pool_bytes);
		memcpy(slot(s, play), b, usual->pool_bytes);
	}
	for (;;)
		pause();
}

/* ASan's shadow is one mapping of terabytes: no target has that, and it would be searched. */
static void forget_shadow(struct target *t)
{
	for (size_t i = 0; i < t->maps.count; i++)
		if (t->maps.items[i].end - t->maps.items[i].start > 1ull << 36)
			t->maps.items[i].read = false;
}

static void scene_start(struct scene *s, const uint8_t *a, const uint8_t *b, size_t play)
{
	struct pollfd p;
	char c;

	assert_int_equal(pipe(s->to_child), 0);
	assert_int_equal(pipe(s->to_test), 0);
	s->pid = fork();
	assert_true(s->pid >= 0);
	if (!s->pid)
		child_main(s, a, b, play);
	for (size_t i = 0; i < POOLS; i++) /* what is read from now on can only be the child's */
		if (s->kind[i] == POOL)
			memset(slot(s, i), 0, usual->pool_bytes);
	assert_int_equal(target_open(s->pid, &s->target), 0);
	forget_shadow(s->target);
	assert_int_equal(heap_reader_new(s->target, usual, &s->reader), 0);
	assert_int_equal(write(s->to_child[1], "x", 1), 1);
	p = (struct pollfd){.fd = s->to_test[0], .events = POLLIN};
	assert_int_equal(poll(&p, 1, 60000), 1);
	assert_int_equal(read(s->to_test[0], &c, 1), 1);
}

static struct scene *scene_new(bool (*only_pools)(size_t))
{
	struct scene *s = calloc(1, sizeof(*s));
	size_t bytes = (POOLS + 1) * (size_t)usual->pool_bytes;
	uintptr_t at;

	assert_non_null(s);
	at = (uintptr_t)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
	assert_true(at != (uintptr_t)MAP_FAILED);
	/* Pools are aligned; the mapping is not and begins with half a pool that none fits into. */
	s->region = (uint8_t *)((at + usual->pool_bytes) & ~(uintptr_t)(usual->pool_bytes - 1));
	if ((uintptr_t)s->region - at > PAGE)
		munmap((void *)at, (uintptr_t)s->region - at - PAGE);
	scene_fill(s, only_pools);
	return s;
}

static void scene_kill(struct scene *s)
{
	kill(s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

static void scene_free(struct scene *s)
{
	scene_kill(s);
	heap_reader_free(s->reader);
	target_free(s->target);
	munmap(s->region - PAGE, PAGE + (size_t)POOLS * usual->pool_bytes);
	for (int i = 0; i < 2; i++) {
		close(s->to_child[i]);
		close(s->to_test[i]);
	}
	free(s);
}

struct seen {
	struct scene *scene;
	size_t count, kill_at; /* kill_at: the pool at which the child is killed, counted from 1 */
	uint64_t last;
};

static void on_pool(void *ctx, const struct pool_state *p)
{
	struct seen *seen = ctx;
	const struct scene *s = seen->scene;
	size_t i = (p->addr - (uintptr_t)s->region) / usual->pool_bytes;

	assert_true(i < POOLS && s->addrs[i] == p->addr);
	assert_true(p->addr > seen->last);
	seen->last = p->addr;
	if (s->kind[i] == MOVING)
		assert_true(p->moving);
	else
		assert_true(s->kind[i] == POOL && model_equals(&s->model[i], p->addr, p));
	if (++seen->count == seen->kill_at)
		scene_kill(seen->scene);
}

static size_t count_kind(const struct scene *s, enum slot_kind kind)
{
	size_t n = 0;

	for (size_t i = 0; i < POOLS; i++)
		n += s->kind[i] == kind;
	return n;
}

static void pools_of_a_process_are_read_and_dead_ones_left_out(void **state)
{
	struct scene *s = scene_new(NULL);
	struct seen seen = {.scene = s};

	scene_start(s, NULL, NULL, 0);
	for (int k = 0; k < KINDS; k++)
		assert_true(count_kind(s, (enum slot_kind)k) > 3);
	assert_int_equal(heap_reader_pools(s->reader, s->addrs, POOLS, on_pool, &seen), 0);
	assert_int_equal(seen.count, count_kind(s, POOL) + count_kind(s, MOVING));

	/* The last one of the call is gone; nothing is asked for. */
	seen = (struct seen){.scene = s};
	assert_int_equal(heap_reader_pools(s->reader, s->addrs, 140, on_pool, &seen), 0);
	assert_true(seen.count > 50);
	assert_int_equal(heap_reader_pools(s->reader, s->addrs + 120, 20, on_pool, &seen), 0);
	seen = (struct seen){.scene = s};
	assert_int_equal(heap_reader_pools(s->reader, NULL, 0, on_pool, &seen), 0);
	assert_int_equal(seen.count, 0);
	scene_free(s);
}

static bool header_can_be_found(const struct scene *s, size_t i)
{
	return s->kind[i] == POOL || s->kind[i] == MOVING || s->kind[i] == LAST_SHUT;
}

static void pools_are_found_by_their_headers(void **state)
{
	struct scene *s = scene_new(NULL);
	uint64_t *addrs = NULL, end;
	size_t count = 0, at = 0;

	scene_start(s, NULL, NULL, 0);
	end = (uintptr_t)slot(s, POOLS);
	assert_int_equal(heap_reader_find(s->reader, &addrs, &count), 0);
	for (size_t i = 1; i < count; i++)
		assert_true(addrs[i - 1] < addrs[i]);
	while (at < count && addrs[at] < (uintptr_t)s->region)
		at++;
	for (size_t i = 0; i < POOLS; i++) {
		bool found = at < count && addrs[at] == s->addrs[i];

		assert_int_equal(found, header_can_be_found(s, i));
		at += found;
	}
	assert_true(at == count || addrs[at] >= end);

	/* Looking must not have pulled a page in. */
	FILE *f;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)s->pid);
	f = fopen(path, "r");
	assert_non_null(f);
	for (size_t i = 0; i < POOLS; i++) {
		uint64_t entry;

		if (s->kind[i] != UNTOUCHED)
			continue;
		assert_int_equal(fseek(f, (long)(s->addrs[i] / PAGE * 8), SEEK_SET), 0);
		assert_int_equal(fread(&entry, sizeof(entry), 1, f), 1);
		assert_int_equal(entry >> 62, 0);
	}
	fclose(f);
	free(addrs);
	scene_free(s);
}

/* Only private anonymous read-write memory without a name holds arenas. */
static void other_mappings_are_not_searched(void **state)
{
	struct scene *s = scene_new(NULL);
	uint64_t *addrs = NULL;
	size_t count = 0;

	scene_start(s, NULL, NULL, 0);
	for (int change = 0; change < 6; change++) {
		for (size_t i = 0; i < s->target->maps.count; i++) {
			struct mapping *m = &s->target->maps.items[i];

			m->read = change != 0;
			m->write = change != 1;
			m->exec = change == 2;
			m->shared = change == 3;
			m->inode = change == 4;
			m->path = change == 5 ? "[heap]" : "";
		}
		assert_int_equal(heap_reader_find(s->reader, &addrs, &count), 0);
		assert_int_equal(count, 0);
		free(addrs);
		addrs = NULL;
	}
	scene_free(s);
}

/* ---- which alignment its pools have ---- */

#define ALIGN_POOLS 24

static const struct py_offsets *const of_shift_3 = &layouts[2], *const of_shift_4 = &layouts[1];

/* A child with so many pools of either alignment, 4 KiB each. Returns: its pid. */
static pid_t start_with_pools(uint32_t eight, uint32_t sixteen)
{
	uint8_t *region = mmap(NULL, ALIGN_POOLS * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t seed = 5;
	pid_t pid;

	assert_true(region != MAP_FAILED && eight + sixteen <= ALIGN_POOLS);
	for (uint32_t i = 0; i < eight + sixteen; i++) {
		const struct py_offsets *o = i < eight ? of_shift_3 : of_shift_4;
		struct pool_model m;

		model_init(&m, o, 1 + i % (classes_of(o) - 1), 1 + i % 7, 60, &seed);
		model_write(&m, o, (uintptr_t)region + i * PAGE, region + i * PAGE);
	}
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(0);
	}
	munmap(region, ALIGN_POOLS * PAGE);
	return pid;
}

static int align_with_pools(uint32_t eight, uint32_t sixteen, uint8_t *shift)
{
	pid_t pid = start_with_pools(eight, sixteen);
	struct target *t = NULL;

	assert_true(pid > 0);
	assert_int_equal(target_open(pid, &t), 0);
	forget_shadow(t);
	*shift = 99;
	int err = heap_reader_align_shift(t, of_shift_3, shift);

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	target_free(t);
	return err;
}

/* 3.6 and 3.7 changed it in a patch release: only the heap tells. */
static void alignment_is_read_from_the_heap(void **state)
{
	uint8_t shift;

	assert_int_equal(align_with_pools(ALIGN_POOLS, 0, &shift), 0);
	assert_int_equal(shift, 3);
	assert_int_equal(align_with_pools(0, ALIGN_POOLS, &shift), 0);
	assert_int_equal(shift, 4);
	/* One pool is enough; of what looks like both, most count. */
	assert_int_equal(align_with_pools(1, 0, &shift), 0);
	assert_int_equal(shift, 3);
	assert_int_equal(align_with_pools(0, 1, &shift), 0);
	assert_int_equal(shift, 4);
	assert_int_equal(align_with_pools(3, 20, &shift), 0);
	assert_int_equal(shift, 4);
	assert_int_equal(align_with_pools(20, 3, &shift), 0);
	assert_int_equal(shift, 3);
}

static void alignment_of_no_pools_is_unknown(void **state)
{
	uint8_t shift;

	assert_int_equal(align_with_pools(0, 0, &shift), -ENOENT);
	assert_int_equal(shift, 99);
	assert_int_equal(align_with_pools(5, 5, &shift), -ENOENT);
	assert_int_equal(shift, 99);
}

static void alignment_of_a_process_that_is_gone_is_an_error(void **state)
{
	pid_t pid = start_with_pools(ALIGN_POOLS, 0);
	struct target *t = NULL;
	uint8_t shift = 99;

	assert_true(pid > 0);
	assert_int_equal(target_open(pid, &t), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(heap_reader_align_shift(t, of_shift_3, &shift), -ESRCH);
	assert_int_equal(shift, 99);
	target_free(t);
}

/* ---- the target changes, or goes ---- */

static bool all(size_t i)
{
	return true;
}

struct torn {
	const struct pool_model *a, *b;
	size_t still, moving;
};

static void on_torn(void *ctx, const struct pool_state *p)
{
	struct torn *t = ctx;

	if (p->moving) {
		t->moving++;
		return;
	}
	assert_true(model_equals(t->a, p->addr, p) || model_equals(t->b, p->addr, p));
	t->still++;
}

static void pool_that_changes_is_one_of_its_states_or_moving(void **state)
{
	static struct pool_model a, b;
	static uint8_t image_a[16384], image_b[16384];
	struct scene *s = scene_new(all);
	struct torn torn = {.a = &a, .b = &b};
	uint64_t seed = 99, addr = s->addrs[7];

	model_init(&a, usual, 3, 100, 30, &seed);
	model_init(&b, usual, 3, 180, 40, &seed);
	/* The writer may be stopped in the middle of a header, which is then one of no pool if this does not hold. */
	assert_true(b.ref_count <= a.used && a.ref_count <= a.used);
	model_write(&a, usual, addr, image_a);
	model_write(&b, usual, addr, image_b);
	memcpy(slot(s, 7), image_a, sizeof(image_a));
	scene_start(s, image_a, image_b, 7);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(heap_reader_pools(s->reader, &addr, 1, on_torn, &torn), 0);
	assert_int_equal(torn.still + torn.moving, 20000);
	assert_true(torn.still > 0);
	print_message("%zu still, %zu moving\n", torn.still, torn.moving);
	scene_free(s);
}

static void process_that_dies_between_batches_is_noticed(void **state)
{
	struct scene *s = scene_new(all);
	struct seen seen = {.scene = s, .kill_at = 10};

	scene_start(s, NULL, NULL, 0);
	assert_int_equal(heap_reader_pools(s->reader, s->addrs, POOLS, on_pool, &seen), -ESRCH);
	assert_true(seen.count >= 10 && seen.count <= 64);
	scene_free(s);
}

/* Pools that could not be read again are not dead: the whole read is void. */
static void process_that_dies_in_the_last_batch_is_noticed(void **state)
{
	struct scene *s = scene_new(NULL);
	struct seen seen = {.scene = s, .kill_at = 1};

	scene_start(s, NULL, NULL, 0);
	assert_int_equal(s->kind[23], POOL);
	assert_int_equal(s->kind[24], MOVING); /* is read again */
	assert_int_equal(heap_reader_pools(s->reader, s->addrs + 23, 3, on_pool, &seen), -ESRCH);
	assert_int_equal(seen.count, 1);
	scene_free(s);
}

static void process_that_is_gone_has_no_pools(void **state)
{
	struct scene *s = scene_new(all);
	struct seen seen = {.scene = s};
	uint64_t *addrs = NULL;
	siginfo_t info;
	size_t count = 0;

	scene_start(s, NULL, NULL, 0);
	for (int reaped = 0; reaped < 2; reaped++) {
		if (reaped) {
			scene_kill(s);
		} else { /* a zombie */
			kill(s->pid, SIGKILL);
			assert_int_equal(waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOWAIT), 0);
		}
		assert_int_equal(heap_reader_pools(s->reader, s->addrs, 1, on_pool, &seen), -ESRCH);
		assert_int_equal(heap_reader_pools(s->reader, s->addrs, POOLS, on_pool, &seen),
				 -ESRCH);
		assert_int_equal(heap_reader_find(s->reader, &addrs, &count), -ESRCH);
	}
	assert_int_equal(seen.count, 0);
	assert_null(addrs);
	assert_int_equal(count, 0);
	scene_free(s);
}

static void process_we_may_not_read_is_an_error(void **state)
{
	struct scene *s;
	int status;
	pid_t pid;

	if (geteuid())
		skip();
	s = scene_new(all);
	scene_start(s, NULL, NULL, 0);
	pid = fork();
	if (!pid) {
		struct seen seen = {.scene = s};
		uint64_t *addrs = NULL;
		size_t count;

		if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
			_exit(2);
		if (heap_reader_pools(s->reader, s->addrs, POOLS, on_pool, &seen) != -EPERM)
			_exit(3);
		_exit(heap_reader_find(s->reader, &addrs, &count) == -EPERM ? 0 : 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	scene_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_pool_is_all_alive),
		cmocka_unit_test(pool_of_free_blocks_is_all_dead),
		cmocka_unit_test(pool_without_references_is_dead_whatever_its_list),
		cmocka_unit_test(random_free_lists_give_the_model),
		cmocka_unit_test(blocks_beyond_nextoffset_are_dead),
		cmocka_unit_test(list_that_loops_is_moving),
		cmocka_unit_test(list_that_leaves_the_pool_is_moving),
		cmocka_unit_test(misaligned_link_is_moving),
		cmocka_unit_test(misaligned_last_link_is_moving),
		cmocka_unit_test(link_beyond_nextoffset_is_moving),
		cmocka_unit_test(list_cut_short_is_moving),
		cmocka_unit_test(count_that_disagrees_with_the_list_is_moving),
		cmocka_unit_test(header_that_makes_no_sense_is_refused),
		cmocka_unit_test(class_behind_the_last_is_refused),
		cmocka_unit_test(blank_memory_is_no_pool),
		cmocka_unit_test(more_blocks_than_slots_are_refused),
		cmocka_unit_test(pools_of_a_process_are_read_and_dead_ones_left_out),
		cmocka_unit_test(pools_are_found_by_their_headers),
		cmocka_unit_test(other_mappings_are_not_searched),
		cmocka_unit_test(alignment_is_read_from_the_heap),
		cmocka_unit_test(alignment_of_no_pools_is_unknown),
		cmocka_unit_test(alignment_of_a_process_that_is_gone_is_an_error),
		cmocka_unit_test(pool_that_changes_is_one_of_its_states_or_moving),
		cmocka_unit_test(process_that_dies_between_batches_is_noticed),
		cmocka_unit_test(process_that_dies_in_the_last_batch_is_noticed),
		cmocka_unit_test(process_that_is_gone_has_no_pools),
		cmocka_unit_test(process_we_may_not_read_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
