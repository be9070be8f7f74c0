/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a series of a program with many stacks and reads it again; prints what each takes as one line of
 * key=value. Usage: store_scale FILE STACKS SNAPSHOTS CHANGED_PERMILLE. Driven by store_scale.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "store/store.h"

#define DEPTH_MAX 25

static uint64_t rng = 1;

static uint64_t rnd(void)
{
	uint64_t z = (rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void must(int ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "store_scale: %s failed\n", what);
		exit(1);
	}
}

struct node { /* of the tree of calls */
	uint32_t parent, depth;
	struct snap_frame frame;
};

/* A function of one of a few thousand, at one of its lines. */
static struct snap_frame make_frame(struct intern *in, size_t stacks)
{
	uint64_t function = rnd() % (200 + stacks / 20);
	struct snap_frame f = {.line = (int32_t)(function % 800 + rnd() % 30 + 1)};
	char text[96];

	snprintf(text, sizeof(text),
		 "/srv/app/lib/python3.11/site-packages/package%llu/module%llu.py",
		 (unsigned long long)function % 40, (unsigned long long)function / 12);
	must(!intern_str(in, text, &f.file), "memory");
	snprintf(text, sizeof(text), "Class%llu.method%llu", (unsigned long long)function / 7,
		 (unsigned long long)function % 7);
	must(!intern_str(in, text, &f.function), "memory");
	return f;
}

/* Every stack hangs one to four new frames below a call that is there: callers are shared. */
static void make_stacks(struct snapshot *s, size_t stacks)
{
	struct node *nodes = calloc(stacks * 4 + 1, sizeof(*nodes));
	size_t count = 1;

	must(nodes != NULL, "memory");
	for (size_t i = 0; i < stacks; i++) {
		struct snap_frame frames[DEPTH_MAX];
		uint32_t at = (uint32_t)(rnd() % count), n = 0;

		while (nodes[at].depth > DEPTH_MAX - 4)
			at = nodes[at].parent;
		for (uint64_t k = rnd() % 4 + 1; k > 0; k--) {
			nodes[count] = (struct node){at, nodes[at].depth + 1,
						     make_frame(s->strings, stacks)};
			at = (uint32_t)count++;
		}
		for (; at; at = nodes[at].parent)
			frames[n++] = nodes[at].frame;
		must(!snapshot_add(s, i % 8 ? SNAP_PYTHON : SNAP_NATIVE, frames, n, n == DEPTH_MAX,
				   rnd() % 100000, rnd() % 1000 + 1),
		     "memory");
		s->stacks[i].alloc_bytes = s->stacks[i].bytes * 3;
		s->stacks[i].alloc_blocks = s->stacks[i].blocks * 3;
	}
	free(nodes);
}

static void change(struct snapshot *s, size_t permille)
{
	size_t n = s->stack_count * permille / 1000;

	for (size_t i = 0; i < n; i++) {
		struct snap_stack *st = &s->stacks[rnd() % s->stack_count];

		st->bytes = rnd() % 100000;
		st->blocks = rnd() % 1000 + 1;
		st->alloc_bytes += rnd() % 100000;
		st->alloc_blocks += rnd() % 1000;
	}
}

static int compare_ns(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void write_series(const char *file, size_t stacks, size_t snapshots, size_t permille)
{
	struct store_meta meta = {.pid = 4711, .comm = "scale", .mode = "exact", .frames = 25};
	struct store_opts opts = {.force = true, .keep = (unsigned)snapshots};
	struct intern *in = intern_new();
	struct snapshot *s = snapshot_new(in);
	int64_t *took = calloc(snapshots, sizeof(*took));
	struct store_writer *w = NULL;

	make_stacks(s, stacks);
	must(!store_create(file, &meta, &opts, &w), "create");
	for (size_t i = 0; i < snapshots; i++) {
		int64_t start = monotonic_ns();

		s->seq = (uint32_t)i + 1;
		s->time_ns = 1700000000000000000ll + (int64_t)i * 60000000000ll;
		s->elapsed_s = 60.0 * (double)(i + 1);
		s->mode = "exact";
		must(!store_append(w, s), "append");
		took[i] = monotonic_ns() - start;
		change(s, permille);
	}
	must(!store_writer_close(w, "count"), "close");
	printf("first_append_ms=%.0f ", (double)took[0] / 1e6);
	qsort(took, snapshots, sizeof(*took), compare_ns);
	printf("append_median_ms=%.1f append_max_ms=%.0f ", (double)took[snapshots / 2] / 1e6,
	       (double)took[snapshots - 1] / 1e6);
	free(took);
	snapshot_free(s);
	intern_free(in);
}

static void load(const char *file, const char *when)
{
	struct snapshot *snap = NULL;
	struct store *s = NULL;
	size_t index;

	must(!store_open(file, NULL, &s) && !store_find(s, when, &index) &&
		     !store_load(s, index, &snap),
	     "load");
	snapshot_free(snap);
	store_close(s);
}

static void walk(const char *file, const char *when)
{
	struct store_walk *w = NULL;
	struct store_step step;
	struct store *s = NULL;
	int got;

	(void)when;
	must(!store_open(file, NULL, &s) && !store_walk_new(s, &w), "walk");
	while ((got = store_walk_next(w, &step)) == 1)
		;
	must(!got, "walk");
	store_walk_free(w);
	store_close(s);
}

/* In a process of its own, so that its peak of memory is its own. */
static void measure(const char *name, void (*fn)(const char *, const char *), const char *file,
		    const char *when)
{
	int64_t start = monotonic_ns();
	struct rusage usage;
	int status;
	pid_t child = fork();

	if (!child) {
		fn(file, when);
		_exit(0);
	}
	must(wait4(child, &status, 0, &usage) == child && !status, name);
	printf("%s_ms=%.0f %s_mib=%.0f ", name, (double)(monotonic_ns() - start) / 1e6, name,
	       (double)usage.ru_maxrss / 1024);
}

int main(int argc, char **argv)
{
	struct rusage usage;
	struct stat st;
	int status;
	pid_t child;

	must(argc == 5, "usage: store_scale FILE STACKS SNAPSHOTS CHANGED_PERMILLE");
	child = fork();
	if (!child) {
		write_series(argv[1], strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10),
			     strtoul(argv[4], NULL, 10));
		fflush(stdout);
		_exit(0);
	}
	must(wait4(child, &status, 0, &usage) == child && !status, "writing");
	must(!stat(argv[1], &st), "stat");
	printf("write_mib=%.0f file_mb=%.1f ", (double)usage.ru_maxrss / 1024,
	       (double)st.st_size / 1e6);
	fflush(stdout);
	measure("last", load, argv[1], "last");
	fflush(stdout);
	measure("middle", load, argv[1], "-700");
	fflush(stdout);
	measure("walk", walk, argv[1], NULL);
	printf("\n");
	return 0;
}
