/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes series for the tests of `leaks`, without a process to record:
 *
 *   make_series scale OUT STACKS SNAPSHOTS PERMILLE     PERMILLE of the stacks change each time
 *   make_series models OUT SEED SNAPSHOTS [KEY=VALUE...] a line a model of leak_models.h
 *
 * Keys: limit=BYTES (cgroup), rss=BYTES (growth of RSS that nothing explains), missed=RATIO (of the
 * blocks without a record), pid=N, attach=SECONDS (tracing began that much before the first snapshot),
 * start=SECONDS (shift of all times), only=N (the model of that number alone), every=SECONDS, file=NAME
 * (of the allocating line of all models).
 */
#include <stdio.h>

#include "../unit/analyze/leak_models.h"
#include "store/store.h"

#define START_NS 1700000000000000000ll
#define FRAMES	 10

struct maker {
	struct intern *strings;
	struct store_writer *writer;
	struct snap_frame *frames; /* FRAMES a stack */
	size_t stacks;
	int64_t every_ns, start_ns, attach_ns;
	uint64_t limit, rss;
	const char *file; /* NULL: a file a model */
	double missed;
	int pid, only;
};

static int make_frames(struct maker *m, size_t stacks, const char *file)
{
	m->stacks = stacks;
	m->frames = calloc(stacks * FRAMES, sizeof(*m->frames));
	for (size_t i = 0; m->frames && i < stacks; i++) {
		for (int f = 0; f < FRAMES; f++) {
			struct snap_frame *frame = &m->frames[i * FRAMES + f];
			char text[64];

			/* the innermost frame is the stack's own, the callers are shared */
			snprintf(text, sizeof(text), file, f ? i % 100 : i / 500);
			if (intern_str(m->strings, text, &frame->file))
				return -1;
			snprintf(text, sizeof(text), "fn%zu", f ? i % 1000 / (size_t)f : i);
			if (intern_str(m->strings, text, &frame->function))
				return -1;
			frame->line = f ? (int)(i % 1000 / (size_t)f) + 1 : (int)(i % 500) + 1;
		}
	}
	return m->frames ? 0 : -1;
}

static int create(struct maker *m, const char *path)
{
	const struct store_meta meta = {
		.pid = m->pid,
		.start_ns = START_NS - 3600000000000ll,
		.attach_ns = m->attach_ns,
		.comm = "simulated",
		.python_version = "3.11.2",
		.mode = "exact",
		.sampling = "none",
		.cgroup_limit_bytes = m->limit,
		.frames = FRAMES,
		.every_s = (double)m->every_ns / 1e9,
		.domains = {true, true},
	};
	const struct store_opts opts = {.force = true, .keep = 100000};

	return store_create(path, &meta, &opts, &m->writer);
}

static int append(struct maker *m, uint32_t seq, int64_t time_ns, const uint64_t *bytes,
		  double progress)
{
	struct snapshot *s = snapshot_new(m->strings);
	int err = s ? 0 : -1;

	for (size_t i = 0; !err && i < m->stacks; i++)
		err = snapshot_add(s, SNAP_PYTHON, &m->frames[i * FRAMES], FRAMES, false, bytes[i],
				   bytes[i] ? bytes[i] / 64 + 1 : 0);
	if (!err) {
		s->seq = seq;
		s->time_ns = time_ns;
		s->elapsed_s = (double)(time_ns - m->attach_ns) / 1e9;
		s->mode = "exact";
		s->cost_cpu_ratio = -1;
		s->rss_bytes = 100000000 + (uint64_t)(progress * (double)m->rss);
		s->coverage[SNAP_PYTHON] = (struct snap_coverage){
			.known = true,
			.recorded = s->live_blocks,
			.missed = (uint64_t)((double)s->live_blocks * m->missed / (1 - m->missed)),
		};
		err = store_append(m->writer, s);
	}
	snapshot_free(s);
	return err;
}

static int make_scale(struct maker *m, const char *path, size_t stacks, size_t snapshots,
		      size_t permille)
{
	struct rng r = {1};
	uint64_t *bytes = calloc(stacks, sizeof(*bytes));
	int err = make_frames(m, stacks, "/srv/shop/module%zu.py");

	m->attach_ns = m->start_ns - m->every_ns;
	if (!err)
		err = create(m, path);
	for (size_t i = 0; i < stacks; i++)
		bytes[i] = 64 + rng_next(&r) % 100000;
	for (size_t k = 0; !err && k < snapshots; k++) {
		for (size_t c = 0; k && c < stacks * permille / 1000; c++)
			bytes[rng_next(&r) % stacks] = 64 + rng_next(&r) % 100000;
		for (size_t i = 0; i < stacks; i += 1000) /* one in a thousand leaks */
			bytes[i] = 1000 + 4096 * k;
		err = append(m, (uint32_t)k + 1, m->start_ns + (int64_t)k * m->every_ns, bytes, 0);
	}
	free(bytes);
	return err;
}

/* All models see the same times: evenly, whatever the run drew for itself. */
static int make_models(struct maker *m, const char *path, uint64_t seed, size_t snapshots)
{
	struct run runs[MODELS];
	uint64_t bytes[MODELS];
	int err = make_frames(m, MODELS, "/srv/app/model%zu.py");

	for (int i = 0; !err && i < MODELS; i++) {
		err = run_make_even(&runs[i], (enum model)i, seed, snapshots);
		(void)intern_str(m->strings, models[i].name, &m->frames[i * FRAMES].function);
		if (m->file)
			(void)intern_str(m->strings, m->file, &m->frames[i * FRAMES].file);
	}
	if (!err)
		err = create(m, path);
	for (size_t k = 0; !err && k < snapshots; k++) {
		for (int i = 0; i < MODELS; i++)
			bytes[i] = m->only >= 0 && m->only != i ? 0 : (uint64_t)runs[i].value[k];
		err = append(m, (uint32_t)k + 1, m->start_ns + (int64_t)k * m->every_ns, bytes,
			     (double)k / (double)(snapshots - 1));
	}
	for (int i = 0; i < MODELS; i++)
		run_release(&runs[i]);
	return err;
}

static void take_key(struct maker *m, const char *arg)
{
	const char *value = strchr(arg, '=');
	double number = value ? strtod(value + 1, NULL) : 0;

	if (!strncmp(arg, "limit=", 6))
		m->limit = (uint64_t)number;
	else if (!strncmp(arg, "file=", 5))
		m->file = arg + 5;
	else if (!strncmp(arg, "rss=", 4))
		m->rss = (uint64_t)number;
	else if (!strncmp(arg, "missed=", 7))
		m->missed = number;
	else if (!strncmp(arg, "pid=", 4))
		m->pid = (int)number;
	else if (!strncmp(arg, "only=", 5))
		m->only = (int)number;
	else if (!strncmp(arg, "every=", 6))
		m->every_ns = (int64_t)(number * 1e9);
	else if (!strncmp(arg, "start=", 6))
		m->start_ns = START_NS + (int64_t)(number * 1e9);
	else if (!strncmp(arg, "attach=", 7))
		m->attach_ns = -(int64_t)(number * 1e9);
}

int main(int argc, char **argv)
{
	struct maker m = {
		.strings = intern_new(),
		.every_ns = 60000000000ll,
		.start_ns = START_NS,
		.pid = 4711,
		.only = -1,
	};
	int err = -1;

	for (int i = 5; i < argc; i++)
		take_key(&m, argv[i]);
	m.attach_ns = m.start_ns + (m.attach_ns ? m.attach_ns : -m.every_ns);
	if (argc >= 6 && !strcmp(argv[1], "scale"))
		err = make_scale(&m, argv[2], strtoul(argv[3], NULL, 10),
				 strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
	else if (argc >= 5 && !strcmp(argv[1], "models"))
		err = make_models(&m, argv[2], strtoull(argv[3], NULL, 10),
				  strtoul(argv[4], NULL, 10));
	else
		printf("usage: make_series scale OUT STACKS SNAPSHOTS PERMILLE | models OUT SEED "
		       "SNAPSHOTS [KEY=VALUE...]\n");
	if (store_writer_close(m.writer, "count") && !err)
		err = -1;
	free(m.frames);
	intern_free(m.strings);
	return err ? 1 : 0;
}
