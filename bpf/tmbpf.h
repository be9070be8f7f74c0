/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one header that BPF and user space share: map values, ring records, limits and lists.
 * Fixed-width types only, padding explicit, sizes asserted on both sides.
 */
#ifndef TMBPF_H
#define TMBPF_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "allocators.h"

#define TM_STATIC_ASSERT(c) _Static_assert(c, #c)

/* ---- limits ---- */

#define TM_FRAMES_MAX 128 /* --frames */
#define TM_FRAMES_WALK \
	(TM_FRAMES_MAX + 1) /* one more: the innermost may be incomplete and skipped */
#define TM_SIZE_CLASSES 64  /* 3.6, 3.7 have 64 classes of 8 bytes, later ones 32 of 16 */
#define TM_POOL_HEADER	48  /* sizeof(struct tm_pool_head) */
/* Mode pools: of malloc's blocks only those from here on. glibc's tcache serves up to 1032 without the slow path. */
#define TM_GROWTH_MIN_BYTES 1033
#define TM_SLOW_CALLS	    16 /* of _int_malloc() in malloc and calloc; the others have no leaf */
#define TM_SITES_MAX	    4096

/*
 * ---- losses: enum, JSON key, explanation and remedy come from this one list; docs/codes.md is generated ----
 */

#define TM_DROP_LIST(X)                                                                            \
	X(RING_FULL, ring_full,                                                                    \
	  "a new stack did not fit the ring buffer; its blocks are attributed to <lost>",          \
	  "Many stacks were new at once. Later snapshots are complete again; lower --frames if "   \
	  "it goes on.")                                                                           \
	X(STACK_TABLE, stack_table_full,                                                           \
	  "no room for another distinct stack; attributed to <lost>",                              \
	  "Attach again with a larger --stacks or a lower --frames, or leave out --threads.")      \
	X(SCRATCH_BUSY, scratch_busy,                                                              \
	  "all scratch areas of a CPU were in use; block not recorded",                            \
	  "Rare: tasks were preempted in the middle of a probe. Nothing to do for a few.")         \
	X(POOL_DIR, pool_directory_full, "no room for another pool; block not recorded",           \
	  "Attach again with a larger --blocks, or use --mode pools.")                             \
	X(SLOTS, slot_segments_full, "slot storage was not extended in time; block not recorded",  \
	  "Attach again with a larger --blocks.")                                                  \
	X(POOL_READ, pool_unreadable, "the pool header could not be read; block not recorded",     \
	  "The page was swapped out or not yet present. Nothing to do for a few.")                 \
	X(POOL_BAD, pool_malformed, "the pool header made no sense; block not recorded",           \
	  "The interpreter's build may be unknown: tmbpf sites -p PID prints what was found; "     \
	  "please report it.")                                                                     \
	X(LIVE_TABLE, live_table_full, "the table of malloc blocks is full; block not recorded",   \
	  "Attach again with a larger --blocks, or use --mode pools.")                             \
	X(NESTED, call_state_lost,                                                                 \
	  "no per-thread state for an allocator call; block not recorded",                         \
	  "Very many threads were inside malloc at once. Nothing to do for a few.")                \
	X(TSTATE_READ, tstate_unreadable,                                                          \
	  "the thread state could not be read; stack is <unknown>",                                \
	  "A thread was starting or ending. Nothing to do for a few.")                             \
	X(FRAME_READ, frame_unreadable, "a frame could not be read; the stack is cut there",       \
	  "The page was swapped out or the frame was being built. Nothing to do for a few.")       \
	X(CODE_TABLE, code_table_full,                                                             \
	  "no room for another code object; its name is lost if it dies",                          \
	  "The target creates code at run time (exec, templates). Other lines are not affected.")  \
	X(CODE_DEATH, code_death_lost,                                                             \
	  "the record of a dying code object was lost; its frames are <unknown>",                  \
	  "Many code objects died at once. Other lines are not affected.")                         \
	X(CODE_LONG, code_table_long,                                                              \
	  "the line table of a dying code object was cut; some lines are 0",                       \
	  "The function is very long; its name is right. Other lines are not affected.")           \
	X(CODE_UNREAD, code_unreadable,                                                            \
	  "a code object could be read neither alive nor dying; its frames are <unknown>",         \
	  "It died before its first report, or its page was swapped out. Shorten the interval.")   \
	X(MOVING, pools_moving, "a pool changed during every read; counted from the last read",    \
	  "The target allocates while the heap is read. The next snapshot counts the pool again.") \
	X(NAME_LIMIT, name_limit,                                                                  \
	  "names, line tables or frames of the target pass the limits; they are <unknown>",        \
	  "The target holds more code than any real program. W135 names the limit.")

enum tm_drop {
#define X(id, key, text, remedy) TM_DROP_##id,
	TM_DROP_LIST(X)
#undef X
		TM_DROP_COUNT
};

/* ---- domains ---- */

enum { TM_DOMAIN_PYTHON = 0, TM_DOMAIN_NATIVE = 1 };

/* ---- what a slot of a shadow pool, and an entry of the live table, refer to ---- */

/*
 * Stack id: position of the stack's hash in the stack table, plus TM_STACK_FIRST. 0 = no record.
 */
#define TM_STACK_NONE	 0u
#define TM_STACK_LOST	 1u /* recorded, but its stack was dropped (counted) */
#define TM_STACK_UNKNOWN 2u /* recorded, no Python frame and no native leaf */
#define TM_STACK_GONE	 3u /* what stacks had allocated, all of it freed, whose ids were taken back */
#define TM_STACK_FIRST	 16u
#define TM_STACK_ID_MASK 0x0fffffffu
/*
 * Mark of a slot, bits 28..31: the learning epoch (1..15) in which the block was popped and not yet
 * passed a new-reference site; 0 = passed one.
 */
#define TM_MARK_SHIFT 28
#define TM_MARK_MASK  0xf0000000u

/* ---- tables that grow: levels (inner maps) of cache-line buckets, two choices each ---- */

#define TM_LEVELS_MAX 8

/* Per cent of a level that is filled before the next one is begun: see tests/unit/bpf/test_tables.c. */
#define TM_FILL_4_WAYS 55
#define TM_FILL_8_WAYS 75

/*
 * Finalizer of David Stafford's variant 13 of MurmurHash3's, as in SplitMix64. Used because addresses come in
 * arithmetic progressions, which one multiplication maps to a few windows of buckets (51 % of blocks 64 bytes
 * apart found both buckets full at a load of 0.6), this to all of them (0.03 %; at the 0.55 that is used 0.01
 * %).
 */
static inline __u64 tm_hash(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* 1 unless x is 0, without a branch: each would double what the verifier has to follow. */
static inline __u32 tm_is_set(__u64 x)
{
	__u64 minus = -x;

	/* Else the compiler makes a comparison of it, and of that a branch. */
	asm volatile("" : "+r"(minus));
	return (__u32)((x | minus) >> 63);
}

/* The two buckets of a key, independent of each other. */
#define TM_HASH_FIRST(h)  ((__u32)((h) >> 32))
#define TM_HASH_SECOND(h) ((__u32)(h))

/*
 * One table, shared by BPF and user space. User space adds levels ahead of need, each twice the one before,
 * and publishes them by count; BPF puts a new entry into the first level that is below its limit, the last one
 * takes all it can.
 */
struct tm_levels {
	__u32 count;
	__u32 mask[TM_LEVELS_MAX]; /* buckets - 1 */
	__u32 _pad;
	__u64 limit[TM_LEVELS_MAX]; /* entries */
	__u64 _line[3];
	__u64 used[TM_LEVELS_MAX]; /* entries; in a cache line apart from what every event reads */
};
TM_STATIC_ASSERT(__builtin_offsetof(struct tm_levels, used) == 128);

/* ---- pool directory ---- */

#define TM_DIR_WAYS   4
#define TM_DIR_LEVELS 7

/*
 * key: pool address | szidx + 1 (the address has 12 zero bits); 0 = free.
 * ref: first chunk of its slots << 16 | number of chunks. 0 = being set up.
 */
struct tm_dir_entry {
	__u64 key;
	__u64 ref;
};

struct tm_dir_bucket {
	struct tm_dir_entry way[TM_DIR_WAYS];
};
TM_STATIC_ASSERT(sizeof(struct tm_dir_bucket) == 64);

#define TM_POOL_HASH(p)	   tm_hash((p) >> 12)
#define TM_DIR_POOL(key)   ((key) & ~0xfffull)
#define TM_DIR_SZIDX(key)  ((__u32)((key)&0xff) - 1)
#define TM_DIR_CHUNK(ref)  ((__u32)((ref) >> 16))
#define TM_DIR_CHUNKS(ref) ((__u32)((ref)&0xff))

/* struct pool_header, CPython Objects/obmalloc.c, from 3.10 on Include/internal/pycore_obmalloc.h; same since 3.6 */
struct tm_pool_head {
	__u32 ref_count, _pad0;
	__u64 freeblock, nextpool, prevpool;
	__u32 arenaindex, szidx, nextoffset, maxnextoffset;
};
TM_STATIC_ASSERT(sizeof(struct tm_pool_head) == TM_POOL_HEADER);

/* ---- slots: segments (inner maps) of chunks of 32 slots ---- */

#define TM_CHUNK_SLOTS	   32
#define TM_SEG_SHIFT	   13 /* chunks a segment: 8192 x 128 B = 1 MiB */
#define TM_SEG_CHUNKS	   (1u << TM_SEG_SHIFT)
#define TM_SEGS_MAX	   8192 /* 8 GiB of slots */
#define TM_POOL_SLOTS_MAX  2048
#define TM_POOL_CHUNKS_MAX (TM_POOL_SLOTS_MAX / TM_CHUNK_SLOTS)

struct tm_chunk {
	__u32 slot[TM_CHUNK_SLOTS]; /* stack id | mark */
};
TM_STATIC_ASSERT(sizeof(struct tm_chunk) == 128);

/* ---- live table of malloc blocks ---- */

#define TM_LIVE_WAYS   4
#define TM_LIVE_LEVELS 8

/* addr 0 = free, 1 = being filled; meta: stack id (28 bits) | bytes << 28 (36 bits: 64 GiB - 1, larger is clamped). */
struct tm_live_entry {
	__u64 addr;
	__u64 meta;
};

struct tm_live_bucket {
	struct tm_live_entry way[TM_LIVE_WAYS];
};
TM_STATIC_ASSERT(sizeof(struct tm_live_bucket) == 64);

#define TM_LIVE_BYTES_MAX ((1ull << 36) - 1)
#define TM_LIVE_META(stack, bytes) \
	((__u64)(stack) | ((bytes) > TM_LIVE_BYTES_MAX ? TM_LIVE_BYTES_MAX : (__u64)(bytes)) << 28)
#define TM_LIVE_STACK(meta) ((__u32)((meta)&TM_STACK_ID_MASK))
#define TM_LIVE_BYTES(meta) ((meta) >> 28)

#define TM_LIVE_HASH(addr)  tm_hash(addr)

/* ---- stack table: 64-bit hashes, 8 a bucket; the position is the id ---- */

#define TM_STACK_WAYS	  8
#define TM_STACK_LEVELS	  3
#define TM_STACK_HELD	  1ull /* in place of a hash: the id was taken back and is not free yet */
#define TM_STACK_HASH_MIN 2ull

struct tm_stack_bucket {
	__u64 hash[TM_STACK_WAYS]; /* 0 = free */
};
TM_STATIC_ASSERT(sizeof(struct tm_stack_bucket) == 64);

/*
 * First id of a level, of a table whose first level has `mask` + 1 buckets: each level is twice the one
 * before.
 */
#define TM_STACK_BASE(mask, level) \
	(TM_STACK_FIRST + (((mask) + 1) * ((1u << (level)) - 1)) * TM_STACK_WAYS)

static inline __u32 tm_stack_level(__u32 mask, __u32 id)
{
	return id < TM_STACK_BASE(mask, 1) ? 0 : id < TM_STACK_BASE(mask, 2) ? 1 : 2;
}

/* Place of an id in the tables of its level; the first level begins with TM_STACK_NONE. */
static inline __u32 tm_stack_index(__u32 mask, __u32 level, __u32 id)
{
	return level ? id - TM_STACK_BASE(mask, level) : id;
}

/* Allocations of a stack since attach, freed or not. */
struct tm_stack_allocs {
	__u64 blocks, bytes;
};

/*
 * A code object that takes the place of a dead one makes another stack: the deaths at its address are part of
 * the hash. Addresses share counters, which only makes a stack new without need.
 */
#define TM_CODE_GENS	  4096
#define TM_CODE_GEN(code) (((code) >> 5) & (TM_CODE_GENS - 1))

/* ---- ring records ---- */

enum tm_rec_type {
	TM_REC_STACK = 1,
	TM_REC_CODE_DEATH = 2,
	TM_REC_PROCESS = 3, /* a header only: struct tm_proc_state has changed */
};

struct tm_rec_hdr {
	__u32 type; /* enum tm_rec_type */
	__u32 len;  /* of the whole record, bytes */
};

struct tm_frame {
	__u64 code;  /* PyCodeObject * */
	__u64 instr; /* prev_instr / instr_ptr; up to 3.10 f_lasti, sign-extended */
};

/*
 * User addresses have 47 bits: above them ride the owner and, of free-threaded builds, the number of the
 * thread's own copy of the bytecode, at most TM_FRAME_TLBC_MAX (which then stands for any from there on).
 */
#define TM_FRAME_OWNER_SHIFT 56
#define TM_FRAME_TLBC_SHIFT  48
#define TM_FRAME_TLBC_MAX    0xffull
#define TM_FRAME_CODE_MASK   0x0000ffffffffffffull

/* A stack seen for the first time. frames[] is cut to frame_count. */
struct tm_stack_rec {
	struct tm_rec_hdr hdr;
	__u32 stack_id;
	__u32 deaths_lost; /* records of code deaths that were lost before the walk */
	__u16 frame_count;
	__u8 domain;
	__u8 truncated; /* more frames than asked for */
	__u32 tid;
	__u64 native_ip; /* caller of the allocator (native domain), 0 = none */
	struct tm_frame frames[TM_FRAMES_WALK];
};
TM_STATIC_ASSERT(sizeof(struct tm_stack_rec) == 32 + 16 * TM_FRAMES_WALK);

/*
 * A code object that dies; its memory is still whole when this is taken. data[] holds, in this order:
 * the code object (code_len bytes), filename, qualname (raw code points, kind bytes each), and the
 * line table.
 */
#define TM_CODE_OBJ_MAX	  256
#define TM_CODE_STR_MAX	  1024 /* bytes of each string */
#define TM_CODE_TABLE_MAX 16384
#define TM_DEATH_DATA_MAX (TM_CODE_OBJ_MAX + 2 * TM_CODE_STR_MAX + TM_CODE_TABLE_MAX)

struct tm_code_death {
	struct tm_rec_hdr hdr;
	__u64 code;
	__u32 deaths_lost; /* records of others that were lost before this death */
	__u16 code_len;
	__u8 filename_kind,
		qualname_kind; /* bytes a code point: 1 (latin-1, ASCII), 2, 4; 0 = unreadable */
	__u32 filename_len, qualname_len; /* bytes copied */
	__u32 table_len;		  /* bytes copied */
	__u32 table_full_len;		  /* bytes the table has */
	__u8 data[TM_DEATH_DATA_MAX];
};

/* ---- the end of the process ---- */

/* Times: CLOCK_MONOTONIC, 0 = has not happened. */
struct tm_proc_state {
	__u64 exec_ns;	  /* runs another program; nothing is recorded from there on */
	__u64 oom_ns;	  /* chosen by the out-of-memory killer; dies within milliseconds */
	__u64 exit_ns;	  /* all its threads have ended */
	__u32 exit_code;  /* as waitpid(2) gives it; valid with exit_ns */
	__u32 oom_killed; /* with exit_ns: SIGKILL came from the out-of-memory killer */
};

/* ---- counters ---- */

struct tm_site_count { /* per new-reference site */
	__u64 fresh, reuse;
};

enum tm_prog_kind {
	TM_PROG_POP,
	TM_PROG_NEWREF,
	TM_PROG_REFILL,
	TM_PROG_MALLOC,
	TM_PROG_FREE,
	TM_PROG_DEATH,
	TM_PROG_COUNT
};

/*
 * Per CPU, so that plain adds do. ns is measured on every TM_TIME_EVERY-th event and counted in
 * timed.
 */
#define TM_TIME_EVERY 128
/* A program that took longer was preempted: what ran meanwhile is not its cost. */
#define TM_TIME_MAX_NS 100000

struct tm_cpu_stats {
	__u64 hits[TM_PROG_COUNT];
	__u64 timed[TM_PROG_COUNT];
	__u64 timed_ns[TM_PROG_COUNT];
	__u64 drops[TM_DROP_COUNT];
	/* Traps with nothing to record: free(NULL), a code object of no known stack, another process. */
	__u64 idle;
};

/* ---- cookies ---- */

/*
 * record_site:  register | kind << 4 | flags << 8 | index << 16 | owner
 * alloc_enter:  enum tm_fn | sp_bytes << 8
 * The owner is set by the function that collects the probes: the allocator of the site, which
 * decides what a hit counts as.
 */
#define TM_COOKIE_REG(c)	   ((c)&0xf)
#define TM_COOKIE_KIND(c)	   (((c) >> 4) & 0xf)
#define TM_COOKIE_FLAGS(c)	   (((c) >> 8) & 0xff)
#define TM_COOKIE_IDX(c)	   (((c) >> 16) & 0xffff)
#define TM_COOKIE_WITH_IDX(c, idx) (((c) & ~(0xffffull << 16)) | (__u64)(idx) << 16)
#define TM_COOKIE(reg, kind, flags, idx) \
	((__u64)(reg) | (__u64)(kind) << 4 | (__u64)(flags) << 8 | (__u64)(idx) << 16)

#define TM_COOKIE_OWNER(alloc, prog) ((__u64)(alloc) << 32 | (__u64)(prog) << 40)
#define TM_COOKIE_ALLOC(c)	     ((__u32)((c) >> 32) & 0xff) /* enum tm_allocator */
#define TM_COOKIE_PROG(c)	     ((__u32)((c) >> 40) & 0xff) /* enum tm_prog_kind */

/*
 * How far a hit goes. HIT: it is counted, for the trial window; READ and WALK end a hit early, so that a
 * benchmark can tell the parts of its cost.
 */
enum tm_stop { TM_STOP_NOT = 0, TM_STOP_HIT = 1, TM_STOP_READ = 2, TM_STOP_WALK = 3 };

/* Kinds of record_site; what an allocator does at each is its own. */
enum tm_kind {
	TM_KIND_POP = 0,	  /* a block is handed out */
	TM_KIND_NEWREF = 1,	  /* an object is born in a block */
	TM_KIND_REFILL = 2,	  /* the first block of a new pool is known */
	TM_KIND_ALLOC_RETURN = 3, /* at a return probe */
	TM_KIND_ALLOC_RESULT = 4, /* inside: TM_COOKIE_IDX words below the return address */
};

/* Flags of TM_KIND_ALLOC_RESULT: what is known, and the condition of the flags under which it is. */
enum tm_result {
	TM_RESULT_BLOCK = 0,	 /* the register holds what the function returns; 0 = it failed */
	TM_RESULT_NOTHING = 1,	 /* it failed, or freed: no block comes */
	TM_RESULT_FORWARDED = 2, /* another function with probes of its own takes the call over */
	TM_RESULT_BY_POINTER =
		3, /* rax holds a status; the block is where the first argument points */
};
#define TM_RESULT_ALWAYS	  16 /* as condition */
#define TM_RESULT_FLAGS(kind, cc) ((kind) | (cc) << 2)
#define TM_RESULT_KIND(flags)	  ((flags)&3)
#define TM_RESULT_CC(flags)	  ((flags) >> 2)

/* Functions of alloc_enter: the entry points of a C library, and what is none. */
enum tm_fn {
	TM_FN_MALLOC = 0,
	TM_FN_CALLOC = 1,
	TM_FN_REALLOC = 2,
	TM_FN_FREE = 3,
	TM_FN_MEMALIGN = 4,
	TM_FN_POSIX_MEMALIGN = 5,
	TM_FN_VALLOC = 6,
	TM_FN_PVALLOC = 7,
	TM_FN_REALLOCARRAY = 8,
	TM_FN_ALIGNED_ALLOC = 9, /* where it is a function of its own (glibc 2.37+) */
	TM_FN_COUNT,
	TM_FN_SLOW_MALLOC = TM_FN_COUNT, /* glibc's _int_malloc(arena, bytes) */
};

/* The jump after the pop: reg holds the pool, TM_COOKIE_IDX the block's register. */
#define TM_POP_AFTER 1
/* The setting up of a new pool, up to 3.8: TM_COOKIE_IDX is the register of the size index. */
#define TM_POP_INIT 2
/*
 * Always record, do not look at the mark: set while some sites are detached, because a block that was
 * born at a detached site keeps its mark and would look fresh when it is re-used.
 */
#define TM_NEWREF_KEEP 1

#endif
