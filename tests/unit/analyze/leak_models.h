/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs of known behaviour, simulated: what one line of each holds over time, sampled as a recorder
 * samples, evenly or not, with gaps. Every parameter is drawn from the seed. T is the time observed.
 */
#ifndef TEST_LEAK_MODELS_H
#define TEST_LEAK_MODELS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "analyze/leaks_series.h"

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) /* splitmix64 */
{
	uint64_t z = r->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static inline double rng_between(struct rng *r, double low, double high)
{
	return low + (high - low) * ((double)(rng_next(r) >> 11) / 9007199254740992.0);
}

static inline double rng_normal(struct rng *r) /* near enough: a sum of twelve */
{
	double sum = -6;

	for (int i = 0; i < 12; i++)
		sum += rng_between(r, 0, 1);
	return sum;
}

/* log-uniform */
static inline double rng_scale(struct rng *r, double low, double high)
{
	double x = low, ratio = high / low, u = rng_between(r, 0, 1);

	for (double step = 0.5; step > 1e-6; step /= 2) { /* ratio^u by halves; no libm */
		double root = ratio > 1 ? ratio : 1;

		for (int i = 0; i < 60; i++)
			root = 0.5 * (root + ratio / root);
		ratio = root;
		if (u >= step) {
			x *= ratio;
			u -= step;
		}
	}
	return x;
}

enum model {
	MODEL_LEAK,
	MODEL_SLOW_LEAK,
	MODEL_BIG_BLOCK,
	MODEL_DICT,
	MODEL_LATE_LEAK,
	MODEL_LEAK_BEHIND_FILL,
	MODEL_TTL_LEAK,
	MODEL_LRU,
	MODEL_STOPPED,
	MODEL_THREAD_CACHES,
	MODEL_SATURATING,
	MODEL_ONE_OFFS,
	MODEL_WARM_UP,
	MODEL_IDLE,
	MODEL_BATCH,
	MODEL_TTL,
	MODEL_QUEUE,
	MODEL_DAILY_LOAD,
	MODEL_REQUESTS,
	MODEL_JUMPS,
	MODELS
};

#define ALLOW(v) (1u << (v))
#define HOLDS	 (ALLOW(LEAK_PLATEAU) | ALLOW(LEAK_WARM_UP))

static const struct {
	const char *name;
	unsigned allowed; /* verdicts that are right */
	double floor;	  /* share of the runs that must be right */
} models[MODELS] = {
	[MODEL_LEAK] = {"leak", ALLOW(LEAK_YES), 0.99},
	[MODEL_SLOW_LEAK] = {"slow leak, churn", ALLOW(LEAK_YES), 0.90},
	[MODEL_BIG_BLOCK] = {"one big block an hour", ALLOW(LEAK_YES), 0.95},
	[MODEL_DICT] = {"growing dict", ALLOW(LEAK_YES), 0.97},
	[MODEL_LATE_LEAK] = {"leak starts late", ALLOW(LEAK_YES), 0.95},
	[MODEL_LEAK_BEHIND_FILL] = {"leak behind a fill", ALLOW(LEAK_YES), 0.95},
	[MODEL_TTL_LEAK] = {"leak in a saw-tooth", ALLOW(LEAK_YES), 0.80},
	[MODEL_LRU] = {"LRU cache fills", ALLOW(LEAK_PLATEAU), 0.97},
	[MODEL_STOPPED] = {"leak stops", ALLOW(LEAK_PLATEAU), 0.97},
	[MODEL_THREAD_CACHES] = {"thread caches", ALLOW(LEAK_PLATEAU) | ALLOW(LEAK_UNKNOWN), 0.95},
	[MODEL_SATURATING] = {"saturating cache", HOLDS | ALLOW(LEAK_UNKNOWN), 0.97},
	[MODEL_ONE_OFFS] = {"one-off blocks", HOLDS | ALLOW(LEAK_UNKNOWN), 0.97},
	[MODEL_WARM_UP] = {"warm-up", ALLOW(LEAK_WARM_UP), 0.97},
	[MODEL_IDLE] = {"idle", HOLDS, 0.99},
	[MODEL_BATCH] = {"periodic batch", ALLOW(LEAK_CHURN), 0.95},
	[MODEL_TTL] = {"cache with TTL", ALLOW(LEAK_CHURN), 0.95},
	[MODEL_QUEUE] = {"bounded queue", ALLOW(LEAK_CHURN) | HOLDS, 0.95},
	[MODEL_DAILY_LOAD] = {"load comes and goes", ALLOW(LEAK_CHURN), 0.95},
	[MODEL_REQUESTS] = {"requests", ALLOW(LEAK_CHURN) | HOLDS, 0.97},
	[MODEL_JUMPS] = {"jumps", ALLOW(LEAK_CHURN) | HOLDS | ALLOW(LEAK_UNKNOWN), 0.99},
};

struct run { /* one recording of one line */
	struct rng rng;
	size_t snapshots;
	int64_t *time_ns;
	double *at;    /* time of the snapshot, as share of T */
	double *value; /* bytes */
	double size;   /* bytes that matter in this run */
};

/* When the snapshots were taken: even, jittered, or with a gap. */
static inline void run_times(struct run *run, size_t snapshots)
{
	struct rng *r = &run->rng;
	double interval_s = rng_scale(r, 0.5, 300), t = 0, jitter = 0, gap_at = 2, gap = 0;
	int kind = (int)(rng_next(r) % 4);

	if (kind == 1)
		jitter = 0.5;
	if (kind == 2) {
		gap_at = rng_between(r, 0.2, 0.8);
		gap = rng_between(r, 0.05, 0.25);
	}
	for (size_t i = 0; i < snapshots; i++) {
		if (gap > 0 && (double)i > gap_at * (double)snapshots) {
			t += gap * (double)snapshots;
			gap = 0;
		}
		run->at[i] = t;
		t += 1 + jitter * rng_between(r, -1, 1);
	}
	t = run->at[snapshots - 1];
	for (size_t i = 0; i < snapshots; i++) {
		run->time_ns[i] = 1700000000000000000ll + (int64_t)(run->at[i] * interval_s * 1e9);
		run->at[i] /= t;
	}
}

static inline double ramp(double t, double from, double to)
{
	return t <= from ? 0 : t >= to ? 1 : (t - from) / (to - from);
}

/* Independent arrivals: growth by a random amount each step, `total` in the end on average. */
static inline void add_growth(struct run *run, double total, double from, double to)
{
	double have = 0, unit = total / rng_scale(&run->rng, 200, 20000);
	double before = 0;

	for (size_t i = 0; i < run->snapshots; i++) {
		double now = ramp(run->at[i], from, to), due = (now - before) * total / unit;

		/* a Poisson number with mean `due`, by its normal neighbour; never negative */
		if (due > 0) {
			double spread = 1;

			for (int k = 0; k < 30; k++)
				spread = 0.5 * (spread + due / spread);
			due += spread * rng_normal(&run->rng);
			have += due > 0 ? due * unit : 0;
		}
		before = now;
		run->value[i] += have;
	}
}

/* What is in flight: level * (1 + noise that remembers about `memory` of T). */
static inline void add_in_flight(struct run *run, double level, double noise, double memory)
{
	double x = rng_normal(&run->rng), before = 0;

	for (size_t i = 0; i < run->snapshots; i++) {
		double keep = 1 - (run->at[i] - before) / memory, rest = 1;

		if (keep < 0)
			keep = 0;
		for (int k = 0; k < 30; k++) /* sqrt(1 - keep^2) */
			rest = 0.5 * (rest + (1 - keep * keep) / rest);
		x = keep * x + (keep < 1 ? rest : 0) * rng_normal(&run->rng);
		before = run->at[i];
		if (1 + noise * x > 0)
			run->value[i] += level * (1 + noise * x);
	}
}

static inline void scale_noise(struct run *run, double noise)
{
	for (size_t i = 0; i < run->snapshots; i++)
		run->value[i] *= 1 + noise * rng_normal(&run->rng);
}

static inline void model_steps(struct run *run, int steps, double jitter)
{
	for (int k = 0; k < steps; k++) {
		double when = (k + rng_between(&run->rng, 0.5 - jitter, 0.5 + jitter)) / steps;

		for (size_t i = 0; i < run->snapshots; i++)
			run->value[i] += run->at[i] >= when ? run->size : 0;
	}
}

static inline void model_dict(struct run *run)
{
	double entries = rng_scale(&run->rng, 500, 1e6), value = rng_between(&run->rng, 80, 400);

	for (size_t i = 0; i < run->snapshots; i++) {
		double n = entries * run->at[i], table = 8;

		while (table * 2 / 3 < n)
			table *= 2;
		run->value[i] = n * value + table * 28; /* index and entries of a CPython dict */
	}
}

/* Fills to its capacity; hits make it slower the fuller it is. Items differ in size. */
static inline void model_lru(struct run *run, double full_at, double hits, double noise)
{
	double capacity = run->size, v = 0, before = 0, scale = 1;

	for (int pass = 0; pass < 2; pass++) { /* the first finds the rate that fills it in time */
		v = before = 0;
		for (double t = 0; t < full_at; t += full_at / 500)
			v += scale * (1 - hits * v / capacity) * capacity / 500;
		scale *= capacity / v;
		if (hits > 0 && pass == 0)
			scale *= 1 + hits;
	}
	v = 0;
	for (size_t i = 0; i < run->snapshots; i++) {
		double steps = 20, dt = (run->at[i] - before) / steps;

		for (int k = 0; k < 20; k++)
			v += scale * (1 - hits * v / capacity) * capacity * dt / full_at;
		v = v > capacity ? capacity : v;
		before = run->at[i];
		run->value[i] += v;
	}
	scale_noise(run, noise);
}

static inline void model_batch(struct run *run)
{
	struct rng *r = &run->rng;
	double period = rng_scale(r, 4.0 / (double)run->snapshots, 0.24);
	double duty = rng_between(r, 0.15, 0.7), phase = rng_between(r, 0, 1);
	double base = run->size * rng_between(r, 0, 0.3), amplitude = run->size;
	int batch = -1;

	for (size_t i = 0; i < run->snapshots; i++) {
		double x = run->at[i] / period + phase;

		if ((int)x != batch) {
			batch = (int)x;
			amplitude = run->size * rng_between(r, 0.8, 1.2);
		}
		x -= batch;
		run->value[i] = base + (x < duty ? amplitude * x / duty : 0);
	}
}

static inline void model_ttl(struct run *run)
{
	struct rng *r = &run->rng;
	double period = rng_scale(r, 4.0 / (double)run->snapshots, 0.24),
	       phase = rng_between(r, 0, 1);
	double load = 1, rest = rng_between(r, 0, 0.2);
	int tooth = -1;

	for (size_t i = 0; i < run->snapshots; i++) {
		double x = run->at[i] / period + phase;

		if ((int)x != tooth) {
			tooth = (int)x;
			load = rng_between(r, 0.7, 1.3);
		}
		run->value[i] = run->size * (rest + load * (x - tooth));
	}
}

/* A queue between a producer and a consumer: a walk between two walls, that crosses in `mixing` of T. */
static inline void model_queue(struct run *run)
{
	struct rng *r = &run->rng;
	double mixing = rng_scale(r, 1.0 / (double)run->snapshots, 0.06), level = 0.5, before = 0;

	for (size_t i = 0; i < run->snapshots; i++) {
		double spread = 1, due = (run->at[i] - before) / mixing;

		for (int k = 0; due > 0 && k < 30; k++)
			spread = 0.5 * (spread + due / spread);
		level += (due > 0 ? spread : 0) * rng_normal(r);
		while (level < 0 || level > 1)
			level = level < 0 ? -level : 2 - level;
		before = run->at[i];
		run->value[i] = run->size * level;
	}
}

static inline double wave(double x) /* 0..1..0, smooth, period 1 */
{
	x -= (double)(int)x;
	x = x < 0.5 ? x * 2 : 2 - x * 2;
	return x * x * (3 - 2 * x);
}

static inline void model_daily(struct run *run)
{
	struct rng *r = &run->rng;
	double periods = rng_between(r, 1.5, 6), phase = rng_between(r, 0, 1);

	for (size_t i = 0; i < run->snapshots; i++)
		run->value[i] = run->size * (0.3 + wave(phase + periods * run->at[i]));
	scale_noise(run, rng_between(r, 0.02, 0.15));
}

static inline void model_threads(struct run *run)
{
	int threads = 3 + (int)(rng_next(&run->rng) % 14);
	double last = rng_between(&run->rng, 0.2, 0.7);

	for (int k = 0; k < threads; k++) {
		double start = k ? rng_between(&run->rng, 0, last) : last;
		double full = start + rng_between(&run->rng, 0.01, 0.05);

		for (size_t i = 0; i < run->snapshots; i++)
			run->value[i] += run->size * ramp(run->at[i], start, full);
	}
}

/* 1/(1+x) reaches its end as slowly as a cache of skewed keys; the other one as random keys do. */
static inline void model_saturating(struct run *run)
{
	double tau = rng_between(&run->rng, 0.03, 0.2), v = 0, before = 0;

	for (size_t i = 0; i < run->snapshots; i++) {
		for (int k = 0; k < 50; k++)
			v += (1 - v) * (run->at[i] - before) / 50 / tau;
		before = run->at[i];
		run->value[i] = run->size * v;
	}
}

static inline void model_idle(struct run *run)
{
	for (size_t i = 0; i < run->snapshots; i++) {
		run->value[i] = run->size;
		if (rng_next(&run->rng) % 8 == 0) /* something small comes by */
			run->value[i] += rng_between(&run->rng, 0, 400);
	}
}

static inline void model_slow_leak(struct run *run)
{
	struct rng *r = &run->rng;
	double noise = rng_between(r, 0.05, 0.35);

	add_in_flight(run, run->size, noise, rng_scale(r, 0.2, 3) / (double)run->snapshots);
	/* what it leaks in all is between three and eight standard deviations of the churn */
	add_growth(run, run->size * noise * rng_between(r, 3, 8), 0, 1);
}

static inline void model_leak(struct run *run)
{
	struct rng *r = &run->rng;

	add_growth(run, run->size, 0, 1);
	if (rng_next(r) % 2) /* on top of what was loaded before the first snapshot */
		for (size_t i = 0; i < run->snapshots; i++)
			run->value[i] += 5 * run->size;
}

static inline void model_late_leak(struct run *run)
{
	double start = rng_between(&run->rng, 0.15, 0.6);

	if (rng_next(&run->rng) % 2)
		add_in_flight(run, run->size * 0.5, 0.05, 0.01);
	add_growth(run, run->size, start, 1);
}

static inline void model_warm_up(struct run *run)
{
	double end = rng_between(&run->rng, 0.01, 0.08);

	for (size_t i = 0; i < run->snapshots; i++)
		run->value[i] = run->size * ramp(run->at[i], -0.01, end);
	scale_noise(run, rng_between(&run->rng, 0, 0.01));
}

/* Loads something else now and then, of whatever size. */
static inline void model_jumps(struct run *run)
{
	double each = 1 / rng_between(&run->rng, 4, 25), next = 0, level = 0;

	for (size_t i = 0; i < run->snapshots; i++) {
		for (; run->at[i] >= next; next += each * rng_between(&run->rng, 0.2, 1.8))
			level = run->size * rng_between(&run->rng, 0, 1);
		run->value[i] = level;
	}
}

static inline void model_fill_once(struct run *run, double times, double end)
{
	for (size_t i = 0; i < run->snapshots; i++)
		run->value[i] += times * run->size * ramp(run->at[i], 0, end);
}

static inline void model_fill(struct run *run, enum model model)
{
	struct rng *r = &run->rng;

	switch (model) {
	case MODEL_LEAK:
		return model_leak(run);
	case MODEL_SLOW_LEAK:
		return model_slow_leak(run);
	case MODEL_BIG_BLOCK:
		return model_steps(run, 6 + (int)(rng_next(r) % 18), rng_between(r, 0, 0.2));
	case MODEL_DICT:
		return model_dict(run);
	case MODEL_LATE_LEAK:
		return model_late_leak(run);
	case MODEL_LEAK_BEHIND_FILL:
		add_growth(run, run->size, 0, 1);
		return model_fill_once(run, rng_scale(r, 2, 30), rng_between(r, 0.02, 0.25));
	case MODEL_TTL_LEAK:
		model_ttl(run);
		return add_growth(run, run->size * rng_between(r, 1, 3), 0, 1);
	case MODEL_LRU:
		return model_lru(run, rng_between(r, 0.15, 0.7), rng_between(r, 0, 0.8),
				 rng_between(r, 0, 0.03));
	case MODEL_STOPPED:
		return add_growth(run, run->size, 0, rng_between(r, 0.15, 0.75));
	case MODEL_THREAD_CACHES:
		return model_threads(run);
	case MODEL_SATURATING:
		return model_saturating(run);
	case MODEL_ONE_OFFS:
		return model_steps(run, 1 + (int)(rng_next(r) % 4), 0.5);
	case MODEL_WARM_UP:
		return model_warm_up(run);
	case MODEL_IDLE:
		return model_idle(run);
	case MODEL_BATCH:
		return model_batch(run);
	case MODEL_TTL:
		return model_ttl(run);
	case MODEL_QUEUE:
		return model_queue(run);
	case MODEL_DAILY_LOAD:
		return model_daily(run);
	case MODEL_REQUESTS:
		return add_in_flight(run, run->size, rng_between(r, 0.05, 0.6),
				     rng_scale(r, 0.2, 3) / (double)run->snapshots);
	case MODEL_JUMPS:
		return model_jumps(run);
	case MODELS:
		break;
	}
}

static inline void run_release(struct run *run)
{
	free(run->time_ns);
	free(run->at);
	free(run->value);
}

static inline int run_alloc(struct run *run, enum model model, uint64_t seed, size_t snapshots)
{
	*run = (struct run){.rng = {seed * 1000003 + (uint64_t)model}, .snapshots = snapshots};
	run->time_ns = calloc(snapshots, sizeof(*run->time_ns));
	run->at = calloc(snapshots, sizeof(*run->at));
	run->value = calloc(snapshots, sizeof(*run->value));
	if (!run->time_ns || !run->at || !run->value)
		return -1;
	run->size = rng_scale(&run->rng, 100e3, 1e9);
	return 0;
}

static inline int run_make(struct run *run, enum model model, uint64_t seed, size_t snapshots)
{
	if (run_alloc(run, model, seed, snapshots))
		return -1;
	run_times(run, snapshots);
	model_fill(run, model);
	return 0;
}

/* The same at even times, which the caller numbers. */
static inline int run_make_even(struct run *run, enum model model, uint64_t seed, size_t snapshots)
{
	if (run_alloc(run, model, seed, snapshots))
		return -1;
	for (size_t i = 0; i < snapshots; i++)
		run->at[i] = (double)i / (double)(snapshots - 1);
	model_fill(run, model);
	return 0;
}

/* Feed it as a recording would be read, and judge. */
static inline int run_judge(const struct run *run, struct leak_finding *out)
{
	struct leak_series *s = NULL;
	struct leak_line line;
	uint64_t before = UINT64_MAX;

	if (leak_series_new(run->time_ns, run->snapshots, &s))
		return -1;
	for (size_t i = 0; i < run->snapshots; i++) {
		uint64_t bytes = run->value[i] > 0 ? (uint64_t)run->value[i] : 0;
		struct leak_value v = {.bytes = bytes, .blocks = bytes / 100};

		if (bytes != before && leak_series_set(s, i, 0, &v))
			return -1;
		before = bytes;
	}
	leak_series_finish(s);
	leak_series_line(s, 0, &line);
	line.grain_bytes = 4096;
	leak_judge(&line, out);
	leak_series_free(s);
	return 0;
}

#endif
