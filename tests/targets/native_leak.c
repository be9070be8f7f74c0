/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A C program that holds known blocks from named functions and prints a ledger:
 * READY, waits for "go", allocates, prints one "ledger FUNCTION BLOCKS BYTES" a line, "done", waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEEP_MAX 8192
#define NOINLINE __attribute__((noinline))

static void *kept[KEEP_MAX];
static size_t kept_count;

struct ledger {
	const char *function;
	size_t blocks, bytes;
};

static struct ledger ledgers[] = {
	{"hold_malloc", 0, 0},	       {"hold_calloc", 0, 0},	     {"hold_realloc", 0, 0},
	{"hold_posix_memalign", 0, 0}, {"hold_aligned_alloc", 0, 0}, {"hold_big", 0, 0},
	{"hold_some", 0, 0},
};

static void hold(struct ledger *l, void *p, size_t bytes)
{
	kept[kept_count++] = p;
	l->blocks++;
	l->bytes += bytes;
}

NOINLINE void hold_malloc(struct ledger *l, size_t bytes)
{
	hold(l, malloc(bytes), bytes);
}

NOINLINE void hold_calloc(struct ledger *l, size_t bytes)
{
	hold(l, calloc(bytes / 8, 8), bytes / 8 * 8);
}

/* The block moves several times; it belongs to the last realloc. */
NOINLINE void hold_realloc(struct ledger *l, size_t bytes)
{
	void *p = malloc(8);

	for (size_t n = 16; n < bytes; n *= 2) {
		p = realloc(p, n);
		if (!p)
			abort();
	}
	p = realloc(p, bytes);
	hold(l, p, bytes);
}

NOINLINE void hold_posix_memalign(struct ledger *l, size_t bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, 64, bytes))
		abort();
	hold(l, p, bytes);
}

NOINLINE void hold_aligned_alloc(struct ledger *l, size_t bytes)
{
	size_t rounded = (bytes + 63) / 64 * 64;

	hold(l, aligned_alloc(64, rounded), rounded);
}

NOINLINE void hold_big(struct ledger *l, size_t bytes)
{
	hold(l, malloc(bytes * 4096), bytes * 4096);
}

/* Frees every second block at once. */
NOINLINE void hold_some(struct ledger *l, size_t bytes)
{
	void *keep = malloc(bytes);
	void *drop = malloc(bytes);

	memset(drop, 1, bytes);
	hold(l, keep, bytes);
	free(drop);
}

NOINLINE void churn(size_t bytes)
{
	void *volatile p = malloc(bytes);

	free(p);
	p = calloc(3, bytes);
	p = realloc(p, bytes * 5);
	free(p);
}

static void say(const char *text)
{
	if (write(1, text, strlen(text)) < 0)
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

int main(void)
{
	void (*functions[])(struct ledger *, size_t) = {
		hold_malloc,	    hold_calloc, hold_realloc, hold_posix_memalign,
		hold_aligned_alloc, hold_big,	 hold_some,
	};
	const int counts[] = {1000, 700, 300, 200, 100, 20, 500};
	char line[128];

	/* Memory from before attach must not appear. */
	for (int i = 0; i < 50; i++)
		kept[kept_count++] = malloc(100);
	say("READY\n");
	wait_line();
	for (size_t f = 0; f < sizeof(functions) / sizeof(functions[0]); f++) {
		for (int i = 0; i < counts[f]; i++) {
			functions[f](&ledgers[f], (size_t)(17 + i * 13 % 900));
			churn((size_t)(1 + i % 300));
		}
	}
	/* and freeing it must not disturb */
	for (int i = 0; i < 50; i++)
		free(kept[i]);
	for (size_t f = 0; f < sizeof(ledgers) / sizeof(ledgers[0]); f++) {
		snprintf(line, sizeof(line), "ledger %s %zu %zu\n", ledgers[f].function,
			 ledgers[f].blocks, ledgers[f].bytes);
		say(line);
	}
	say("done\n");
	wait_line();
	return 0;
}
