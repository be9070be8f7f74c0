// SPDX-License-Identifier: GPL-2.0-or-later
/* Reads shadow pools against the heap, and the live table. */
#include "drain/drain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "drain/forget.h"
#include "drain/held_memory.h"
#include "drain/late_blocks.h"
#include "drain/stack_ids.h"

#define MAINTAIN_EVERY_POOLS 4096	 /* 64 MiB of heap, some 10 ms */
#define TAKE_BACK_EVERY_NS   200000000LL /* longer than any handler is under way */
/* Between two looks at the cancel. */
#define CANCEL_POOLS   256
#define CANCEL_BUCKETS 4096

struct drain {
	struct bpf_session *session;
	struct target *target;
	struct drain_opts opts;
	struct heap_reader *heap; /* NULL: all blocks are in the live table */
	struct census *census;
	struct stack_ids *stack_ids;
	bool ids_short;	       /* during this read */
	int64_t taken_back_ns; /* when ids were looked through last */
	uint64_t *pools;       /* addresses to read, sorted */
	size_t pool_count, pool_cap;
	struct drain_result now, next;
	struct drain_result heap_part; /* of now: what the heap held, without the tables */
	struct late_blocks pools_now, pools_next; /* of now, next */
	struct cancel cancel;
	uint32_t epoch;
	uint64_t late_bytes; /* of on_late_block() */
	bool taking_census;
	bool forget_dead;	/* in the next read */
	enum held_verdict held; /* of the last read */
	unsigned pools_seen;
	int err;
};

static int result_new(struct drain_result *r, size_t ids)
{
	r->stack_cap = ids;
	r->by_stack = calloc(ids, sizeof(*r->by_stack));
	r->ids = calloc(ids, sizeof(*r->ids));
	return r->by_stack && r->ids ? 0 : -ENOMEM;
}

static void result_release(struct drain_result *r)
{
	free(r->by_stack);
	free(r->ids);
}

int drain_new(struct bpf_session *s, struct target *t, const struct alloc_set *alloc,
	      const struct drain_opts *opts, struct drain **out)
{
	_cleanup_(drain_freep) struct drain *d = calloc(1, sizeof(*d));
	size_t ids = s->stack_ids_max; /* mostly never touched */
	int err;

	if (!d)
		return -ENOMEM;
	d->session = s;
	d->target = t;
	d->opts = *opts;
	err = result_new(&d->now, ids);
	if (err)
		return err;
	err = result_new(&d->next, ids);
	if (err)
		return err;
	err = result_new(&d->heap_part, ids);
	if (err)
		return err;
	err = census_new(&d->census);
	if (err)
		return err;
	err = stack_ids_new(s, &d->stack_ids);
	if (err)
		return err;
	err = alloc_liveness(alloc, &d->heap);
	if (err)
		return err;
	*out = take_ptr(d);
	return 0;
}

void drain_free(struct drain *d)
{
	if (!d)
		return;
	result_release(&d->now);
	result_release(&d->next);
	result_release(&d->heap_part);
	late_blocks_release(&d->pools_now);
	late_blocks_release(&d->pools_next);
	heap_reader_free(d->heap);
	census_free(d->census);
	stack_ids_free(d->stack_ids);
	free(d->pools);
	free(d);
}

void drain_set_cancel(struct drain *d, struct cancel cancel)
{
	d->cancel = cancel;
}

static int by_addr(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/*
 * Epochs come round again after fifteen: a mark left from long ago must not look like a new one. BPF
 * may hand the block out at the same moment: then the exchange fails, rightly.
 */
static void clean_mark(const struct drain *d, uint32_t *slot, uint32_t value)
{
	uint32_t mark = value >> TM_MARK_SHIFT;

	if (mark && mark != d->epoch)
		__sync_bool_compare_and_swap(slot, value, value & TM_STACK_ID_MASK);
}

/* An id is listed with its first block: empty pools are left out, or it would be listed again. */
static void add_blocks(struct drain_result *r, uint32_t id, uint64_t bytes, uint64_t blocks)
{
	if (!blocks)
		return;
	if (id >= r->stack_cap)
		id = TM_STACK_LOST;
	if (!r->by_stack[id].blocks)
		r->ids[r->id_count++] = id;
	r->by_stack[id].bytes += bytes;
	r->by_stack[id].blocks += blocks;
	r->all_bytes += bytes;
}

static void book_small(struct drain_result *r, uint32_t id, uint64_t class_bytes, uint64_t blocks)
{
	add_blocks(r, id, class_bytes * blocks, blocks);
	r->small_bytes += class_bytes * blocks;
}

/* In pools mode the first slot stands for all blocks of the pool. */
static void book_pool(struct drain *d, const struct pool_state *p, const struct tm_dir_entry *e)
{
	const uint32_t *slot =
		e && TM_DIR_SZIDX(e->key) == p->szidx ? pool_slot_at(d->session, e->ref, 0) : NULL;
	uint32_t id = slot ? *slot & TM_STACK_ID_MASK : TM_STACK_NONE;

	if (id)
		book_small(&d->next, id, p->class_bytes, p->ref_count);
}

static void book_blocks(struct drain *d, const struct pool_state *p, const struct tm_dir_entry *e,
			uint64_t *unrecorded)
{
	bool known = e && TM_DIR_SZIDX(e->key) == p->szidx;

	for (uint32_t w = 0; w < (p->blocks + 63) / 64; w++) {
		uint64_t live = p->live[w];

		unrecorded[w] = 0;
		while (live) {
			uint32_t bit = (uint32_t)__builtin_ctzll(live);
			uint32_t *slot =
				known ? pool_slot_at(d->session, e->ref, w * 64 + bit) : NULL;
			uint32_t value = slot ? __atomic_load_n(slot, __ATOMIC_RELAXED) : 0;

			live &= live - 1;
			if (!(value & TM_STACK_ID_MASK)) {
				unrecorded[w] |= 1ull << bit;
				continue;
			}
			clean_mark(d, slot, value);
			book_small(&d->next, value & TM_STACK_ID_MASK, p->class_bytes, 1);
			if ((value & TM_STACK_ID_MASK) == TM_STACK_LOST)
				d->next.missed_small++; /* no line: as good as no record */
			else
				d->next.recorded_small++;
		}
	}
}

/* Caught in mid-change, any of its blocks may be alive. */
static void keep_ids(struct drain *d, const struct pool_state *p, const struct tm_dir_entry *e)
{
	for (uint32_t i = 0; e && i < p->blocks; i++) {
		const uint32_t *slot = pool_slot_at(d->session, e->ref, i);

		if (slot)
			stack_ids_keep(d->stack_ids, *slot & TM_STACK_ID_MASK);
	}
}

static void on_pool(void *ctx, const struct pool_state *p)
{
	struct drain *d = ctx;
	const struct tm_dir_entry *e = bpf_session_pool(d->session, p->addr);
	uint64_t unrecorded[POOL_BITMAP_WORDS], old[POOL_BITMAP_WORDS];

	if (late_blocks_note(&d->pools_next, p))
		d->err = -ENOMEM;
	/* A large heap takes seconds, in which the target goes on. */
	if (++d->pools_seen % MAINTAIN_EVERY_POOLS == 0)
		(void)bpf_session_maintain(d->session);
	d->next.moving_pools += p->moving;
	if (p->moving && d->ids_short)
		keep_ids(d, p, e);
	if (d->opts.pools_mode) {
		book_pool(d, p, e);
		return;
	}
	book_blocks(d, p, e, unrecorded);
	if (d->forget_dead)
		forget_dead_blocks(d->session, p, e);
	if (d->taking_census) {
		if (census_add(d->census, p, unrecorded))
			d->err = -ENOMEM;
		return;
	}
	census_prune(d->census, p);
	census_get(d->census, p, old);
	/* Skip a pool caught in mid-change, because its missing blocks mean nothing. */
	for (uint32_t w = 0; !p->moving && w < (p->blocks + 63) / 64; w++)
		d->next.missed_small += (uint64_t)__builtin_popcountll(unrecorded[w] & ~old[w]);
}

static int collect_level(struct drain *d, const struct tm_dir_bucket *buckets, uint32_t count)
{
	for (uint32_t b = 0; b < count; b++) {
		for (int way = 0; way < TM_DIR_WAYS; way++) {
			uint64_t *grown;

			if (!buckets[b].way[way].key)
				continue;
			grown = array_grow(d->pools, &d->pool_cap, d->pool_count + 1,
					   sizeof(*d->pools));
			if (!grown)
				return -ENOMEM;
			d->pools = grown;
			d->pools[d->pool_count++] = TM_DIR_POOL(buckets[b].way[way].key);
		}
	}
	return 0;
}

/* Every pool that BPF knows, and with full also every other one that can be found. */
static int collect_pools(struct drain *d, bool full)
{
	const struct bpf_session *s = d->session;
	size_t kept = 0;
	int err;

	if (full) {
		uint64_t *found = NULL;
		size_t count = 0;

		err = target_refresh_maps(d->target);
		if (!err)
			err = heap_reader_find(d->heap, &found, &count);
		if (err)
			return err;
		free(d->pools);
		d->pools = found;
		d->pool_count = d->pool_cap = count;
	}
	for (uint32_t level = 0; level < s->dir.count; level++) {
		err = collect_level(d, s->dir.view[level], s->dir.buckets[level]);
		if (err)
			return err;
	}
	if (!d->pool_count)
		return 0;
	qsort(d->pools, d->pool_count, sizeof(*d->pools), by_addr);
	for (size_t i = 0; i < d->pool_count; i++)
		if (!kept || d->pools[kept - 1] != d->pools[i])
			d->pools[kept++] = d->pools[i];
	d->pool_count = kept;
	return 0;
}

static void book_malloc(struct drain_result *r, uint64_t meta)
{
	uint32_t id = TM_LIVE_STACK(meta);

	add_blocks(r, id, TM_LIVE_BYTES(meta), 1);
	if (id >= r->stack_cap)
		id = TM_STACK_LOST;
	r->by_stack[id].malloc_bytes += TM_LIVE_BYTES(meta);
	r->by_stack[id].malloc_blocks++;
}

static void on_spilled(void *ctx, uint64_t addr, uint64_t meta)
{
	struct drain *d = ctx;

	(void)addr;
	book_malloc(&d->next, meta);
}

static int read_live_level(struct drain *d, const struct tm_live_bucket *buckets, uint32_t count)
{
	for (uint32_t b = 0; b < count; b++) {
		if (b % CANCEL_BUCKETS == 0 && cancel_asked(&d->cancel))
			return -ECANCELED;
		for (int way = 0; way < TM_LIVE_WAYS; way++) {
			const struct tm_live_entry *e = &buckets[b].way[way];
			uint64_t addr = __atomic_load_n(&e->addr, __ATOMIC_ACQUIRE);
			uint64_t meta = __atomic_load_n(&e->meta, __ATOMIC_RELAXED);

			/* 1 is a way being filled (bpf/live_table.bpf.h). */
			if (addr <= 1 || __atomic_load_n(&e->addr, __ATOMIC_ACQUIRE) != addr)
				continue;
			book_malloc(&d->next, meta);
		}
	}
	return 0;
}

static int read_live_table(struct drain *d)
{
	struct bpf_session *s = d->session;

	for (uint32_t l = 0; l < s->live.count; l++) {
		int err = read_live_level(d, s->live.view[l], s->live.buckets[l]);

		if (err)
			return err;
		(void)bpf_session_maintain(s);
	}
	return bpf_session_each_spilled(s, on_spilled, d);
}

/* Clear touched entries only, because the tables are large and mostly empty. */
static void result_reset(struct drain_result *r)
{
	for (size_t i = 0; i < r->id_count; i++)
		r->by_stack[r->ids[i]] = (struct stack_total){0};
	*r = (struct drain_result){
		.by_stack = r->by_stack, .stack_cap = r->stack_cap, .ids = r->ids};
}

static void result_add(struct drain_result *to, const struct drain_result *from)
{
	for (size_t i = 0; i < from->id_count; i++) {
		const struct stack_total *t = &from->by_stack[from->ids[i]];

		add_blocks(to, from->ids[i], t->bytes, t->blocks);
	}
}

static int read_heap(struct drain *d, bool full)
{
	int err = collect_pools(d, full);

	for (size_t at = 0; !err && at < d->pool_count; at += CANCEL_POOLS) {
		size_t left = d->pool_count - at;

		if (cancel_asked(&d->cancel))
			return -ECANCELED;
		err = heap_reader_pools(d->heap, d->pools + at,
					left < CANCEL_POOLS ? left : CANCEL_POOLS, on_pool, d);
		if (!err)
			err = d->err;
	}
	return err;
}

int drain_census(struct drain *d)
{
	int err = 0;

	if (!d->heap || d->opts.pools_mode)
		return 0;
	result_reset(&d->next);
	d->taking_census = true;
	err = read_heap(d, true);
	d->taking_census = false;
	if (err)
		return log_err(err, "cannot take the census of the heap");
	return 0;
}

/* For drain_read_ended(): a heap that was read whole, and the pools as they were then. */
static void keep_heap(struct drain *d)
{
	struct late_blocks pools = d->pools_now;

	result_reset(&d->heap_part);
	result_add(&d->heap_part, &d->next);
	d->pools_now = d->pools_next;
	d->pools_next = pools;
}

static void swap_results(struct drain *d)
{
	struct drain_result swap = d->now;

	d->now = d->next;
	d->next = swap;
}

static bool holds_blocks(void *ctx, uint32_t id)
{
	const struct drain *d = ctx;

	return d->next.by_stack[id].blocks;
}

/* Reads follow each other closely when they are asked for by a signal. */
static void take_ids_back(struct drain *d)
{
	int64_t now = monotonic_ns();
	size_t freed;

	if (!d->ids_short || now - d->taken_back_ns < TAKE_BACK_EVERY_NS)
		return;
	d->taken_back_ns = now;
	freed = stack_ids_take_back(d->stack_ids, holds_blocks, d);
	if (freed)
		log_info("%zu stack ids taken back", freed);
}

/* Warn once when it begins, since memory may fit again later. */
static void check_held(struct drain *d, const struct held_memory *before)
{
	const struct drain_result *r = &d->next;
	char live[UNITS_LEN], held_text[UNITS_LEN];
	struct held_memory held;
	enum held_verdict was = d->held;

	if (held_memory_read(d->target->pid, &held))
		return;
	held.resident = before->resident > held.resident ? before->resident : held.resident;
	held.mapped = before->mapped > held.mapped ? before->mapped : held.mapped;
	d->held = held_memory_judge(&held, r->small_bytes, r->all_bytes);
	if (d->held == was || d->held == HELD_FITS)
		return;
	units_format_size(live, (int64_t)r->all_bytes, false);
	units_format_size(held_text, (int64_t)held.resident, false);
	if (d->held == HELD_EXCEEDED)
		log_coded_warn("W104", "please report this with the output of -j -vv",
			       "the numbers are too high: %s live, but process %d holds only %s "
			       "(RSS and swap)",
			       live, (int)d->target->pid, held_text);
	else
		log_coded_warn(
			"W105", NULL,
			"%s alive, but process %d holds only %s (RSS and swap): the rest was "
			"allocated and has not been written to",
			live, (int)d->target->pid, held_text);
}

void drain_forget_dead(struct drain *d)
{
	d->forget_dead = true;
}

int drain_read(struct drain *d, bool full, uint32_t epoch, const struct drain_result **out)
{
	int64_t start = monotonic_ns();
	struct held_memory before = {0};
	int err = 0;

	*out = &d->now;
	d->err = 0;
	result_reset(&d->next);
	late_blocks_reset(&d->pools_next);
	d->epoch = epoch;
	(void)held_memory_read(d->target->pid, &before);
	d->ids_short = stack_ids_are_short(d->stack_ids);
	if (d->heap)
		err = read_heap(d, full);
	/* Also a read that came to its end while the memory was being taken away. */
	if (!err && cancel_asked(&d->cancel))
		err = -ECANCELED;
	if (!err && d->forget_dead)
		forget_unseen_pools(d->session, &d->pools_next);
	d->forget_dead = false;
	if (!err) {
		keep_heap(d);
		err = read_live_table(d);
	}
	if (err)
		return err;
	/* Sweep after every read, since the list of pools makes each one a read of the whole heap. */
	census_sweep(d->census);
	d->next.coverage_known = d->heap && !d->opts.pools_mode;
	take_ids_back(d);
	check_held(d, &before);
	d->next.duration_ns = (uint64_t)(monotonic_ns() - start);
	swap_results(d);
	return 0;
}

static void on_late_block(void *ctx, uint32_t stack_id, uint32_t bytes)
{
	struct drain *d = ctx;

	add_blocks(&d->next, stack_id, bytes, 1);
	d->late_bytes += bytes;
	d->next.recorded_small++;
}

static void keep_facts(struct drain_result *to, const struct drain_result *from)
{
	to->recorded_small = from->recorded_small;
	to->missed_small = from->missed_small;
	to->moving_pools = from->moving_pools;
	to->duration_ns = from->duration_ns;
	to->coverage_known = from->coverage_known;
}

int drain_read_ended(struct drain *d, bool late, struct drain_ended *ended)
{
	int err;

	*ended = (struct drain_ended){.result = &d->now, .has_heap = d->heap};
	d->cancel = (struct cancel){0}; /* the end is what it asks for */
	d->late_bytes = 0;
	result_reset(&d->next);
	keep_facts(&d->next, &d->now);
	result_add(&d->next, &d->heap_part);
	if (late && d->heap && !d->opts.pools_mode)
		late_blocks_each(&d->pools_now, d->session, on_late_block, d);
	err = read_live_table(d);
	if (err)
		return err;
	ended->late_bytes = d->late_bytes;
	swap_results(d);
	return 0;
}
