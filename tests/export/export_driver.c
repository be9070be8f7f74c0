/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes a series with one made-up snapshot, for the oracles of the export formats:
 *     export_driver FILE SEED STACKS GROWTH [alloc] [plain]
 * The stacks depend on SEED and STACKS alone; GROWTH is added to the blocks of every third one, so that
 * two runs can be compared. `alloc`: what was allocated is known. `plain`: names without what formats
 * have to escape, for oracles whose output is text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/store.h"

#define MAX_FRAMES 128

static uint64_t rng_state;

/* splitmix64 */
static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void must(int err)
{
	if (err) {
		fprintf(stderr, "export_driver: %s\n", strerror(-err));
		exit(1);
	}
}

static struct snap_frame frame(struct intern *in, const char *file, int line, const char *function)
{
	struct snap_frame f = {.line = line};

	must(intern_str(in, file, &f.file));
	must(intern_str(in, function, &f.function));
	return f;
}

#define PICK(list) (list)[rng() % ARRAY_LEN(list)]

/* Line 0 is a line that nobody knows; in a stack of the native domain it would make a library of the file. */
static struct snap_frame python_frame(struct intern *in, bool plain, bool native)
{
	static const char *const files[] = {
		"/srv/shop/cache.py",
		"/srv/shop/views.py",
		"/srv/shop/main.py",
		"/srv/a b/\"q\";\\x.py",
		"/srv/\u00fc\u4e2d\U0001f40d.py",
		"<string>",
		"<frozen importlib._bootstrap>",
		"/srv/new\nline\ttab\x1b[31m.py",
		"/srv/,comma,.py",
		"<unknown>",
	};
	static const char *const functions[] = {
		"put",	      "handle",		 "<module>",  "<lambda>", "Cache.<locals>.get",
		"<listcomp>", "f\u00fcr_\u4e2d", "a;b\nc\"d", "",	  "operator<",
	};
	static const char *const plain_files[] = {"/srv/a.py", "/srv/b.py", "/srv/shop/c.py"};
	static const char *const plain_functions[] = {"put",	  "handle",	"<module>",
						      "<lambda>", "<listcomp>", "C.<locals>.f"};
	const char *file = plain ? PICK(plain_files) : PICK(files);
	const char *function = plain ? PICK(plain_functions) : PICK(functions);

	return frame(in, file, (int)(rng() % (plain ? 30 : 3000)) + native, function);
}

static struct snap_frame native_frame(struct intern *in, bool plain)
{
	static const char *const files[] = {"/usr/lib/x86_64-linux-gnu/libxml2.so.2",
					    "/usr/lib/libc.so.6", "/opt/w,\";/libq.so"};
	static const char *const functions[] = {"xmlNewNode", "malloc", "_ZN3foo3barEv", ""};
	const char *file = plain ? files[rng() % 2] : PICK(files);

	return frame(in, file, 0, plain ? functions[rng() % 2] : PICK(functions));
}

static size_t make_frames(struct intern *in, bool native, bool plain, struct snap_frame *frames)
{
	size_t count = 0, want = rng() % 20 ? rng() % 8 : rng() % MAX_FRAMES;

	if (native && rng() % 3)
		frames[count++] = native_frame(in, plain);
	while (count < want) /* at most MAX_FRAMES - 1 of them */
		frames[count++] = python_frame(in, plain, native);
	return count;
}

static struct snapshot *make_snapshot(struct intern *in, unsigned stacks, unsigned growth,
				      bool alloc, bool plain)
{
	static const char *const threads[] = {"MainThread", "worker \"1\"", ""};
	struct snapshot *s = snapshot_new(in);
	struct snap_frame frames[MAX_FRAMES];

	if (!s)
		must(-12);
	s->mode = "exact";
	s->time_ns = 1795356120ll * 1000000000 + 13000000;
	s->elapsed_s = 20.5;
	s->seq = 3;
	s->rss_bytes = 433061888;
	s->coverage[SNAP_PYTHON] = (struct snap_coverage){true, 141233, 3, 0};
	s->drops[1] = 7;
	for (unsigned i = 0; i < stacks; i++) {
		bool native = rng() % 4 == 0;
		size_t count = make_frames(in, native, plain, frames);
		uint64_t blocks = rng() % 10 ? rng() % 50 : rng() % 3000;
		uint64_t bytes = blocks ? blocks * (rng() % 600) + rng() % blocks : 0;
		struct snap_stack *st;

		if (i == 0) { /* one block of 2^40 and some */
			blocks = 1;
			bytes = (1ull << 40) + 12345;
		}
		if (i % 3 == 0) {
			blocks += growth;
			bytes += growth * 100ull;
		}
		must(snapshot_add(s, native ? SNAP_NATIVE : SNAP_PYTHON, frames, count,
				  count && rng() % 5 == 0, bytes, blocks));
		st = &s->stacks[s->stack_count - 1];
		must(intern_str(in, threads[rng() % ARRAY_LEN(threads)], &st->thread));
		if (alloc) {
			st->alloc_blocks = blocks + rng() % 1000;
			st->alloc_bytes = bytes + (st->alloc_blocks - blocks) * 64;
		}
	}
	return s;
}

/* A series of one snapshot, as `tmbpf snap` leaves it. */
static void write_series(const char *path, const struct snapshot *s)
{
	const struct store_meta meta = {
		.pid = 4711,
		.attach_ns = s->time_ns - 20500000000,
		.comm = "gunicorn",
		.program = "/usr/bin/python3.12",
		.python_version = "3.12.4",
		.mode = "exact",
		.frames = MAX_FRAMES,
		.domains = {true, true},
		.threads = true,
	};
	const struct store_opts opts = {.force = true};
	struct store_writer *w = NULL;

	must(store_create(path, &meta, &opts, &w));
	must(store_append(w, s));
	must(store_writer_close(w, "count"));
}

int main(int argc, char **argv)
{
	struct intern *in = intern_new();
	struct snapshot *s;
	bool alloc = false, plain = false;

	if (argc < 5 || !in)
		return 2;
	for (int i = 5; i < argc; i++) {
		alloc |= !strcmp(argv[i], "alloc");
		plain |= !strcmp(argv[i], "plain");
	}
	rng_state = strtoull(argv[2], NULL, 10);
	s = make_snapshot(in, (unsigned)strtoul(argv[3], NULL, 10),
			  (unsigned)strtoul(argv[4], NULL, 10), alloc, plain);
	write_series(argv[1], s);
	snapshot_free(s);
	intern_free(in);
	return 0;
}
