/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tuples of a pickle: frames, tracebacks and traces; equal ones are one. Turns them into a snapshot. */
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/keyed_hash.h"
#include "pickle/pickle_values.h"

#define DOMAIN_MMAP 0x746d6202u /* beside SNAP_NUMBER_NATIVE: frames of native code there, too */

/* Keyed: a file could be full of tracebacks that collide, and each would be compared with all others. */
static uint64_t hash_frames(const struct pframe *frames, size_t count)
{
	uint64_t h = KEYED_HASH_START, point = keyed_hash_point();

	for (size_t i = 0; i < count; i++) {
		h = keyed_hash_step(h, frames[i].file.v, point);
		h = keyed_hash_step(h, (uint32_t)frames[i].line, point);
	}
	return keyed_hash_end(h);
}

static bool same_frames(const struct pickle_values *v, const struct ptraceback *t,
			const struct pframe *frames, size_t count)
{
	const struct pframe *mine = v->frames + t->first;

	if (t->count != count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (mine[i].file.v != frames[i].file.v || mine[i].line != frames[i].line)
			return false;
	}
	return true;
}

/* The frames were appended to the list; keep them when the traceback is new. */
static int find_traceback(struct pickle_values *v, size_t count, uint32_t *id)
{
	const struct pframe *frames = v->frames + v->frame_count;
	uint64_t hash = hash_frames(frames, count);
	struct ptraceback *tracebacks;
	uint32_t first = 0;

	if (idmap_get(v->traceback_index, hash, &first)) {
		for (uint32_t i = first + 1; i; i = v->tracebacks[i - 1].next) {
			*id = i - 1;
			if (same_frames(v, &v->tracebacks[*id], frames, count))
				return 0;
		}
		first++;
	}
	if (v->traceback_count >= UINT32_MAX - 1 || v->frame_count + count > UINT32_MAX)
		return pickle_fault(v, -EFBIG, "too many different tracebacks");
	tracebacks = array_grow(v->tracebacks, &v->traceback_cap, v->traceback_count + 1,
				sizeof(*tracebacks));
	if (!tracebacks)
		return -ENOMEM;
	v->tracebacks = tracebacks;
	tracebacks[v->traceback_count] = (struct ptraceback){
		.first = (uint32_t)v->frame_count, .count = (uint32_t)count, .next = first};
	*id = (uint32_t)v->traceback_count;
	if (idmap_put(v->traceback_index, hash, *id))
		return -ENOMEM;
	v->traceback_count++;
	v->frame_count += count;
	return 0;
}

static int push_traceback(struct pickle_values *v, const struct pvalue *items, size_t count)
{
	struct pvalue t = {.kind = PV_TRACEBACK};
	struct pframe *frames;
	int err;

	if (count > UINT16_MAX) /* tracemalloc.start() takes no more, Python/tracemalloc.c v3.13 */
		return pickle_fault(v, -EFBIG, "a traceback of %zu frames", count);
	frames = array_grow(v->frames, &v->frame_cap, v->frame_count + count, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	v->frames = frames;
	for (size_t i = 0; i < count; i++)
		frames[v->frame_count + i] =
			(struct pframe){{items[i].id}, (int32_t)items[i].number};
	err = find_traceback(v, count, &t.id);
	return err ? err : pickle_push(v, t);
}

/* tracemalloc writes one frame <unknown>, line 0, for an unknown stack. */
static bool is_unknown(const struct pickle_values *v, const struct ptraceback *t)
{
	const struct pframe *f = &v->frames[t->first];

	return t->count == 1 && !f->line && f->file.v == v->name_unknown.v;
}

/* (domain, size, traceback) up to 3.8, (domain, size, traceback, frames before the cut) from 3.9 on. */
static int push_trace(struct pickle_values *v, const struct pvalue *items, size_t count)
{
	const struct ptraceback *tb =
		items[2].kind == PV_TRACEBACK ? &v->tracebacks[items[2].id] : NULL;
	struct psum sum = {.traceback = tb && !is_unknown(v, tb) ? items[2].id + 1 : 0};
	struct pvalue t = {.kind = PV_TRACE, .number = items[1].number};
	struct psum *sums;
	uint64_t key;
	int err;

	if (items[0].number > UINT32_MAX)
		return pickle_fault(v, -EBADMSG, "domain %llu does not fit 32 bits",
				    (unsigned long long)items[0].number);
	err = snapshot_domain_of(v->snapshot, (uint32_t)items[0].number, &sum.domain);
	if (err == -ERANGE)
		return pickle_fault(v, -EFBIG, "too many domains");
	if (err)
		return err;
	if (count == 4)
		sum.truncated = items[3].number > (tb ? tb->count : 0);
	key = sum.traceback | (uint64_t)sum.domain << 32 | (uint64_t)sum.truncated << 40;
	key ^= keyed_hash_point(); /* mixed here, because attackers know idmap's own mixer */
	if (idmap_get(v->sum_index, key, &t.id))
		return pickle_push(v, t);
	sums = array_grow(v->sums, &v->sum_cap, v->sum_count + 1, sizeof(*sums));
	if (!sums)
		return -ENOMEM;
	v->sums = sums;
	sums[v->sum_count] = sum;
	t.id = (uint32_t)v->sum_count;
	if (idmap_put(v->sum_index, key, t.id))
		return -ENOMEM;
	v->sum_count++;
	return pickle_push(v, t);
}

static bool is_traceback(const struct pvalue *value)
{
	return value->kind == PV_TRACEBACK || value->kind == PV_EMPTY_TUPLE;
}

static bool are_frames(const struct pvalue *items, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (items[i].kind != PV_FRAME)
			return false;
	}
	return count > 0;
}

int pickle_push_tuple(struct pickle_values *v, const struct pvalue *items, size_t count)
{
	if (!count)
		return pickle_push(v, (struct pvalue){.kind = PV_EMPTY_TUPLE});
	if (count == 2 && items[0].kind == PV_STR && items[1].kind == PV_INT &&
	    items[1].number <= INT32_MAX)
		return pickle_push(v, (struct pvalue){PV_FRAME, items[0].id, items[1].number});
	if (are_frames(items, count))
		return push_traceback(v, items, count);
	if ((count == 3 || (count == 4 && items[3].kind == PV_INT)) && items[0].kind == PV_INT &&
	    items[1].kind == PV_INT && is_traceback(&items[2]))
		return push_trace(v, items, count);
	if (count == 2 && items[0].kind == PV_INT && is_traceback(&items[1]))
		return pickle_push(v, (struct pvalue){.kind = PV_OLD_TRACE});
	return pickle_push(v, (struct pvalue){.kind = PV_OPAQUE});
}

/* "/usr/lib/libxml2.so.2!xmlNewNode", line 0: library and symbol, as our writer puts them together. */
static int split_native(const struct pickle_values *v, str_id_t name, struct snap_frame *f)
{
	const char *text = intern_get(v->names, name);
	size_t len = intern_len(v->names, name);
	const char *at = memchr(text, PICKLE_NATIVE_SEPARATOR, len);
	int err;

	/* The writer puts a symbol only after a mapped file; anything else is a name with such a character. */
	if (!at || at == text || !at[1] || snapshot_file_is_python(text, (size_t)(at - text)))
		return intern_add(v->snapshot->strings, text, len, &f->file);
	err = intern_add(v->snapshot->strings, text, (size_t)(at - text), &f->file);
	if (!err)
		err = intern_str(v->snapshot->strings, at + 1, &f->function);
	return err;
}

/* The frames of a traceback as those of a snapshot. */
static int make_frames(struct pickle_values *v, const struct ptraceback *t, bool native,
		       struct snap_frame *frames)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct pframe *p = &v->frames[t->first + i];
		int err;

		frames[i] = (struct snap_frame){.line = p->line};
		if (native && !p->line)
			err = split_native(v, p->file, &frames[i]);
		else
			err = intern_add(v->snapshot->strings, intern_get(v->names, p->file),
					 intern_len(v->names, p->file), &frames[i].file);
		if (err)
			return err;
	}
	return 0;
}

/* Traces of one traceback share its frames: a few bytes a domain must not cost as much as the traceback. */
static int store_sum(struct pickle_values *v, const struct psum *sum, struct snap_frame *frames)
{
	struct ptraceback *t = sum->traceback ? &v->tracebacks[sum->traceback - 1] : NULL;
	enum snap_domain domain = (enum snap_domain)sum->domain;
	uint32_t number = snapshot_domain_number(v->snapshot, sum->domain);
	bool native = number == SNAP_NUMBER_NATIVE || number == DOMAIN_MMAP;
	struct snapshot *s = v->snapshot;
	int err;

	if (!t)
		return snapshot_add(s, domain, NULL, 0, sum->truncated, sum->bytes, sum->blocks);
	if (t->stored[native])
		return snapshot_add_like(s, domain, t->stored[native] - 1, sum->truncated,
					 sum->bytes, sum->blocks);
	err = make_frames(v, t, native, frames);
	if (err)
		return err;
	t->stored[native] = (uint32_t)s->stack_count + 1;
	return snapshot_add(s, domain, frames, t->count, sum->truncated, sum->bytes, sum->blocks);
}

int pickle_values_store(struct pickle_values *v)
{
	_cleanup_free_ struct snap_frame *frames = NULL;
	size_t longest = 1;
	int err;

	for (size_t i = 0; i < v->traceback_count; i++) {
		if (v->tracebacks[i].count > longest)
			longest = v->tracebacks[i].count;
	}
	frames = calloc(longest, sizeof(*frames));
	err = frames ? 0 : -ENOMEM;
	for (size_t i = 0; !err && i < v->sum_count; i++) {
		if (v->sums[i].blocks)
			err = store_sum(v, &v->sums[i], frames);
	}
	return err;
}
