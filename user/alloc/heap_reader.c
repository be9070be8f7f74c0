// SPDX-License-Identifier: GPL-2.0-or-later
/* Liveness of pymalloc blocks. Layout: struct tm_pool_header, CPython Include/internal/pycore_obmalloc.h. */
#include "alloc/heap_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/timed_io.h"
#include "target/target_task.h"

#define HEAD_BYTES	 TM_POOL_HEADER
#define BATCH_POOLS	 64		/* 1 MiB of 16 KiB pools at once */
#define ARENA_MAX_BYTES	 (64ull << 30)	/* per mapping; more would be the shadow of a sanitizer */
#define ARENAS_MAX_BYTES (256ull << 30) /* of all */
#define RETRIES		 3
#define PAGE		 4096ull
#define WINDOW_PAGES	 512	      /* of pagemap at once */
#define PRESENT		 (1ull << 63) /* Documentation/admin-guide/mm/pagemap.rst */
#define SWAPPED		 (1ull << 62)

struct heap_reader {
	const struct target *target;
	const struct py_offsets *offsets;
	uint32_t pool_bytes;
	uint8_t *images;			/* BATCH_POOLS pools */
	struct tm_pool_head heads[BATCH_POOLS]; /* read again after the images */
	struct iovec local[BATCH_POOLS], remote[BATCH_POOLS];
};

int heap_reader_new(const struct target *t, const struct py_offsets *offsets,
		    struct heap_reader **out)
{
	struct heap_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->target = t;
	r->offsets = offsets;
	r->pool_bytes = offsets->pool_bytes;
	r->images = timed_buffer_new((size_t)BATCH_POOLS * r->pool_bytes);
	if (!r->images) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void heap_reader_free(struct heap_reader *r)
{
	if (!r)
		return;
	timed_buffer_free(r->images);
	free(r);
}

/* A header that obmalloc could have written for a pool at addr. */
static bool head_is_sane(const struct py_offsets *o, uint64_t addr, const struct tm_pool_head *h)
{
	uint32_t size;

	if (h->szidx >= 512u >> o->pool_align_shift)
		return false;
	size = (h->szidx + 1) << o->pool_align_shift;
	if (h->maxnextoffset != o->pool_bytes - size)
		return false;
	/* nextoffset passes maxnextoffset by at most one block. */
	if (h->nextoffset < HEAD_BYTES || h->nextoffset > o->pool_bytes ||
	    (h->nextoffset - HEAD_BYTES) % size)
		return false;
	if (h->ref_count > (h->nextoffset - HEAD_BYTES) / size)
		return false;
	return !h->freeblock ||
	       (h->freeblock - addr >= HEAD_BYTES && h->freeblock - addr <= o->pool_bytes - size);
}

/* Take the free list out of the bitmap. False when it leaves the pool or loops. */
static bool clear_free_list(struct pool_state *p, const uint8_t *image,
			    const struct tm_pool_head *h, uint32_t used)
{
	uint64_t at = h->freeblock;

	for (uint32_t steps = 0; at; steps++) {
		uint64_t off = at - p->addr - HEAD_BYTES;
		uint64_t block = off / p->class_bytes;
		uint64_t bit;

		if (at - p->addr < HEAD_BYTES || off % p->class_bytes || block >= used ||
		    steps > used)
			return false;
		bit = 1ull << (block % 64);
		if (!(p->live[block / 64] & bit))
			return false;
		p->live[block / 64] &= ~bit;
		memcpy(&at, image + HEAD_BYTES + off, sizeof(at));
	}
	return true;
}

bool pool_decode(const struct py_offsets *offsets, uint64_t addr, const void *image,
		 struct pool_state *out)
{
	struct tm_pool_head h;
	uint32_t used;

	memcpy(&h, image, sizeof(h));
	if (!head_is_sane(offsets, addr, &h))
		return false;
	memset(out, 0, sizeof(*out));
	out->addr = addr;
	out->szidx = h.szidx;
	out->class_bytes = (h.szidx + 1) << offsets->pool_align_shift;
	out->blocks = (offsets->pool_bytes - HEAD_BYTES) / out->class_bytes;
	out->ref_count = h.ref_count;
	if (!h.ref_count || out->blocks > TM_POOL_SLOTS_MAX)
		return out->blocks <= TM_POOL_SLOTS_MAX;
	used = out->used = (h.nextoffset - HEAD_BYTES) / out->class_bytes;
	for (uint32_t i = 0; i < used / 64; i++)
		out->live[i] = ~0ull;
	if (used % 64)
		out->live[used / 64] = (1ull << (used % 64)) - 1;
	/* A list we cannot follow, or one that does not agree with the count: caught in mid-change. */
	out->moving = !clear_free_list(out, image, &h, used);
	if (!out->moving) {
		uint32_t live = 0;

		for (uint32_t i = 0; i < POOL_BITMAP_WORDS; i++)
			live += (uint32_t)__builtin_popcountll(out->live[i]);
		out->moving = live != h.ref_count;
	}
	return true;
}

static bool head_changed(const struct tm_pool_head *before, const struct tm_pool_head *after)
{
	return before->ref_count != after->ref_count || before->freeblock != after->freeblock ||
	       before->szidx != after->szidx || before->nextoffset != after->nextoffset;
}

/* Stop at these errors, because they are not those of one address: nothing more can be read. */
static bool target_lost(ssize_t err)
{
	return err == -ESRCH || err == -EPERM;
}

/* One pool by itself, again; *valid: out holds a state. Returns: 0, -ESRCH, -EPERM. */
static int read_again(struct heap_reader *r, uint64_t addr, uint8_t *image, struct pool_state *out,
		      bool *valid)
{
	struct tm_pool_head after;

	for (int i = 0; i < RETRIES; i++) {
		int err = target_read(r->target, addr, image, r->pool_bytes);

		*valid = !err && pool_decode(r->offsets, addr, image, out);
		if (!err)
			err = target_read(r->target, addr, &after, sizeof(after));
		if (err) {
			*valid = false;
			return target_lost(err) ? err : 0;
		}
		if (*valid && !out->moving &&
		    !head_changed((const struct tm_pool_head *)(const void *)image, &after))
			return 0;
	}
	out->moving = true;
	return 0;
}

static int batch_emit(struct heap_reader *r, const uint64_t *addrs, size_t images, size_t heads,
		      pool_fn fn, void *ctx)
{
	struct pool_state state;

	for (size_t i = 0; i < images; i++) {
		uint8_t *image = r->images + i * r->pool_bytes;
		bool valid = pool_decode(r->offsets, addrs[i], image, &state);
		int err = 0;

		if (i >= heads || !valid || state.moving ||
		    head_changed((const struct tm_pool_head *)(void *)image, &r->heads[i]))
			err = read_again(r, addrs[i], image, &state, &valid);
		if (err)
			return err;
		if (valid)
			fn(ctx, &state);
	}
	return 0;
}

/* How many of n whole ranges of `each` bytes a partial read covered. */
static size_t whole_items(ssize_t got, size_t each)
{
	return got < 0 ? 0 : (size_t)got / each;
}

static int read_batch(struct heap_reader *r, const uint64_t *addrs, size_t n, pool_fn fn, void *ctx,
		      size_t *done)
{
	size_t images;
	ssize_t got;

	for (size_t i = 0; i < n; i++) {
		r->local[i] = (struct iovec){r->images + i * r->pool_bytes, r->pool_bytes};
		r->remote[i] = (struct iovec){(void *)(uintptr_t)addrs[i], r->pool_bytes};
	}
	got = target_readv(r->target, r->local, r->remote, n);
	if (target_lost(got))
		return (int)got;
	images = whole_items(got, r->pool_bytes);
	/* Step over the page that stopped the read, because it is gone. */
	*done = images < n ? images + 1 : n;
	if (!images)
		return 0;
	for (size_t i = 0; i < images; i++) {
		r->local[i] = (struct iovec){&r->heads[i], HEAD_BYTES};
		r->remote[i].iov_len = HEAD_BYTES;
	}
	got = target_readv(r->target, r->local, r->remote, images);
	if (target_lost(got))
		return (int)got;
	return batch_emit(r, addrs, images, whole_items(got, HEAD_BYTES), fn, ctx);
}

/* ---- which pages are there ---- */

struct page_window { /* of pagemap */
	const struct target *target;
	int fd; /* -1: not readable, every page counts as resident */
	uint64_t entries[WINDOW_PAGES], first;
	size_t count;
};

static void window_open(struct page_window *w, const struct target *t)
{
	struct timed_file file;
	char path[64];

	w->target = t;
	w->count = 0;
	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)target_task(t));
	w->fd = timed_open(path, target_limit_ms(t), &file) ? -1 : file.fd;
}

static void window_close(struct page_window *w)
{
	if (w->fd >= 0)
		close(w->fd);
}

/* Skip pages that are not resident, to avoid pulling them in: they cannot have been used lately. */
static bool page_resident(struct page_window *w, uint64_t addr)
{
	uint64_t page = addr / PAGE;
	ssize_t got;

	if (w->fd < 0)
		return true;
	if (page - w->first >= w->count) {
		got = timed_pread(w->fd, w->entries, sizeof(w->entries), page * sizeof(*w->entries),
				  target_limit_ms(w->target));
		w->first = page;
		w->count = whole_items(got, sizeof(*w->entries));
		if (!w->count)
			return true;
	}
	return w->entries[page - w->first] & (PRESENT | SWAPPED);
}

/*
 * A heap that has shrunk leaves thousands of addresses that are not mapped any more, and each ends a read:
 * after the first, ask pagemap, which tells of 512 pages at once. Returns: how many pools to step over.
 */
static size_t count_absent(struct page_window *w, const struct target *t, const uint64_t *addrs,
			   size_t count)
{
	size_t n = 0;

	if (!w->target)
		window_open(w, t);
	while (n < count && !page_resident(w, addrs[n]))
		n++;
	return n;
}

int heap_reader_pools(struct heap_reader *r, const uint64_t *addrs, size_t count, pool_fn fn,
		      void *ctx)
{
	struct page_window pages = {.fd = -1};
	int err = 0;

	while (count) {
		size_t n = count < BATCH_POOLS ? count : BATCH_POOLS, done = 0;

		err = read_batch(r, addrs, n, fn, ctx, &done);
		if (err)
			break;
		if (done < n)
			done += count_absent(&pages, r->target, addrs + done, count - done);
		addrs += done;
		count -= done;
	}
	window_close(&pages);
	return err;
}

/* ---- finding pools that no probe reported ---- */

struct finder {
	struct heap_reader *r;
	uint64_t *addrs;
	size_t count, cap;
	struct page_window pages;
	uint64_t batch[BATCH_POOLS]; /* pools of several mappings, read together */
	size_t batch_count;
};

static int keep_candidate(struct finder *f, uint64_t addr)
{
	uint64_t *grown = array_grow(f->addrs, &f->cap, f->count + 1, sizeof(*f->addrs));

	if (!grown)
		return -ENOMEM;
	f->addrs = grown;
	f->addrs[f->count++] = addr;
	return 0;
}

/* Read the headers of the batch, and keep the addresses whose header makes sense. */
static int check_batch(struct finder *f)
{
	struct heap_reader *r = f->r;
	size_t from = 0;
	int err = 0;

	while (!err && from < f->batch_count) {
		size_t left = f->batch_count - from;
		ssize_t n = target_readv(r->target, r->local + from, r->remote + from, left);

		if (target_lost(n))
			return (int)n;
		size_t got = whole_items(n, HEAD_BYTES);

		for (size_t i = from; !err && i < from + got; i++) {
			if (head_is_sane(r->offsets, f->batch[i], &r->heads[i]))
				err = keep_candidate(f, f->batch[i]);
		}
		from += got < left ? got + 1 : got; /* step over one that cannot be read */
	}
	f->batch_count = 0;
	return err;
}

static int find_in(struct finder *f, uint64_t start, uint64_t end)
{
	struct heap_reader *r = f->r;
	uint64_t step = r->pool_bytes;

	for (uint64_t at = (start + step - 1) & ~(step - 1); at + step <= end; at += step) {
		size_t n = f->batch_count;

		if (!page_resident(&f->pages, at))
			continue;
		f->batch[n] = at;
		r->local[n] = (struct iovec){&r->heads[n], HEAD_BYTES};
		r->remote[n] = (struct iovec){(void *)(uintptr_t)at, HEAD_BYTES};
		int err = ++f->batch_count == BATCH_POOLS ? check_batch(f) : 0;

		if (err)
			return err;
	}
	return 0;
}

int heap_reader_find(struct heap_reader *r, uint64_t **addrs, size_t *count)
{
	struct finder f = {.r = r};
	uint64_t left = ARENAS_MAX_BYTES;
	int err = 0;

	window_open(&f.pages, r->target);
	tm_for_each_mapping(m, &r->target->maps) {
		/* Arenas are mmap'ed, private, anonymous; [heap] and stacks hold none; "[anon:x]" is a named one. */
		if (!m->read || !m->write || m->exec || m->shared || m->inode ||
		    (m->path[0] && strncmp(m->path, "[anon", 5)) ||
		    m->end - m->start > ARENA_MAX_BYTES || m->end - m->start > left)
			continue;
		left -= m->end - m->start;
		err = find_in(&f, m->start, m->end);
		if (err)
			break;
	}
	if (!err)
		err = check_batch(&f);
	window_close(&f.pages);
	if (err) {
		free(f.addrs);
		return err;
	}
	*addrs = f.addrs;
	*count = f.count;
	return 0;
}

/* Pools whose headers make sense with this alignment. */
static int count_pools(const struct target *t, const struct py_offsets *offsets, uint8_t shift,
		       size_t *count)
{
	struct py_offsets row = *offsets;
	struct heap_reader *r;
	uint64_t *addrs = NULL;
	int err;

	row.pool_align_shift = shift;
	err = heap_reader_new(t, &row, &r);
	if (err)
		return err;
	err = heap_reader_find(r, &addrs, count);
	heap_reader_free(r);
	if (!err)
		free(addrs);
	return err;
}

int heap_reader_align_shift(const struct target *t, const struct py_offsets *offsets,
			    uint8_t *shift)
{
	size_t eight = 0, sixteen = 0;
	int err = count_pools(t, offsets, 3, &eight);

	if (!err)
		err = count_pools(t, offsets, 4, &sixteen);
	if (err)
		return err;
	if (eight == sixteen)
		return -ENOENT;
	*shift = eight > sixteen ? 3 : 4;
	return 0;
}
