// SPDX-License-Identifier: GPL-2.0-or-later
/* Binds stacks to code objects by order of events, and resolves each code object once. */
#include "symbolize/stack_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/idmap.h"
#include "base/log.h"

/*
 * Limit of the memory that a target can make us use. Far above real programs: 100,000 functions have 20 MiB of
 * names and tables; more than the limit is counted as TM_DROP_NAME_LIMIT.
 */
#define TABLES_MAX  ((size_t)128 << 20) /* bytes of line tables, equal ones once */
#define STRINGS_MAX ((size_t)256 << 20) /* bytes of names, with those of the snapshots */
#define REFS_MAX    (1u << 20)		/* code objects */
#define FRAMES_MAX  (16u << 20)		/* frames of all stacks, 256 MiB */

enum code_state { CODE_PENDING = 0, CODE_KNOWN = 1, CODE_FAILED = 2 };

struct code_ref { /* one code object, from the first stack that names it until its death */
	uint64_t addr;
	uint8_t state; /* enum code_state */
	struct py_code code;
};

struct raw_frame {
	uint32_t code; /* index into refs */
	uint8_t owner;
	uint8_t copy; /* of the bytecode */
	uint64_t instr;
};

struct stack {
	uint32_t first_frame, frame_count;
	uint32_t frame_room; /* from first_frame on, because an id may be given out again */
	uint64_t native_ip;
	uint32_t tid;
	uint8_t domain;
	bool truncated;
	bool have_native;
	uint32_t maps_reads; /* of the cache when it came */
	struct sym_frame native;
};

#define CANCEL_CODES 64 /* between two looks at the cancel */

struct stack_cache {
	struct target *target;
	const struct python_target *py;
	struct intern *strings, *tables;
	unsigned max_frames;
	struct code_ref *refs;
	size_t ref_count, ref_cap;
	struct idmap *by_addr; /* code address -> index of the living ref */
	uint32_t *pending;     /* refs to be resolved */
	size_t pending_count, pending_cap;
	struct raw_frame *frames;
	size_t frame_count, frame_cap;
	struct stack *stacks;
	size_t stack_count, stack_cap;
	struct idmap *by_id; /* stack id -> index into stacks */
	struct sym_frame out[TM_FRAMES_WALK + 1];
	str_id_t unknown;
	uint32_t deaths_lost; /* highest value in a record */
	uint64_t unresolved, limited;
	uint32_t limit_ref;  /* index + 1 of the ref that stands for all past REFS_MAX */
	size_t native_done;  /* stacks before it have their native name */
	uint32_t maps_reads; /* how often the maps were read for native names */
	const struct cancel *cancel;
};

int stack_cache_new(struct target *t, const struct python_target *py, struct intern *strings,
		    unsigned max_frames, struct stack_cache **out)
{
	_cleanup_(stack_cache_freep) struct stack_cache *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->target = t;
	c->py = py;
	c->strings = strings;
	c->max_frames = max_frames;
	c->by_addr = idmap_new();
	c->by_id = idmap_new();
	err = intern_str(strings, "<unknown>", &c->unknown);
	c->tables = intern_new();
	if (err || !c->by_addr || !c->by_id || !c->tables)
		return -ENOMEM;
	*out = take_ptr(c);
	return 0;
}

void stack_cache_free(struct stack_cache *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->ref_count; i++)
		py_code_release(&c->refs[i].code);
	free(c->refs);
	intern_free(c->tables);
	free(c->pending);
	free(c->frames);
	free(c->stacks);
	idmap_free(c->by_addr);
	idmap_free(c->by_id);
	free(c);
}

uint64_t stack_cache_unresolved(const struct stack_cache *c)
{
	return c->unresolved;
}

uint64_t stack_cache_limited(const struct stack_cache *c)
{
	return c->limited;
}

/* Count each loss, but log only once, since the limit is the same. */
static void note_limit(struct stack_cache *c, const char *what)
{
	if (!c->limited++)
		log_coded_warn("W135", NULL,
			       "process %d makes tmbpf keep more than %s: the names of what "
			       "comes on top are <unknown>, its lines 0",
			       (int)c->target->pid, what);
}

/* Equal tables are kept once. One past the limit is dropped. */
static int share_table(struct stack_cache *c, struct py_code *code)
{
	str_id_t id = {0};
	bool fits = intern_bytes(c->tables) + code->linetable_len <= TABLES_MAX;
	int err = fits ? intern_add(c->tables, (const char *)code->linetable, code->linetable_len,
				    &id)
		       : 0;

	if (err)
		return err;
	if (!fits) {
		note_limit(c, "128 MiB of line tables");
		code->linetable_len = 0;
	}
	free((void *)(uintptr_t)code->linetable);
	code->linetable = (const uint8_t *)intern_get(c->tables, id);
	code->table_is_shared = true;
	return 0;
}

/* A new code object. Past REFS_MAX they share one whose name is unknown. */
static int ref_add(struct stack_cache *c, struct code_ref ref, uint32_t *out)
{
	struct code_ref *refs = array_grow(c->refs, &c->ref_cap, c->ref_count + 1, sizeof(*refs));

	if (!refs)
		return -ENOMEM;
	c->refs = refs;
	c->refs[c->ref_count] = ref;
	*out = (uint32_t)c->ref_count++;
	return 0;
}

static int ref_past_limit(struct stack_cache *c, uint32_t *out)
{
	int err = 0;

	note_limit(c, "1,048,576 code objects");
	if (!c->limit_ref) {
		err = ref_add(c, (struct code_ref){.state = CODE_FAILED}, out);
		c->limit_ref = err ? 0 : *out + 1;
	}
	*out = c->limit_ref - 1;
	return err;
}

/* The living code object at addr, made when it is new. */
static int ref_get(struct stack_cache *c, uint64_t addr, uint32_t *out)
{
	uint32_t *pending;
	int err;

	if (idmap_get(c->by_addr, addr, out))
		return 0;
	if (c->ref_count >= REFS_MAX)
		return ref_past_limit(c, out);
	pending = array_grow(c->pending, &c->pending_cap, c->pending_count + 1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	c->pending = pending;
	err = idmap_put(c->by_addr, addr, (uint32_t)c->ref_count);
	if (!err)
		err = ref_add(c, (struct code_ref){.addr = addr}, out);
	if (!err)
		c->pending[c->pending_count++] = *out;
	return err;
}

static int add_frames(struct stack_cache *c, const struct tm_stack_rec *rec, size_t at)
{
	struct raw_frame *frames =
		array_grow(c->frames, &c->frame_cap, at + rec->frame_count, sizeof(*frames));

	if (!frames)
		return -ENOMEM;
	c->frames = frames;
	for (uint32_t i = 0; i < rec->frame_count; i++) {
		struct raw_frame *f = &c->frames[at + i];
		int err = ref_get(c, rec->frames[i].code & TM_FRAME_CODE_MASK, &f->code);

		if (err)
			return err;
		f->owner = (uint8_t)(rec->frames[i].code >> TM_FRAME_OWNER_SHIFT);
		f->copy = (uint8_t)(rec->frames[i].code >> TM_FRAME_TLBC_SHIFT);
		f->instr = rec->frames[i].instr;
	}
	return 0;
}

/*
 * Records carry how many deaths were lost before them. Because the lost ones are unknown, no address is
 * believed to hold its previous code object once there are more. An older record may come after a newer one:
 * its code objects were alive when it was written, so its addresses hold.
 */
static int note_losses(struct stack_cache *c, uint32_t deaths_lost)
{
	struct idmap *fresh;

	if ((int32_t)(deaths_lost - c->deaths_lost) <= 0)
		return 0;
	c->deaths_lost = deaths_lost;
	fresh = idmap_new();
	if (!fresh)
		return -ENOMEM;
	idmap_free(c->by_addr);
	c->by_addr = fresh;
	return 0;
}

/* The entry of an id: a new one, or that of the stack which had the id before. */
static int entry_get(struct stack_cache *c, uint32_t id, uint32_t *at)
{
	struct stack *stacks;
	int err;

	if (idmap_get(c->by_id, id, at))
		return 0;
	stacks = array_grow(c->stacks, &c->stack_cap, c->stack_count + 1, sizeof(*stacks));
	if (!stacks)
		return -ENOMEM;
	c->stacks = stacks;
	err = idmap_put(c->by_id, id, (uint32_t)c->stack_count);
	if (err)
		return err;
	*at = (uint32_t)c->stack_count++;
	c->stacks[*at] = (struct stack){0};
	return 0;
}

static int feed_stack(struct stack_cache *c, const struct tm_stack_rec *rec, size_t len)
{
	size_t fixed = offsetof(struct tm_stack_rec, frames), at;
	struct stack *s;
	uint32_t entry;
	int err;

	if (len < fixed || rec->frame_count > TM_FRAMES_WALK ||
	    len < fixed + rec->frame_count * sizeof(struct tm_frame))
		return -EBADMSG;
	err = note_losses(c, rec->deaths_lost);
	if (err)
		return err;
	err = entry_get(c, rec->stack_id, &entry);
	if (err)
		return err;
	s = &c->stacks[entry];
	at = rec->frame_count <= s->frame_room ? s->first_frame : c->frame_count;
	bool fits = at + rec->frame_count <= FRAMES_MAX;

	/* Until the frames are in, the entry is of no stack. */
	*s = (struct stack){.first_frame = (uint32_t)at, .frame_room = s->frame_room};
	if (fits)
		err = add_frames(c, rec, at);
	else
		note_limit(c, "16,777,216 frames");
	if (err)
		return err;
	if (at == c->frame_count && fits) {
		c->frame_count += rec->frame_count;
		s->frame_room = rec->frame_count;
	}
	s->frame_count = fits ? rec->frame_count : 0;
	s->native_ip = rec->native_ip;
	s->tid = rec->tid;
	s->domain = rec->domain;
	s->truncated = rec->truncated || !fits;
	s->maps_reads = c->maps_reads;
	if (entry < c->native_done)
		c->native_done = entry;
	return 0;
}

static int feed_death(struct stack_cache *c, const struct tm_code_death *rec, size_t len)
{
	struct code_ref *ref;
	uint32_t i;
	int err;

	if (len < offsetof(struct tm_code_death, data))
		return -EBADMSG;
	err = note_losses(c, rec->deaths_lost);
	if (err)
		return err;
	/* Named only by stacks whose records were lost. */
	if (!idmap_get(c->by_addr, rec->code, &i))
		return 0;
	idmap_del(c->by_addr, rec->code);
	ref = &c->refs[i];
	if (ref->state == CODE_KNOWN || !c->py)
		return 0;
	if (intern_bytes(c->strings) > STRINGS_MAX) {
		note_limit(c, "256 MiB of names");
		return 0;
	}
	err = py_code_from_death(c->py, c->strings, rec, len, &ref->code);
	if (!err)
		err = share_table(c, &ref->code);
	if (err)
		return err;
	c->unresolved -= ref->state == CODE_FAILED;
	ref->state = CODE_KNOWN;
	return 0;
}

int stack_cache_feed(struct stack_cache *c, const void *rec, size_t len)
{
	const struct tm_rec_hdr *hdr = rec;

	if (len < sizeof(*hdr) || hdr->len > len)
		return -EBADMSG;
	switch (hdr->type) {
	case TM_REC_STACK:
		return feed_stack(c, rec, hdr->len);
	case TM_REC_CODE_DEATH:
		return feed_death(c, rec, hdr->len);
	default:
		return -EBADMSG;
	}
}

void stack_cache_set_cancel(struct stack_cache *c, const struct cancel *cancel)
{
	c->cancel = cancel;
}

/*
 * Native leaves are resolved soon: the library may be gone later. For an address that the maps do not have they
 * are read again, but no more often than their size allows: until then its stack waits.
 */
static void resolve_native(struct stack_cache *c)
{
	for (; c->native_done < c->stack_count; c->native_done++) {
		struct stack *s = &c->stacks[c->native_done];

		if (!s->native_ip || s->have_native)
			continue;
		if (s->maps_reads == c->maps_reads &&
		    !proc_maps_find(&c->target->maps, s->native_ip)) {
			if (!target_maps_due(c->target))
				return;
			/* A failure leaves "[unknown]", which is what it then is. */
			(void)target_refresh_maps(c->target);
			c->maps_reads++;
		}
		if (intern_bytes(c->strings) > STRINGS_MAX)
			note_limit(c, "256 MiB of names");
		else
			native_resolve(c->target, c->strings, s->native_ip, &s->native);
		s->have_native = true;
	}
}

/* The code object of a ref from the living target. -EALREADY: it needs none. */
static int read_code(struct stack_cache *c, const struct code_ref *ref, struct py_code *out)
{
	/* A frame that is being torn down names no code object. */
	if (ref->state != CODE_PENDING || !ref->addr || !c->py)
		return -EALREADY;
	if (intern_bytes(c->strings) > STRINGS_MAX) {
		note_limit(c, "256 MiB of names");
		return -ENOSPC;
	}
	int err = py_code_read(c->target, c->py, c->strings, ref->addr, out);

	return err ? err : share_table(c, out);
}

int stack_cache_resolve(struct stack_cache *c, int (*drain_ring)(void *ctx), void *ctx)
{
	size_t count = c->pending_count;
	_cleanup_free_ struct py_code *read = NULL;
	_cleanup_free_ int *status = NULL;
	int err;

	resolve_native(c);
	if (!count)
		return 0;
	read = calloc(count, sizeof(*read));
	status = calloc(count, sizeof(*status));
	if (!read || !status)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		if (i % CANCEL_CODES == CANCEL_CODES - 1 && cancel_asked(c->cancel)) {
			count = i;
			break;
		}
		status[i] = read_code(c, &c->refs[c->pending[i]], &read[i]);
	}
	err = drain_ring(ctx);
	for (size_t i = 0; i < count; i++) {
		struct code_ref *ref = &c->refs[c->pending[i]];
		uint32_t living;

		if (ref->state == CODE_PENDING && !status[i] &&
		    idmap_get(c->by_addr, ref->addr, &living) && living == c->pending[i]) {
			ref->code = read[i];
			ref->state = CODE_KNOWN;
			continue;
		}
		if (!status[i])
			py_code_release(&read[i]);
		if (ref->state == CODE_PENDING) {
			ref->state = CODE_FAILED;
			c->unresolved++;
		}
	}
	/* Resolve code objects of the second ring read in the next round. */
	c->pending_count -= count;
	memmove(c->pending, c->pending + count, c->pending_count * sizeof(*c->pending));
	return err;
}

static bool resolve_frame(const struct stack_cache *c, const struct raw_frame *f,
			  struct sym_frame *out)
{
	struct code_ref *ref = &c->refs[f->code];
	uint32_t living;

	if (ref->state != CODE_KNOWN) {
		*out = (struct sym_frame){.file = c->unknown, .function = c->unknown};
		return true;
	}
	/* A thread that came later made its copy later. Of the dead nothing can be read any more. */
	if (f->copy >= ref->code.copy_count && f->copy &&
	    idmap_get(c->by_addr, ref->addr, &living) && living == f->code)
		(void)py_code_read_copies(c->target, &ref->code);
	if (py_code_frame_is_incomplete(c->py, &ref->code, f->instr, f->copy, f->owner))
		return false;
	out->file = ref->code.filename;
	out->function = ref->code.qualname;
	out->line = py_code_line(c->py, &ref->code, f->instr, f->copy);
	return true;
}

struct stack_info stack_cache_get(struct stack_cache *c, uint32_t stack_id)
{
	struct stack_info info = {.frames = c->out};
	const struct stack *s;
	size_t n = 0;
	uint32_t i;

	if (!idmap_get(c->by_id, stack_id, &i))
		return info;
	s = &c->stacks[i];
	info.known = true;
	info.domain = s->domain;
	info.tid = s->tid;
	for (i = 0; i < s->frame_count; i++) {
		if (n >= c->max_frames) {
			info.truncated = true;
			break;
		}
		n += resolve_frame(c, &c->frames[s->first_frame + i], &c->out[n]);
	}
	/* The native leaf speaks where no Python frame does. */
	if (!n && s->have_native)
		c->out[n++] = s->native;
	info.truncated |= s->truncated;
	info.frame_count = n;
	return info;
}
