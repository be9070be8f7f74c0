/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random calls over the whole malloc family, by seeds, in threads, with calls that fail and a longjmp; every
 * block that is held belongs to the function that got it. As a program: READY, waits for a line, works,
 * prints one "ledger FUNCTION BLOCKS BYTES" a line, "done", waits. As a shared object a Python process
 * calls family_step(), so that it runs on any C library.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS	  3
#define SLOTS	  400
#define STEPS	  6000
#define NOINLINE  __attribute__((noinline))
#define HUGE_SIZE ((size_t)1 << 62)

struct slot {
	void *p;
	size_t bytes;
	unsigned owner;
};

struct worker {
	struct slot slots[SLOTS];
	uint64_t random;
	jmp_buf env;
};

static struct worker workers[THREADS];

static uint32_t draw(struct worker *w, uint32_t below)
{
	w->random = w->random * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(w->random >> 33) % below;
}

/* Mostly small, some that leave the thread cache, a few that are mapped. */
static size_t draw_bytes(struct worker *w)
{
	uint32_t kind = draw(w, 100);

	if (kind < 70)
		return draw(w, 500);
	return kind < 97 ? draw(w, 20000) : 100000 + draw(w, 400000);
}

static void drop(struct slot *s)
{
	free(s->p);
	s->p = NULL;
}

static void hold(struct slot *s, void *p, size_t bytes, unsigned owner)
{
	*s = (struct slot){.p = p, .bytes = bytes, .owner = owner};
	if (p && bytes)
		memset(p, 0x5a, 1);
}

static void check(int fine)
{
	if (!fine)
		abort();
}

#define STEP(name) NOINLINE void name(struct worker *w, struct slot *s, unsigned self)

STEP(step_malloc)
{
	size_t n = draw_bytes(w);

	drop(s);
	hold(s, malloc(n), n, self);
}

STEP(step_calloc)
{
	size_t n = draw_bytes(w) / 8, each = 1 + draw(w, 8);

	drop(s);
	hold(s, calloc(n, each), n * each, self);
	check(!calloc((size_t)-1 / 2 + draw(w, 3), 3)); /* the product overflows */
}

/* Also of NULL, also to nothing, in place and elsewhere. */
STEP(step_realloc)
{
	size_t n = draw(w, 20) ? draw_bytes(w) : 0;
	void *old = s->p, *p = realloc(old, n);

	if (!p && old && !n)
		s->p = NULL; /* freed */
	else
		hold(s, p, n, self);
}

STEP(step_realloc_near)
{
	size_t n = s->p ? s->bytes + 1 + draw(w, 64) : 24;
	void *p = realloc(s->p, n);

	check(p != NULL);
	hold(s, p, n, self);
}

/* The old block stays, and stays its owner's. */
STEP(step_realloc_fails)
{
	check(!realloc(s->p, HUGE_SIZE + self));
}

STEP(step_reallocarray)
{
	size_t n = 1 + draw_bytes(w) / 16;
	void *p = reallocarray(s->p, n, 16);

	check(p != NULL);
	hold(s, p, n * 16, self);
	check(!reallocarray(p, HUGE_SIZE, 16));
}

STEP(step_memalign)
{
	size_t n = draw_bytes(w), align = (size_t)8 << draw(w, 10);

	drop(s);
	hold(s, memalign(align, n), n, self);
	check(!memalign(64, HUGE_SIZE * 2 - 1));
}

STEP(step_aligned_alloc)
{
	size_t align = (size_t)16 << draw(w, 6), n = (draw_bytes(w) / align + 1) * align;

	drop(s);
	hold(s, aligned_alloc(align, n), n, self);
}

STEP(step_posix_memalign)
{
	size_t n = draw_bytes(w);
	void *p = NULL, *unset = &unset;

	drop(s);
	check(!posix_memalign(&p, (size_t)8 << draw(w, 8), n));
	hold(s, p, n, self);
	check(posix_memalign(&unset, 24, 100) && posix_memalign(&unset, 64, HUGE_SIZE * 2 - 1));
}

STEP(step_valloc)
{
	size_t n = draw_bytes(w);

	drop(s);
	hold(s, valloc(n), n, self);
}

STEP(step_pvalloc)
{
	size_t n = 1 + draw_bytes(w);

	drop(s);
	hold(s, pvalloc(n), n, self);
}

STEP(step_malloc_fails)
{
	check(!malloc(HUGE_SIZE * 2 + draw(w, 100)));
}

static NOINLINE void allocate_and_jump(struct worker *w, struct slot *s, unsigned self)
{
	size_t n = draw_bytes(w);

	hold(s, malloc(n), n, self);
	longjmp(w->env, 1);
}

STEP(step_longjmp)
{
	drop(s);
	if (!setjmp(w->env))
		allocate_and_jump(w, s, self);
}

STEP(step_free)
{
	drop(s);
}

static const struct {
	const char *name;
	void (*step)(struct worker *w, struct slot *s, unsigned self);
} steps[] = {
#define NAMED(f)      \
	{             \
#f, f \
	}
	NAMED(step_malloc),	  NAMED(step_calloc),	     NAMED(step_realloc),
	NAMED(step_realloc_near), NAMED(step_realloc_fails), NAMED(step_reallocarray),
	NAMED(step_memalign),	  NAMED(step_aligned_alloc), NAMED(step_posix_memalign),
	NAMED(step_valloc),	  NAMED(step_pvalloc),	     NAMED(step_malloc_fails),
	NAMED(step_longjmp),	  NAMED(step_free),
};

#define STEP_COUNT (sizeof(steps) / sizeof(steps[0]))

/* One call, of function number `which`, on a slot by chance. Returns: 0; 1 when there is no such one. */
int family_step(unsigned worker, unsigned which)
{
	struct worker *w = &workers[worker % THREADS];

	if (which >= STEP_COUNT)
		return 1;
	steps[which].step(w, &w->slots[draw(w, SLOTS)], which);
	return 0;
}

const char *family_name(unsigned which)
{
	return which < STEP_COUNT ? steps[which].name : "";
}

size_t family_held(unsigned which, size_t *bytes)
{
	size_t blocks = 0;

	*bytes = 0;
	for (size_t t = 0; t < THREADS; t++)
		for (size_t i = 0; i < SLOTS; i++)
			if (workers[t].slots[i].p && workers[t].slots[i].owner == which) {
				blocks++;
				*bytes += workers[t].slots[i].bytes;
			}
	return blocks;
}

#ifdef FAMILY_PROGRAM
#include <pthread.h>

static void *work(void *arg)
{
	unsigned t = (unsigned)(uintptr_t)arg;

	workers[t].random = 1000 + t;
	for (unsigned i = 0; i < STEPS; i++)
		family_step(t, draw(&workers[t], STEP_COUNT));
	return NULL;
}

static void wait_line(void)
{
	char c = 0;

	while (c != '\n') {
		if (read(0, &c, 1) <= 0)
			exit(0);
	}
}

int main(void)
{
	pthread_t threads[THREADS];
	size_t bytes, blocks;
	char line[128];
	int n;

	if (write(1, "READY\n", 6) < 0)
		return 1;
	wait_line();
	for (uintptr_t t = 0; t < THREADS; t++)
		pthread_create(&threads[t], NULL, work, (void *)t);
	for (size_t t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (unsigned f = 0; f < STEP_COUNT; f++) {
		blocks = family_held(f, &bytes);
		n = snprintf(line, sizeof(line), "ledger %s %zu %zu\n", family_name(f), blocks,
			     bytes);
		if (blocks && write(1, line, (size_t)n) < 0)
			return 1;
	}
	if (write(1, "done\n", 5) < 0)
		return 1;
	wait_line();
	return 0;
}
#endif
