/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stacks and deaths in the order they happened -> frames. Code objects are made by hand in this
 * process, which looks at itself; real ones come from code_child.py.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "symbolize/stack_cache.h"

#include "code_child.h"

#define TYPE_ADDR  0x4711000u
#define ASCII	   (1u | 1u << 3 | 1u << 4) /* kind 1, compact, ascii */
#define MAX_FRAMES 8
#define NOWHERE	   0x1000ull /* no code object can be read there */
#define THREAD	   0	     /* frame owners */
#define GENERATOR  1
#define C_STACK	   3

/* Frames that are objects with co_lnotab, with the ranges of 3.10; the usual ones; copies of the bytecode. */
static const struct {
	unsigned minor;
	bool free_threaded;
} rows[] = {{8, false}, {10, false}, {12, false}, {14, true}};

static size_t row; /* the one that is tested now */

static struct target *self;
static struct python_target py;
static struct intern *strings;
static struct stack_cache *cache;

struct fake { /* a code object and what it points to, as the version lays them out */
	uint8_t code[256], file[128], name[128], table[128];
};

/* One unit, line + 1. */
static size_t line_table(uint8_t out[3])
{
	static const uint8_t tables[][3] = {
		[PY_LINES_LNOTAB] = {0, 1},
		[PY_LINES_LINETABLE] = {2, 1},
		[PY_LINES_LOCATIONS] = {0x80 | 11 << 3, 0, 0},
	};

	memcpy(out, tables[py.offsets->lines], 3);
	return py.offsets->lines == PY_LINES_LOCATIONS ? 3 : 2;
}

static void put64(uint8_t *p, size_t off, uint64_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static void put32(uint8_t *p, size_t off, uint32_t v)
{
	memcpy(p + off, &v, sizeof(v));
}

static void fake_str(uint8_t *p, const char *s)
{
	put64(p, py.offsets->str_length, strlen(s));
	put32(p, py.offsets->str_state, ASCII << py.offsets->str_kind_shift);
	memcpy(p + py.offsets->str_ascii_data, s, strlen(s));
}

static void fake_init(struct fake *f, const char *file, const char *name, uint32_t line)
{
	const struct py_offsets *off = py.offsets;
	uint16_t name_at = off->code_qualname != PY_NONE ? off->code_qualname : off->code_name;
	uint8_t table[3];
	size_t table_len = line_table(table);

	memset(f, 0, sizeof(*f));
	fake_str(f->file, file);
	fake_str(f->name, name);
	put64(f->table, off->bytes_size, table_len);
	memcpy(f->table + off->bytes_data, table, table_len);
	put64(f->code, off->obj_type, TYPE_ADDR);
	put32(f->code, off->code_firstlineno, line - 1);
	put64(f->code, off->code_filename, (uintptr_t)f->file);
	put64(f->code, name_at, (uintptr_t)f->name);
	put64(f->code, off->code_linetable, (uintptr_t)f->table);
}

static uint64_t addr_of(const struct fake *f)
{
	return (uintptr_t)f->code;
}

/* A frame that stands on the first instruction, which is on the line given to fake_init(). */
static struct tm_frame frame_at(uint64_t code, uint8_t owner)
{
	return (struct tm_frame){
		.code = code | (uint64_t)owner << TM_FRAME_OWNER_SHIFT,
		.instr = py.offsets->frame_objects ? 0 : code + py.offsets->code_bytecode};
}

static struct tm_frame before_resume(uint64_t code, uint8_t owner)
{
	struct tm_frame f = frame_at(code, owner);

	f.instr -= 2;
	return f;
}

/* In memory of its own length, so that ASan sees a byte too many. */
static int feed(const void *rec, size_t len)
{
	uint8_t *exact = malloc(len + !len);

	assert_non_null(exact);
	memcpy(exact, rec, len);
	int err = stack_cache_feed(cache, exact, len);

	free(exact);
	return err;
}

static struct tm_stack_rec stack_rec(uint32_t id, const struct tm_frame *frames, size_t count)
{
	struct tm_stack_rec rec = {
		.hdr = {.type = TM_REC_STACK,
			.len = (uint32_t)(offsetof(struct tm_stack_rec, frames) +
					  count * sizeof(*frames))},
		.stack_id = id,
		.frame_count = (uint16_t)count,
		.domain = TM_DOMAIN_PYTHON,
	};

	if (count)
		memcpy(rec.frames, frames, count * sizeof(*frames));
	return rec;
}

static void feed_frames(uint32_t id, const struct tm_frame *frames, size_t count)
{
	struct tm_stack_rec rec = stack_rec(id, frames, count);

	assert_int_equal(feed(&rec, rec.hdr.len), 0);
}

static void feed_stack(uint32_t id, uint64_t code)
{
	struct tm_frame f = frame_at(code, THREAD);

	feed_frames(id, &f, 1);
}

static struct tm_code_death death_rec(uint64_t addr, const char *file, const char *name,
				      uint32_t line)
{
	struct tm_code_death d = {.hdr.type = TM_REC_CODE_DEATH, .code = addr};
	struct fake f;
	uint8_t *p = d.data, table[3];

	fake_init(&f, file, name, line);
	d.code_len = py.offsets->code_bytes;
	d.filename_kind = d.qualname_kind = 1;
	d.filename_len = (uint32_t)strlen(file);
	d.qualname_len = (uint32_t)strlen(name);
	d.table_len = d.table_full_len = (uint32_t)line_table(table);
	memcpy(p, f.code, d.code_len);
	p += d.code_len;
	memcpy(p, file, d.filename_len);
	p += d.filename_len;
	memcpy(p, name, d.qualname_len);
	p += d.qualname_len;
	memcpy(p, table, d.table_len);
	p += d.table_len;
	d.hdr.len = (uint32_t)(p - (const uint8_t *)&d);
	return d;
}

static void feed_death(uint64_t addr, const char *file, const char *name, uint32_t line)
{
	struct tm_code_death d = death_rec(addr, file, name, line);

	assert_int_equal(feed(&d, d.hdr.len), 0);
}

static int ring_is_empty(void *ctx)
{
	return 0;
}

static void resolve(void)
{
	assert_int_equal(stack_cache_resolve(cache, ring_is_empty, NULL), 0);
}

static void assert_frame(const struct stack_info *info, size_t i, const char *file,
			 const char *function, int32_t line)
{
	assert_true(i < info->frame_count);
	assert_string_equal(intern_get(strings, info->frames[i].file), file);
	assert_string_equal(intern_get(strings, info->frames[i].function), function);
	assert_int_equal(info->frames[i].line, line);
}

static struct stack_info get(uint32_t id, size_t frames)
{
	struct stack_info info = stack_cache_get(cache, id);

	assert_true(info.known);
	assert_int_equal(info.frame_count, frames);
	return info;
}

static void assert_one(uint32_t id, const char *file, const char *function, int32_t line)
{
	struct stack_info info = get(id, 1);

	assert_frame(&info, 0, file, function, line);
}

static void assert_unknown(uint32_t id)
{
	assert_one(id, "<unknown>", "<unknown>", 0);
}

/* ---- order of events ---- */

static void living_code_is_read(void **state)
{
	struct fake inner, outer;

	fake_init(&inner, "/srv/inner.py", "inner", 42);
	fake_init(&outer, "/srv/outer.py", "outer", 7);
	struct tm_frame frames[] = {frame_at(addr_of(&inner), THREAD),
				    frame_at(addr_of(&outer), THREAD)};

	feed_frames(16, frames, 2);
	feed_stack(17, addr_of(&outer));
	resolve();
	struct stack_info info = get(16, 2);

	assert_frame(&info, 0, "/srv/inner.py", "inner", 42);
	assert_frame(&info, 1, "/srv/outer.py", "outer", 7);
	assert_int_equal(info.domain, TM_DOMAIN_PYTHON);
	assert_false(info.truncated);
	assert_one(17, "/srv/outer.py", "outer", 7);
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

static void same_address_after_death_is_another_code_object(void **state)
{
	struct fake live;
	uint64_t addr = addr_of(&live);

	fake_init(&live, "/srv/third.py", "third", 30);
	feed_stack(16, addr);
	feed_death(addr, "/srv/first.py", "first", 10);
	feed_stack(17, addr);
	feed_stack(18, addr);
	feed_death(addr, "/srv/second.py", "second", 20);
	feed_stack(19, addr);
	resolve();
	assert_one(16, "/srv/first.py", "first", 10);
	assert_one(17, "/srv/second.py", "second", 20);
	assert_one(18, "/srv/second.py", "second", 20);
	assert_one(19, "/srv/third.py", "third", 30);
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

static void death_before_resolve_wins_over_live_reading(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/new.py", "new", 99);
	feed_stack(16, addr_of(&live));
	feed_death(addr_of(&live), "/srv/old.py", "old", 11);
	assert_one(16, "/srv/old.py", "old", 11); /* known without a look at the target */
	resolve();
	assert_one(16, "/srv/old.py", "old", 11);
}

static void death_of_code_that_no_stack_names_is_nothing(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	feed_death(addr_of(&live), "/srv/old.py", "old", 11);
	feed_stack(16, addr_of(&live));
	resolve();
	assert_one(16, "/srv/live.py", "live", 5);
}

struct ring { /* what the second look at the ring brings */
	uint64_t addr;
	int result;
	bool lie; /* the death record is no code object */
	uint32_t then_stack;
};

static int ring_brings_death(void *ctx)
{
	struct ring *r = ctx;
	struct tm_code_death d = death_rec(r->addr, "/srv/old.py", "old", 11);

	if (r->lie)
		put64(d.data, py.offsets->obj_type, TYPE_ADDR + 1);
	assert_int_equal(feed(&d, d.hdr.len), r->lie ? -EBADMSG : 0);
	if (r->then_stack)
		feed_stack(r->then_stack, r->addr);
	return r->result;
}

/* The object that was read was not the one of the stack any more. */
static void death_while_reading_wins(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/new.py", "new", 99);
	struct ring ring = {.addr = addr_of(&live)};

	feed_stack(16, addr_of(&live));
	assert_int_equal(stack_cache_resolve(cache, ring_brings_death, &ring), 0);
	assert_one(16, "/srv/old.py", "old", 11);
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

static void feed_stack_after(uint32_t lost, uint32_t id, uint64_t code)
{
	struct tm_frame f = frame_at(code, THREAD);
	struct tm_stack_rec rec = stack_rec(id, &f, 1);

	rec.deaths_lost = lost;
	assert_int_equal(feed(&rec, rec.hdr.len), 0);
}

/* The object of stack 40 died unseen; another one has its address. */
static void after_a_lost_death_an_address_is_not_believed(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/new.py", "new", 99);
	feed_stack_after(0, 40, addr_of(&live));
	feed_stack_after(1, 41, addr_of(&live));
	resolve();
	assert_unknown(40);
	assert_one(41, "/srv/new.py", "new", 99);
}

/* Records of two threads may change places; none of these deaths was lost. */
static void records_in_another_order_are_no_loss(void **state)
{
	struct fake live;
	struct tm_code_death d;

	fake_init(&live, "/srv/new.py", "new", 99);
	feed_stack_after(1, 42, addr_of(&live));
	feed_stack_after(0, 43, addr_of(&live));
	feed_stack_after(1, 44, addr_of(&live));
	d = death_rec(addr_of(&live), "/srv/old.py", "old", 11);
	d.deaths_lost = 1;
	assert_int_equal(feed(&d, d.hdr.len), 0);
	resolve();
	for (uint32_t id = 42; id <= 44; id++)
		assert_one(id, "/srv/old.py", "old", 11);
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

static void death_while_reading_that_tells_nothing_is_unknown(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/new.py", "new", 99);
	struct ring ring = {.addr = addr_of(&live), .lie = true};

	feed_stack(16, addr_of(&live));
	assert_int_equal(stack_cache_resolve(cache, ring_brings_death, &ring), 0);
	assert_unknown(16);
	assert_int_equal(stack_cache_unresolved(cache), 1);
}

static void stack_from_the_second_look_waits_for_the_next_round(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/new.py", "new", 99);
	struct ring ring = {.addr = addr_of(&live), .then_stack = 17};

	feed_stack(16, addr_of(&live));
	assert_int_equal(stack_cache_resolve(cache, ring_brings_death, &ring), 0);
	assert_one(16, "/srv/old.py", "old", 11);
	assert_unknown(17);
	assert_int_equal(stack_cache_unresolved(cache), 0); /* not given up */
	resolve();
	assert_one(17, "/srv/new.py", "new", 99);
	assert_one(16, "/srv/old.py", "old", 11);
}

static void failure_of_the_ring_is_handed_back(void **state)
{
	struct fake live, other;

	fake_init(&live, "/srv/new.py", "new", 99);
	fake_init(&other, "/srv/other.py", "other", 5);
	struct ring ring = {.addr = addr_of(&live), .result = -EIO};

	feed_stack(16, addr_of(&live));
	feed_stack(17, addr_of(&other));
	assert_int_equal(stack_cache_resolve(cache, ring_brings_death, &ring), -EIO);
	assert_one(16, "/srv/old.py", "old", 11);
	assert_one(17, "/srv/other.py", "other", 5);
}

static void name_once_read_outlives_the_code(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	feed_stack(16, addr_of(&live));
	resolve();
	feed_death(addr_of(&live), "/srv/liar.py", "liar", 6);
	fake_init(&live, "/srv/next.py", "next", 7);
	feed_stack(17, addr_of(&live));
	resolve();
	assert_one(16, "/srv/live.py", "live", 5);
	assert_one(17, "/srv/next.py", "next", 7);
}

/* The same stack of other threads has the same record. */
static void thread_that_was_seen_first_is_kept(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	struct tm_frame f = frame_at(addr_of(&live), THREAD);
	struct tm_stack_rec rec = stack_rec(16, &f, 1);

	rec.tid = 4711;
	assert_int_equal(feed(&rec, rec.hdr.len), 0);
	assert_int_equal(stack_cache_get(cache, 16).tid, 4711);
	assert_int_equal(stack_cache_get(cache, 17).tid, 0);
}

/* ---- what cannot be read ---- */

static void unreadable_code_is_unknown_and_counted_once(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	struct tm_frame frames[] = {frame_at(NOWHERE, THREAD), frame_at(addr_of(&live), THREAD),
				    frame_at(NOWHERE, THREAD), frame_at(NOWHERE + 64, THREAD)};

	feed_frames(16, frames, ARRAY_LEN(frames));
	feed_stack(17, NOWHERE);
	feed_stack(18, 0);
	resolve();
	resolve();
	struct stack_info info = get(16, 4);

	assert_frame(&info, 0, "<unknown>", "<unknown>", 0);
	assert_frame(&info, 1, "/srv/live.py", "live", 5);
	assert_frame(&info, 2, "<unknown>", "<unknown>", 0);
	assert_frame(&info, 3, "<unknown>", "<unknown>", 0);
	assert_unknown(17);
	assert_unknown(18);
	assert_int_equal(stack_cache_unresolved(cache), 3);
}

static void unreadable_code_that_dies_is_known_after_all(void **state)
{
	feed_stack(16, NOWHERE);
	feed_stack(17, NOWHERE + 64);
	resolve();
	assert_int_equal(stack_cache_unresolved(cache), 2);
	feed_death(NOWHERE, "/srv/old.py", "old", 11);
	assert_one(16, "/srv/old.py", "old", 11);
	assert_unknown(17);
	assert_int_equal(stack_cache_unresolved(cache), 1);
	feed_stack(18, NOWHERE); /* a new one there, that fails again */
	resolve();
	assert_int_equal(stack_cache_unresolved(cache), 2);
}

static void without_python_every_frame_is_unknown(void **state)
{
	struct fake live;

	stack_cache_free(cache);
	assert_int_equal(stack_cache_new(self, NULL, strings, MAX_FRAMES, &cache), 0);
	fake_init(&live, "/srv/live.py", "live", 5);
	feed_stack(16, addr_of(&live));
	feed_stack(17, NOWHERE);
	feed_death(NOWHERE, "/srv/old.py", "old", 11);
	resolve();
	assert_unknown(16);
	assert_unknown(17);
	assert_int_equal(stack_cache_unresolved(cache), 2);
}

static void unknown_id_is_not_known(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	assert_false(stack_cache_get(cache, 16).known);
	feed_stack(16, addr_of(&live));
	resolve();
	for (uint32_t id = 0; id < 40; id++)
		assert_int_equal(stack_cache_get(cache, id).known, id == 16);
	assert_false(stack_cache_get(cache, UINT32_MAX).known);
	assert_int_equal(stack_cache_get(cache, 17).frame_count, 0);
}

/* ---- which frames ---- */

static void incomplete_frames_are_skipped(void **state)
{
	struct fake inner, outer;

	fake_init(&inner, "/srv/inner.py", "inner", 42);
	fake_init(&outer, "/srv/outer.py", "outer", 7);
	put32(inner.code, py.offsets->code_firsttraceable, 3);
	struct tm_frame start[] = {before_resume(addr_of(&inner), THREAD),
				   frame_at(addr_of(&outer), THREAD)};
	struct tm_frame later[] = {frame_at(addr_of(&inner), THREAD), /* not yet at unit 3 */
				   frame_at(addr_of(&outer), THREAD)};
	struct tm_frame resumed[] = {frame_at(addr_of(&inner), THREAD),
				     frame_at(addr_of(&outer), THREAD)};
	struct tm_frame generator[] = {before_resume(addr_of(&inner), GENERATOR),
				       frame_at(addr_of(&outer), THREAD)};
	struct tm_frame trampoline[] = {frame_at(addr_of(&outer), THREAD),
					frame_at(addr_of(&inner), C_STACK),
					frame_at(addr_of(&outer), THREAD)};

	resumed[0].instr += 6;
	feed_frames(16, start, 2);
	feed_frames(17, later, 2);
	feed_frames(18, resumed, 2);
	feed_frames(19, generator, 2);
	feed_frames(20, trampoline, 3);
	resolve();
	assert_one(16, "/srv/outer.py", "outer", 7);
	assert_one(17, "/srv/outer.py", "outer", 7);
	struct stack_info info = get(18, 2);

	assert_frame(&info, 0, "/srv/inner.py", "inner", 0);
	assert_frame(&info, 1, "/srv/outer.py", "outer", 7);
	info = get(19, 2);
	assert_frame(&info, 0, "/srv/inner.py", "inner", 41);
	info = get(20, 2);
	assert_frame(&info, 0, "/srv/outer.py", "outer", 7);
	assert_frame(&info, 1, "/srv/outer.py", "outer", 7);
}

static void frames_are_cut_at_the_limit(void **state)
{
	struct fake f[MAX_FRAMES + 2];
	struct tm_frame frames[MAX_FRAMES + 2];
	char name[16];

	for (size_t i = 0; i < ARRAY_LEN(f); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		fake_init(&f[i], "/srv/deep.py", name, (uint32_t)i + 10);
		frames[i] = frame_at(addr_of(&f[i]), THREAD);
	}
	feed_frames(16, frames, MAX_FRAMES - 1);
	feed_frames(17, frames, MAX_FRAMES);
	feed_frames(18, frames, MAX_FRAMES + 1);
	feed_frames(19, frames, MAX_FRAMES + 2);
	frames[0] = before_resume(addr_of(&f[0]), THREAD);
	feed_frames(20, frames, MAX_FRAMES + 1);
	feed_frames(21, frames, MAX_FRAMES + 2);

	struct tm_stack_rec rec = stack_rec(22, frames, 3);

	rec.truncated = 1; /* BPF knows that there are more */
	assert_int_equal(feed(&rec, rec.hdr.len), 0);
	resolve();
	assert_false(get(16, MAX_FRAMES - 1).truncated);
	assert_false(get(17, MAX_FRAMES).truncated);
	assert_true(get(18, MAX_FRAMES).truncated);
	assert_true(get(19, MAX_FRAMES).truncated);
	struct stack_info info = get(20, MAX_FRAMES);

	assert_false(info.truncated); /* one more was walked because the innermost did not count */
	assert_frame(&info, 0, "/srv/deep.py", "f1", 11);
	assert_frame(&info, MAX_FRAMES - 1, "/srv/deep.py", "f8", 18);
	assert_true(get(21, MAX_FRAMES).truncated);
	assert_true(get(22, 2).truncated);
	info = get(19, MAX_FRAMES);
	assert_frame(&info, 0, "/srv/deep.py", "f0", 10);
	assert_frame(&info, MAX_FRAMES - 1, "/srv/deep.py", "f7", 17);
}

static void longest_stack_fits(void **state)
{
	struct tm_frame frames[TM_FRAMES_WALK];
	struct fake live;

	stack_cache_free(cache);
	assert_int_equal(stack_cache_new(self, &py, strings, 1000, &cache), 0);
	fake_init(&live, "/srv/live.py", "live", 5);
	for (size_t i = 0; i < TM_FRAMES_WALK; i++)
		frames[i] = frame_at(addr_of(&live), THREAD);
	feed_frames(16, frames, TM_FRAMES_WALK);
	resolve();
	struct stack_info info = get(16, TM_FRAMES_WALK);

	assert_frame(&info, TM_FRAMES_WALK - 1, "/srv/live.py", "live", 5);
	assert_false(info.truncated);
}

int native_landmark(int x);

__attribute__((noinline)) int native_landmark(int x)
{
	return x * 3 + (int)strlen("so that it has some bytes");
}

static void feed_native(uint32_t id, uint64_t ip, const struct tm_frame *frames, size_t count)
{
	struct tm_stack_rec rec = stack_rec(id, frames, count);

	rec.domain = TM_DOMAIN_NATIVE;
	rec.native_ip = ip;
	assert_int_equal(feed(&rec, rec.hdr.len), 0);
}

static void native_leaf_speaks_where_no_python_frame_does(void **state)
{
	uint64_t ip = (uintptr_t)native_landmark + 2;
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	struct tm_frame frames[] = {frame_at(addr_of(&live), THREAD), frame_at(NOWHERE, THREAD)};
	struct tm_frame early = before_resume(addr_of(&live), THREAD);

	feed_native(16, ip, NULL, 0);
	feed_native(17, ip, frames, 1);
	feed_native(18, ip, &frames[1], 1);
	feed_native(19, ip, &early, 1);
	feed_native(20, NOWHERE, NULL, 0);
	feed_native(21, 0, NULL, 0);
	resolve();
	assert_one(16, "test_stack_cache", "native_landmark", 0);
	assert_int_equal(get(16, 1).domain, TM_DOMAIN_NATIVE);
	assert_one(17, "/srv/live.py", "live", 5);
	assert_int_equal(get(17, 1).domain, TM_DOMAIN_NATIVE);
	assert_unknown(18); /* a Python frame, though nobody knows which */
	assert_one(19, "test_stack_cache", "native_landmark", 0);
	assert_one(20, "[unknown]", "[unknown]", 0);
	(void)get(21, 0);

	/* Later ones are resolved, too, behind others that were. */
	feed_native(22, 0, NULL, 0);
	feed_native(23, ip, NULL, 0);
	feed_native(24, 0, NULL, 0);
	feed_native(25, ip, NULL, 0);
	resolve();
	assert_one(23, "test_stack_cache", "native_landmark", 0);
	assert_one(25, "test_stack_cache", "native_landmark", 0);
}

/* ---- records that are not what they should be ---- */

static void assert_nothing_stored(uint32_t id)
{
	assert_false(stack_cache_get(cache, id).known);
	resolve(); /* no code object was noted either */
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

static void short_stack_is_refused(void **state)
{
	struct tm_frame frames[] = {frame_at(NOWHERE, THREAD), frame_at(NOWHERE + 64, THREAD)};
	struct tm_stack_rec rec = stack_rec(16, frames, 2);
	size_t whole = rec.hdr.len;

	for (size_t len = 0; len < whole; len++) {
		rec.hdr.len = (uint32_t)whole;
		assert_int_equal(feed(&rec, len), -EBADMSG);
		rec.hdr.len = (uint32_t)len; /* the header says it, too */
		assert_int_equal(feed(&rec, len), -EBADMSG);
		assert_int_equal(feed(&rec, whole), -EBADMSG); /* the header alone */
	}
	assert_nothing_stored(16);
	rec.hdr.len = (uint32_t)whole;
	assert_int_equal(feed(&rec, whole), 0);
	assert_true(stack_cache_get(cache, 16).known);
}

static void lying_stack_is_refused(void **state)
{
	const uint32_t types[] = {0, TM_REC_CODE_DEATH + 1, UINT32_MAX};
	const uint16_t counts[] = {3, TM_FRAMES_WALK, TM_FRAMES_WALK + 1, UINT16_MAX};
	const uint32_t lens[] = {0, 7, 8, 63, 65, UINT32_MAX};
	struct tm_frame frames[] = {frame_at(NOWHERE, THREAD), frame_at(NOWHERE + 64, THREAD)};
	struct tm_stack_rec rec = stack_rec(16, frames, 2);

	assert_int_equal(rec.hdr.len, 64);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		rec = stack_rec(16, frames, 2);
		rec.hdr.type = types[i];
		assert_int_equal(feed(&rec, 64), -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		rec = stack_rec(16, frames, 2);
		rec.frame_count = counts[i];
		assert_int_equal(feed(&rec, 64), -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		rec = stack_rec(16, frames, 2);
		rec.hdr.len = lens[i];
		assert_int_equal(feed(&rec, 64), -EBADMSG);
	}
	/* A record that is as long as it says, with one frame more than there can be. */
	uint8_t longer[sizeof(rec) + sizeof(struct tm_frame)] = {0};

	rec = stack_rec(16, frames, 2);
	rec.hdr.len = sizeof(longer);
	rec.frame_count = TM_FRAMES_WALK + 1;
	memcpy(longer, &rec, sizeof(rec));
	assert_int_equal(feed(longer, sizeof(longer)), -EBADMSG);
	assert_nothing_stored(16);
}

static void short_death_is_refused_and_ends_nothing(void **state)
{
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 5);
	struct tm_code_death d = death_rec(addr_of(&live), "/srv/old.py", "old", 11);
	size_t whole = d.hdr.len;

	feed_stack(16, addr_of(&live));
	for (size_t len = 0; len < offsetof(struct tm_code_death, data); len++) {
		d.hdr.len = (uint32_t)whole;
		assert_int_equal(feed(&d, len), -EBADMSG);
		d.hdr.len = (uint32_t)len;
		assert_int_equal(feed(&d, len), -EBADMSG);
		assert_int_equal(feed(&d, whole), -EBADMSG);
	}
	d.hdr.len = (uint32_t)whole + 1;
	assert_int_equal(feed(&d, whole), -EBADMSG);
	resolve();
	assert_one(16, "/srv/live.py", "live", 5);
}

/* It says who died, but not what: the address is free for the next one, and the dead one unknown. */
static void death_with_bad_data_leaves_the_dead_unknown(void **state)
{
	for (int lie = 0; lie < 6; lie++) {
		struct fake live;
		uint32_t id = 16 + 2 * (uint32_t)lie;

		fake_init(&live, "/srv/new.py", "new", 99);
		struct tm_code_death d = death_rec(addr_of(&live), "/srv/old.py", "old", 11);
		size_t len = d.hdr.len;

		if (lie == 0)
			d.code_len = UINT16_MAX;
		if (lie == 1)
			d.filename_len = UINT32_MAX;
		if (lie == 2)
			d.qualname_len++;
		if (lie == 3)
			d.table_len = UINT32_MAX;
		if (lie == 4)
			put64(d.data, py.offsets->obj_type, TYPE_ADDR + 1);
		if (lie == 5)
			d.hdr.len = (uint32_t)--len;
		feed_stack(id, addr_of(&live));
		assert_int_equal(feed(&d, len), -EBADMSG);
		feed_stack(id + 1, addr_of(&live));
		resolve();
		assert_unknown(id);
		assert_one(id + 1, "/srv/new.py", "new", 99);
		assert_int_equal(stack_cache_unresolved(cache), lie + 1);
		feed_death(addr_of(&live), "/srv/x.py", "x", 1); /* the next turn begins anew */
	}
}

/* ---- much, and real ---- */

static void many_stacks(void **state)
{
	enum { CODES = 500, STACKS = 20000, DEPTH = 5 };
	struct fake *f = calloc(CODES, sizeof(*f));
	char name[16];

	assert_non_null(f);
	for (uint32_t i = 0; i < CODES; i++) {
		snprintf(name, sizeof(name), "f%u", i);
		fake_init(&f[i], "/srv/many.py", name, i + 1);
	}
	for (uint32_t id = 0; id < STACKS; id++) {
		struct tm_frame frames[DEPTH];

		for (uint32_t k = 0; k < DEPTH; k++)
			frames[k] = frame_at(addr_of(&f[(id * 7 + k) % CODES]), THREAD);
		feed_frames(id, frames, 1 + id % DEPTH);
		if (id % 5000 == 0)
			resolve();
	}
	resolve();
	for (uint32_t id = 0; id < STACKS; id++) {
		struct stack_info info = get(id, 1 + id % DEPTH);

		for (uint32_t k = 0; k < info.frame_count; k++) {
			snprintf(name, sizeof(name), "f%u", (id * 7 + k) % CODES);
			assert_frame(&info, k, "/srv/many.py", name,
				     (int32_t)((id * 7 + k) % CODES) + 1);
		}
	}
	assert_int_equal(stack_cache_unresolved(cache), 0);
	free(f);
}

static void check_python(const struct python *p)
{
	struct code_child child;
	struct target *target;
	struct stack_cache *real;

	assert_int_equal(code_child_start(&child, p, __FILE__), 0);
	assert_int_equal(target_open(child.pid, &target), 0);
	struct python_target its = {.minor = p->minor,
				    .offsets = py_offsets_get(p->minor, p->free_threaded),
				    .code_type_addr = child.type_addr};
	const struct py_offsets *off = its.offsets;

	assert_int_equal(stack_cache_new(target, &its, strings, MAX_FRAMES, &real), 0);
	for (uint32_t i = 0; i < child.count; i++) {
		const struct said_code *c = &child.codes[i];
		struct tm_frame f = {.code = c->addr,
				     .instr = off->frame_objects ? 0
								 : c->addr + off->code_bytecode +
									   2 * c->firsttraceable};
		struct tm_stack_rec rec = stack_rec(i, &f, 1);

		assert_int_equal(stack_cache_feed(real, &rec, rec.hdr.len), 0);
	}
	assert_int_equal(stack_cache_resolve(real, ring_is_empty, NULL), 0);
	assert_int_equal(stack_cache_unresolved(real), 0);
	for (uint32_t i = 0; i < child.count; i++) {
		const struct said_code *c = &child.codes[i];
		struct stack_info info = stack_cache_get(real, i);

		assert_int_equal(info.frame_count, 1);
		assert_frame(&info, 0, c->filename, c->qualname, c->lines[c->firsttraceable + 1]);
	}
	stack_cache_free(real);
	target_free(target);
	code_child_stop(&child);
}

/* One of a kind is enough: test_py_code.c reads the objects of all of them. */
static void real_code_is_named_as_python_says(void **state)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons);

	for (size_t i = 0; i < n; i++) {
		if (pythons[i].major == 3 && pythons[i].minor == rows[row].minor &&
		    pythons[i].free_threaded == rows[row].free_threaded) {
			check_python(&pythons[i]);
			return;
		}
	}
	skip();
}

/* ---- threads' own copies of the bytecode ---- */

#define COPY_AT(n) (0x100000ull * (n)) /* where copy n of the bytecode is */

struct fake_copies { /* _PyCodeArray, Include/cpython/code.h, v3.14 */
	uint64_t size, entries[8];
};

static struct tm_frame frame_in_copy(uint64_t code, unsigned copy)
{
	return (struct tm_frame){.code = code | (uint64_t)copy << TM_FRAME_TLBC_SHIFT,
				 .instr = COPY_AT(copy)};
}

static void feed_copy(uint32_t id, uint64_t code, unsigned copy)
{
	struct tm_frame f = frame_in_copy(code, copy);

	feed_frames(id, &f, 1);
}

static void frames_in_copies_have_their_lines(void **state)
{
	struct fake_copies c = {.size = 4, .entries = {0, COPY_AT(1), 0, COPY_AT(3)}};
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 42);
	put64(live.code, py.offsets->code_tlbc, (uintptr_t)&c);
	feed_stack(16, addr_of(&live));
	feed_copy(17, addr_of(&live), 1);
	feed_copy(18, addr_of(&live), 3);
	feed_copy(19, addr_of(&live), 2);		  /* was not made */
	feed_copy(20, addr_of(&live), TM_FRAME_TLBC_MAX); /* any from there on */
	resolve();
	assert_one(16, "/srv/live.py", "live", 42);
	assert_one(17, "/srv/live.py", "live", 42);
	assert_one(18, "/srv/live.py", "live", 42);
	assert_one(19, "/srv/live.py", "live", 0);
	assert_one(20, "/srv/live.py", "live", 0);
	assert_int_equal(stack_cache_unresolved(cache), 0);
}

/* A thread that comes later makes its copy later. */
static void copies_of_later_threads_are_read_when_they_are_named(void **state)
{
	struct fake_copies c = {.size = 2, .entries = {0, COPY_AT(1)}};
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 42);
	put64(live.code, py.offsets->code_tlbc, (uintptr_t)&c);
	feed_copy(16, addr_of(&live), 1);
	resolve();
	assert_one(16, "/srv/live.py", "live", 42);
	c.size = 4;
	c.entries[3] = COPY_AT(3);
	feed_copy(17, addr_of(&live), 3);
	resolve();
	assert_one(17, "/srv/live.py", "live", 42);
	assert_one(16, "/srv/live.py", "live", 42);
}

/* Of the dead nothing is read any more: what is at its address belongs to another. */
static void copies_of_the_dead_are_not_read(void **state)
{
	struct fake_copies c = {.size = 2, .entries = {0, COPY_AT(1)}};
	struct fake live;

	fake_init(&live, "/srv/live.py", "live", 42);
	put64(live.code, py.offsets->code_tlbc, (uintptr_t)&c);
	feed_copy(16, addr_of(&live), 1);
	feed_copy(17, addr_of(&live), 3);
	resolve();
	feed_death(addr_of(&live), "/srv/live.py", "live", 42);
	c.size = 4;
	c.entries[3] = COPY_AT(3);
	assert_one(16, "/srv/live.py", "live", 42);
	assert_one(17, "/srv/live.py", "live", 0);
}

static int open_self(void **state)
{
	py = (struct python_target){
		.minor = rows[row].minor,
		.offsets = py_offsets_get(rows[row].minor, rows[row].free_threaded),
		.code_type_addr = TYPE_ADDR};
	strings = intern_new();
	return !py.offsets || !strings ? -1 : target_open(getpid(), &self);
}

static int close_self(void **state)
{
	target_free(self);
	intern_free(strings);
	return 0;
}

static int open_cache(void **state)
{
	return stack_cache_new(self, &py, strings, MAX_FRAMES, &cache);
}

static int close_cache(void **state)
{
	stack_cache_free(cache);
	cache = NULL;
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)

/* What holds whatever the version is. */
#define ALWAYS                                                                                    \
	CASE(living_code_is_read), CASE(same_address_after_death_is_another_code_object),         \
		CASE(death_before_resolve_wins_over_live_reading),                                \
		CASE(death_of_code_that_no_stack_names_is_nothing),                               \
		CASE(death_while_reading_wins),                                                   \
		CASE(after_a_lost_death_an_address_is_not_believed),                              \
		CASE(records_in_another_order_are_no_loss),                                       \
		CASE(death_while_reading_that_tells_nothing_is_unknown),                          \
		CASE(stack_from_the_second_look_waits_for_the_next_round),                        \
		CASE(failure_of_the_ring_is_handed_back), CASE(name_once_read_outlives_the_code), \
		CASE(thread_that_was_seen_first_is_kept),                                         \
		CASE(unreadable_code_is_unknown_and_counted_once),                                \
		CASE(unreadable_code_that_dies_is_known_after_all),                               \
		CASE(without_python_every_frame_is_unknown), CASE(unknown_id_is_not_known),       \
		CASE(longest_stack_fits), CASE(short_stack_is_refused),                           \
		CASE(lying_stack_is_refused), CASE(short_death_is_refused_and_ends_nothing),      \
		CASE(death_with_bad_data_leaves_the_dead_unknown), CASE(many_stacks),             \
		cmocka_unit_test(real_code_is_named_as_python_says)

/* Frames may be incomplete: from 3.11 on. */
#define SINCE_311                                                               \
	CASE(incomplete_frames_are_skipped), CASE(frames_are_cut_at_the_limit), \
		CASE(native_leaf_speaks_where_no_python_frame_does)

int main(void)
{
	const struct CMUnitTest old[] = {ALWAYS};
	const struct CMUnitTest usual[] = {ALWAYS, SINCE_311};
	const struct CMUnitTest copies[] = {
		ALWAYS,
		SINCE_311,
		CASE(frames_in_copies_have_their_lines),
		CASE(copies_of_later_threads_are_read_when_they_are_named),
		CASE(copies_of_the_dead_are_not_read),
	};
	int failed = 0;

	for (row = 0; row < 2; row++)
		failed += cmocka_run_group_tests_name("old", old, open_self, close_self);
	failed += cmocka_run_group_tests_name("usual", usual, open_self, close_self);
	row++;
	failed += cmocka_run_group_tests_name("copies", copies, open_self, close_self);
	return failed;
}
