/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A naive model of a series: every snapshot kept as it was appended, compared with what the store gives
 * back. A generator makes series in which stacks come, change and go.
 */
#ifndef TM_TEST_STORE_FIXTURE_H
#define TM_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "store/store.h"

/* ---- a directory of one's own ---- */

struct place {
	char dir[64], file[128];
};

static inline void run_rm(const char *dir)
{
	char cmd[160];

	snprintf(cmd, sizeof(cmd), "rm -rf -- '%s'", dir);
	assert_int_equal(system(cmd), 0);
}

static inline void place_make(struct place *p)
{
	/* In memory where there is room for it: a series syncs after every snapshot. */
	snprintf(p->dir, sizeof(p->dir), "%s/tmbpf-test-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->file, sizeof(p->file), "%s/run.tmb", p->dir);
}

static inline void place_remove(struct place *p)
{
	run_rm(p->dir);
}

/* ---- the last coded message ---- */

static struct {
	char code[8], message[512], fix[256];
	unsigned errors, warnings;
} said;

static inline void on_said(void *ctx, enum log_level level, const char *code, const char *message,
			   const char *fix)
{
	snprintf(said.code, sizeof(said.code), "%s", code);
	snprintf(said.message, sizeof(said.message), "%s", message);
	snprintf(said.fix, sizeof(said.fix), "%s", fix ? fix : "");
	if (level == LOG_ERROR)
		said.errors++;
	else
		said.warnings++;
}

static inline void listen_to_log(void)
{
	memset(&said, 0, sizeof(said));
	log_set_sink(on_said, NULL);
}

#define assert_said(want) assert_string_equal(said.code, want)

/* ---- random numbers that are the same on every run ---- */

static inline uint64_t rnd(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline uint64_t below(uint64_t *state, uint64_t n)
{
	return rnd(state) % n;
}

/* ---- snapshots as text, one sorted line a stack: independent of order and of pools ---- */

static inline int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline char *stack_text(const struct snapshot *s, const struct snap_stack *st)
{
	struct buf b = {0};

	buf_printf(&b, "%u/%d/%s", snapshot_domain_number(s, st->domain), st->truncated,
		   intern_get(s->strings, st->thread));
	for (size_t i = 0; i < st->frame_count; i++) {
		const struct snap_frame *f = &s->frames[st->first_frame + i];

		buf_printf(&b, " [%zu:", intern_len(s->strings, f->file));
		buf_append(&b, intern_get(s->strings, f->file), intern_len(s->strings, f->file));
		buf_printf(&b, ":%d:%s]", f->line, intern_get(s->strings, f->function));
	}
	assert_false(b.oom);
	for (size_t i = 0; i < b.len; i++) { /* compared with strcmp */
		if (!b.data[i])
			b.data[i] = '\1';
	}
	return b.data;
}

static inline char *head_text(const struct snapshot *s)
{
	struct buf b = {0};

	buf_printf(&b, "%u %lld %a %s %llu %a %a %a %llu |", s->seq, (long long)s->time_ns,
		   s->elapsed_s, s->mode ? s->mode : "", (unsigned long long)s->rss_bytes,
		   s->drain_s, s->cost_cpu_ratio < 0 ? -1 : s->cost_cpu_ratio, s->cost_uncertainty,
		   (unsigned long long)s->events);
	buf_printf(&b, " s%a g%lld %lld %d %llu %llu |",
		   s->slowdown_ratio < 0 ? -1 : s->slowdown_ratio, (long long)s->gap.from_ns,
		   (long long)s->gap.to_ns, s->gap.malloc_only, (unsigned long long)s->gap.bytes,
		   (unsigned long long)s->gap.blocks);
	for (int d = 0; d < SNAP_DOMAINS; d++) {
		const struct snap_coverage *c = &s->coverage[d];

		if (c->known)
			buf_printf(&b, " c%d %llu %llu %llu", d, (unsigned long long)c->recorded,
				   (unsigned long long)c->missed, (unsigned long long)c->moving);
	}
	for (int i = 0; i < TM_DROP_COUNT; i++)
		buf_printf(&b, " %llu", (unsigned long long)s->drops[i]);
	buf_append_str(&b, "\n");
	return b.data;
}

/* Equal stacks summed, zeros left out: what a store promises to give back. Owned. */
static inline char *snapshot_text(const struct snapshot *s)
{
	char **names = calloc(s->stack_count + 1, sizeof(*names));
	uint64_t sums[4] = {0};
	struct buf out = {0};
	size_t n = 0;
	char *head = head_text(s);

	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];
		struct buf line = {0};
		char *name;

		if (!(st->bytes | st->blocks | st->alloc_bytes | st->alloc_blocks))
			continue;
		name = stack_text(s, st);
		buf_printf(&line, "%s\t%zu", name, i);
		free(name);
		names[n++] = line.data;
	}
	qsort(names, n, sizeof(*names), compare_lines);
	buf_append_str(&out, head);
	for (size_t i = 0; i < n; i++) {
		char *tab = strrchr(names[i], '\t');
		const struct snap_stack *st = &s->stacks[strtoul(tab + 1, NULL, 10)];
		bool same;

		*tab = '\0';
		sums[0] += st->bytes;
		sums[1] += st->blocks;
		sums[2] += st->alloc_bytes;
		sums[3] += st->alloc_blocks;
		same = i + 1 < n && !strncmp(names[i], names[i + 1], strlen(names[i])) &&
		       names[i + 1][strlen(names[i])] == '\t';
		if (!same) {
			buf_printf(&out, "%s = %llu %llu %llu %llu\n", names[i],
				   (unsigned long long)sums[0], (unsigned long long)sums[1],
				   (unsigned long long)sums[2], (unsigned long long)sums[3]);
			memset(sums, 0, sizeof(sums));
		}
	}
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
	free(head);
	assert_false(out.oom);
	return out.data;
}

/* ---- a generator ---- */

#define GEN_STACKS 40

struct gen {
	uint64_t rng;
	struct intern *strings;
	uint32_t seq;
	int64_t time_ns;
	struct gen_stack {
		struct snap_frame frames[130];
		size_t count;
		uint8_t domain;
		bool truncated;
		str_id_t thread;
		uint64_t v[4];
	} stacks[GEN_STACKS];
};

static inline str_id_t gen_string(struct gen *g, const char *kind, uint64_t n)
{
	static const char *const odd[] = {"\xc3\xa4\xe2\x82\xac.py", "<unknown>", "", "a b'c\"d.py",
					  "\xff\xfe not utf-8",	     "x\0y"};
	char text[48];
	str_id_t id;

	if (n < 6 && !strcmp(kind, "f"))
		intern_add(g->strings, odd[n], n == 5 ? 3 : strlen(odd[n]), &id);
	else {
		snprintf(text, sizeof(text), "/srv/%s%llu.py", kind, (unsigned long long)n);
		intern_str(g->strings, text, &id);
	}
	return id;
}

static inline void gen_stack_make(struct gen *g, struct gen_stack *st)
{
	memset(st, 0, sizeof(*st));
	st->count = below(&g->rng, 20) ? below(&g->rng, 6) : below(&g->rng, 130);
	for (size_t i = 0; i < st->count; i++) {
		/* Few callers, many leaves: as in a program. */
		uint64_t n = i + 1 < st->count ? below(&g->rng, 3) : 3 + below(&g->rng, 12);

		st->frames[i].file = gen_string(g, "f", n);
		st->frames[i].function = gen_string(g, "g", n);
		st->frames[i].line = (int32_t)below(&g->rng, 4) - 1;
	}
	st->domain = (uint8_t)below(&g->rng, 2);
	st->truncated = !below(&g->rng, 4);
	if (!below(&g->rng, 3))
		st->thread = gen_string(g, "thread", below(&g->rng, 3));
}

static inline void gen_start(struct gen *g, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	g->rng = seed;
	g->strings = intern_new();
	g->time_ns = 1700000000000000000ll;
	for (int i = 0; i < GEN_STACKS; i++)
		gen_stack_make(g, &g->stacks[i]);
}

static inline void gen_end(struct gen *g)
{
	intern_free(g->strings);
}

static inline void gen_head(struct gen *g, struct snapshot *s)
{
	g->seq += 1 + (uint32_t)!below(&g->rng, 10);
	g->time_ns += (int64_t)below(&g->rng, 100000000000ull);
	s->seq = g->seq;
	s->time_ns = g->time_ns;
	s->elapsed_s = (double)g->seq * 1.1;
	s->rss_bytes = rnd(&g->rng) >> 30;
	s->mode = below(&g->rng, 2) ? "exact" : "pools";
	s->drain_s = 0.001 * (double)below(&g->rng, 1000);
	s->cost_cpu_ratio = below(&g->rng, 3) ? (double)below(&g->rng, 1000) / 997 : -1;
	s->cost_uncertainty = 0.21;
	s->slowdown_ratio = below(&g->rng, 3) ? (double)below(&g->rng, 9000) / 997 : -1;
	if (!below(&g->rng, 3))
		s->gap = (struct snap_gap){.from_ns = g->time_ns,
					   .to_ns = below(&g->rng, 2) ? g->time_ns + 5 : 0,
					   .malloc_only = below(&g->rng, 2),
					   .bytes = below(&g->rng, 1000000),
					   .blocks = below(&g->rng, 1000)};
	s->events = below(&g->rng, 1000000);
	s->coverage[SNAP_PYTHON].known = below(&g->rng, 2);
	if (s->coverage[SNAP_PYTHON].known) {
		s->coverage[SNAP_PYTHON].recorded = below(&g->rng, 1000);
		s->coverage[SNAP_PYTHON].missed = below(&g->rng, 10);
	}
	if (!below(&g->rng, 3))
		s->drops[below(&g->rng, TM_DROP_COUNT)] = 1 + below(&g->rng, 100);
}

/* The next snapshot of the program; stacks change, go, come back, or are replaced by others. */
static inline struct snapshot *gen_next(struct gen *g)
{
	struct snapshot *s = snapshot_new(g->strings);

	gen_head(g, s);
	for (int i = 0; i < GEN_STACKS; i++) {
		struct gen_stack *st = &g->stacks[i];
		uint64_t what = below(&g->rng, 20);

		if (what == 0)
			gen_stack_make(g, st);
		if (what == 1)
			memset(st->v, 0, sizeof(st->v));
		if (what >= 2 && what < 6) {
			st->v[0] = rnd(&g->rng) >> (24 + below(&g->rng, 40));
			st->v[1] = below(&g->rng, 1000);
			st->v[2] += st->v[0];
			st->v[3] += st->v[1];
		}
		if (!below(&g->rng, 6))
			continue; /* not listed at all */
		assert_int_equal(snapshot_add(s, st->domain, st->frames, st->count, st->truncated,
					      st->v[0], st->v[1]),
				 0);
		s->stacks[s->stack_count - 1].thread = st->thread;
		s->stacks[s->stack_count - 1].alloc_bytes = st->v[2];
		s->stacks[s->stack_count - 1].alloc_blocks = st->v[3];
	}
	return s;
}

static inline struct store_meta meta_example(void)
{
	return (struct store_meta){
		.pid = 4711,
		.start_ns = 1699999000000000000ll,
		.attach_ns = 1700000000000000000ll,
		.comm = "gunicorn",
		.command = "python3 app.py",
		.program = "/usr/bin/python3.11",
		.python_version = "3.11.2",
		.libc = "glibc 2.36",
		.container = "3f9c1a0be2d4",
		.host = "web-1",
		.mode = "exact",
		.sampling = "none",
		.cgroup_limit_bytes = 1ull << 29,
		.frames = 25,
		.every_s = 60,
		.domains = {true, false},
	};
}

/* A finished series of n generated snapshots; their texts in texts[], by order, when not NULL. */
static inline void series_write(const char *file, uint64_t seed, unsigned n, unsigned keep,
				char **texts)
{
	struct store_meta meta = meta_example();
	struct store_opts opts = {.keep = keep};
	struct store_writer *w = NULL;
	struct gen g;

	gen_start(&g, seed);
	assert_int_equal(store_create(file, &meta, &opts, &w), 0);
	for (unsigned i = 0; i < n; i++) {
		struct snapshot *s = gen_next(&g);

		assert_int_equal(store_append(w, s), 0);
		if (texts)
			texts[i] = snapshot_text(s);
		snapshot_free(s);
	}
	assert_int_equal(store_writer_close(w, "sigint"), 0);
	gen_end(&g);
}

#endif
