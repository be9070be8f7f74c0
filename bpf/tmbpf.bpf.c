// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What happens at a hit. Every program sits on an instruction that the kernel emulates (a conditional
 * jump, a push), chosen by decoding the target's files; which register holds what rides in the cookie.
 *
 *   record_site   books a block to the current stack:
 *                   pop: a pymalloc block is handed out
 *                   refill: the first block of a pool that was just opened, at the refill's return,
 *                     up to 3.8 at a jump inside the allocator
 *                   new reference: an object is born in a block, fresh or from a free list
 *                   return of an outermost call of libc's malloc family
 *   alloc_enter   a call of that family begins
 *   free_enter    a malloc block ends
 *   code_dealloc  a code object dies: keep its name
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "config.bpf.h"
#include "live_table.bpf.h"
#include "maps.bpf.h"
#include "pools.bpf.h"
#include "stack_intern.bpf.h"
#include "stack_python.bpf.h"
#include "stats.bpf.h"
#include "tmbpf.h"

char LICENSE[] SEC("license") = "GPL";

#define X86_FLAGS_ZF 0x40 /* EFLAGS bit 6, Intel SDM vol. 1, 3.4.3 */

/*
 * One load by hand: clang joins plain or volatile loads of a switch into one at a computed offset, which
 * the verifier refuses ("dereference of modified ctx ptr"). pt_regs is the kernel's ABI, the offset fixed.
 */
#define CTX_REG(field)                                                                    \
	({                                                                                \
		__u64 v_;                                                                 \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                                     \
			     : "=r"(v_)                                                   \
			     : "r"(ctx), "i"(__builtin_offsetof(struct pt_regs, field))); \
		v_;                                                                       \
	})

/* A register by number (rax rcx rdx rbx rsp rbp rsi rdi r8..r15). */
static __always_inline __u64 reg_get(const struct pt_regs *ctx, __u32 reg)
{
	switch (reg & 0xf) {
	case 0:
		return CTX_REG(ax);
	case 1:
		return CTX_REG(cx);
	case 2:
		return CTX_REG(dx);
	case 3:
		return CTX_REG(bx);
	case 4:
		return CTX_REG(sp);
	case 5:
		return CTX_REG(bp);
	case 6:
		return CTX_REG(si);
	case 7:
		return CTX_REG(di);
	case 8:
		return CTX_REG(r8);
	case 9:
		return CTX_REG(r9);
	case 10:
		return CTX_REG(r10);
	case 11:
		return CTX_REG(r11);
	case 12:
		return CTX_REG(r12);
	case 13:
		return CTX_REG(r13);
	case 14:
		return CTX_REG(r14);
	default:
		return CTX_REG(r15);
	}
}

/* struct pool_header from freeblock to szidx, Objects/obmalloc.c (Include/internal/pycore_obmalloc.h) */
struct pool_head {
	__u64 freeblock;	  /* @8 */
	__u64 nextpool, prevpool; /* @16, @24 */
	__u32 arenaindex, szidx;  /* @32, @36 */
};

static __always_inline void pop_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 pool = reg_get(ctx, TM_COOKIE_REG(cookie)), block;
	struct pool_head head;
	__u32 *slot, stack;

	if (TM_COOKIE_FLAGS(cookie) & TM_POP_INIT) {
		block = 0;
	} else if (TM_COOKIE_FLAGS(cookie) & TM_POP_AFTER) {
		block = reg_get(ctx, TM_COOKIE_IDX(cookie));
	} else {
		/* nextpool == pool: the list is empty, and the refill function serves this one. */
		if (ctx->flags & X86_FLAGS_ZF)
			return;
		block = 0;
	}
	if (bpf_probe_read_user(&head, sizeof(head), (void *)(pool + 8))) {
		tm_drop(TM_DROP_POOL_READ);
		return;
	}
	if (!block)
		block = head.freeblock;
	if (TM_COOKIE_FLAGS(cookie) & TM_POP_INIT) {
		__u32 szidx = (__u32)reg_get(ctx, TM_COOKIE_IDX(cookie));

		/* A pool of this class that was used before keeps its free list, any other starts anew. */
		if (head.szidx != szidx)
			block = pool + TM_POOL_HEADER;
		head.szidx = szidx;
	}
	if (pool & (cfg_pool_bytes - 1)) {
		tm_drop(TM_DROP_POOL_BAD);
		return;
	}
	if (run_stop == TM_STOP_READ)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	if (run_stop == TM_STOP_WALK)
		return;
	/* In pools mode, which knows only new pools, the first slot stands for the pool. */
	slot = slot_claim(pool, run_pools_mode ? pool + TM_POOL_HEADER : block, head.szidx);
	if (!slot)
		return;
	/* No stack, no record: what the slot said before belonged to the block's previous owner. */
	*slot = stack ? stack | run_epoch << TM_MARK_SHIFT : 0;
	if (stack)
		stack_count(stack, run_pools_mode ? cfg_pool_bytes : class_bytes(head.szidx));
}

static __always_inline void refill_record(__u64 block)
{
	__u64 pool = block & ~(cfg_pool_bytes - 1);
	struct pool_head head;
	__u32 *slot, stack;

	if (!block)
		return;
	if (bpf_probe_read_user(&head, sizeof(head), (void *)(pool + 8))) {
		tm_drop(TM_DROP_POOL_READ);
		return;
	}
	/* In pools mode the first slot stands for the pool. */
	slot = slot_claim(pool, run_pools_mode ? pool + TM_POOL_HEADER : block, head.szidx);
	if (!slot)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	*slot = stack ? stack | run_epoch << TM_MARK_SHIFT : 0;
	if (stack)
		stack_count(stack, run_pools_mode ? cfg_pool_bytes : class_bytes(head.szidx));
}

static __always_inline void newref_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 op = reg_get(ctx, TM_COOKIE_REG(cookie));
	struct tm_dir_entry *e = pool_find(op & ~(cfg_pool_bytes - 1));
	struct tm_site_count *count;
	__u32 *slot, site = TM_COOKIE_IDX(cookie), stack, was;

	if (!e)
		return;
	slot = slot_get(e, op);
	if (!slot)
		return;
	was = *slot;
	/* A block from before attach stays without a record. */
	if (!was)
		return;
	if (!(TM_COOKIE_FLAGS(cookie) & TM_NEWREF_KEEP)) {
		/* All sites are attached: a block popped in this epoch still carries its mark. */
		bool fresh = was >> TM_MARK_SHIFT == run_epoch;

		count = bpf_map_lookup_elem(&site_counts, &site);
		if (count)
			__sync_fetch_and_add(fresh ? &count->fresh : &count->reuse, 1);
		if (fresh) {
			*slot = was & TM_STACK_ID_MASK;
			return;
		}
	}
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	*slot = stack;
	/* With the mark of its pop and the same stack this may be that very allocation: counted there. */
	if (stack && (!(was & TM_MARK_MASK) || (was & TM_STACK_ID_MASK) != stack))
		stack_count(stack, class_bytes(TM_DIR_SZIDX(e->key)));
}

/* ---- mimalloc ---- */

/* CPython v3.13 Include/internal/mimalloc/mimalloc/types.h, where the size has 32 bits. */
#define MI_HUGE	       0x80000000u /* MI_HUGE_BLOCK_SIZE: one block, of slice_count (@0) slices */
#define MI_SLICE_SHIFT 16

/* Bytes of a block of the page; 0: not readable, counted. */
static __always_inline __u64 mi_block_bytes(__u64 page)
{
	__u64 bytes = 0;
	__u32 slices = 0;

	if (bpf_probe_read_user(&bytes, cfg_mi_size_bytes == 8 ? 8 : 4,
				(void *)(page + cfg_mi_size)))
		goto unreadable;
	if (cfg_mi_size_bytes == 8 || bytes < MI_HUGE)
		return bytes;
	if (bpf_probe_read_user(&slices, sizeof(slices), (void *)page))
		goto unreadable;
	return (__u64)slices << MI_SLICE_SHIFT;
unreadable:
	tm_drop(TM_DROP_POOL_READ);
	return 0;
}

static __always_inline void mi_pop_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 page = reg_get(ctx, TM_COOKIE_REG(cookie)),
	      block = reg_get(ctx, TM_COOKIE_IDX(cookie));
	__u64 bytes;
	__u32 stack;

	/* The page is used up: mi_malloc_generic() comes back with another one. */
	if (!block)
		return;
	bytes = mi_block_bytes(page);
	if (!bytes)
		return;
	if (run_stop == TM_STOP_READ)
		return;
	stack = stack_current(TM_DOMAIN_PYTHON, 0);
	if (!stack || run_stop == TM_STOP_WALK)
		return;
	live_add(block, TM_LIVE_META(stack, bytes));
	stack_count(stack, bytes);
}

/*
 * The object may stand behind a GC header and a pre-header of 16 bytes each. Blocks are not told fresh from
 * re-used here: the current stack is right for both.
 */
static __always_inline void mi_newref_record(struct pt_regs *ctx, __u64 cookie)
{
	__u64 op = reg_get(ctx, TM_COOKIE_REG(cookie));
	__u32 stack = stack_current(TM_DOMAIN_PYTHON, 0);

	if (!stack || live_rebook(op, stack) || live_rebook(op - 16, stack))
		return;
	live_rebook(op - 32, stack);
}

/* ---- libc ---- */

static __always_inline __u64 requested_bytes(const struct pt_regs *ctx, __u32 fn)
{
	switch (fn) {
	case TM_FN_CALLOC:
		return ctx->di * ctx->si;
	case TM_FN_REALLOC:
	case TM_FN_MEMALIGN:
	case TM_FN_ALIGNED_ALLOC:
	case TM_FN_SLOW_MALLOC:
		return ctx->si;
	case TM_FN_POSIX_MEMALIGN:
		return ctx->dx;
	case TM_FN_REALLOCARRAY:
		return ctx->si * ctx->dx;
	default:
		return ctx->di;
	}
}

/* Who called the allocator: the return address at sp, or for the slow path the one of malloc above it. */
static __always_inline __u64 caller_of(__u64 sp, __u32 fn)
{
	__u64 caller = 0, up = 0;
	int i;

	if (bpf_probe_read_user(&caller, sizeof(caller), (void *)sp) || fn != TM_FN_SLOW_MALLOC)
		return caller;
	for (i = 0; i < TM_SLOW_CALLS && cfg_slow_ret[i]; i++)
		if (cfg_slow_ret[i] == caller)
			up = cfg_slow_up[i];
	/* Through another door of libc (memalign): then the leaf stays unknown. */
	if (!up || bpf_probe_read_user(&caller, sizeof(caller), (void *)(sp + up)))
		return 0;
	return caller;
}

static __always_inline void alloc_begin(struct pt_regs *ctx, __u32 fn, __u32 sp_bytes)
{
	__u64 sp = ctx->sp + sp_bytes, bytes = requested_bytes(ctx, fn);
	struct tm_call *call;

	/* Too small to be recorded and nothing to be taken out: no state is needed. */
	if (bytes < run_min_bytes && fn != TM_FN_REALLOC && fn != TM_FN_REALLOCARRAY)
		return;
	call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		tm_drop(TM_DROP_NESTED);
		return;
	}
	/*
	 * Deeper in the stack than the call under way: nested, only the outermost counts. At or above it:
	 * that call never returned (longjmp, an exception), so it is forgotten.
	 */
	if (call->sp && sp < call->sp)
		return;
	/*
	 * realloc(NULL, n) of glibc jumps to malloc: the same call, and its return address is by now that of
	 * the return probe.
	 */
	if (call->sp == sp && fn == TM_FN_MALLOC && call->bytes == bytes && !call->old_addr &&
	    !call->out)
		return;
	call->sp = sp;
	call->bytes = bytes;
	call->old_addr = 0;
	call->out = fn == TM_FN_POSIX_MEMALIGN ? ctx->di : 0;
	call->caller = caller_of(sp, fn);
	if ((fn == TM_FN_REALLOC || fn == TM_FN_REALLOCARRAY) && ctx->di) {
		/* At entry: another thread may get the address as soon as the inner free is done. */
		call->old_addr = ctx->di;
		call->old_meta = live_remove(ctx->di);
	}
}

SEC("uprobe")
int alloc_enter(struct pt_regs *ctx)
{
	__u64 cookie, t;

	if (!is_target())
		return 0;
	t = stats_begin(TM_PROG_MALLOC);
	if (run_stop != TM_STOP_HIT) {
		cookie = bpf_get_attach_cookie(ctx);
		alloc_begin(ctx, cookie & 0xff, TM_COOKIE_FLAGS(cookie));
	}
	stats_end(TM_PROG_MALLOC, t);
	return 0;
}

static __always_inline void alloc_end(struct pt_regs *ctx)
{
	struct tm_call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
	__u64 block = ctx->ax;
	__u32 stack, domain = TM_DOMAIN_NATIVE;
	bool freed_old;

	/* The return address has been taken off the stack: sp is one word above where it was. */
	if (!call || !call->sp || ctx->sp - 8 != call->sp)
		return;
	call->sp = 0;
	if (call->out) {
		if ((__u32)ctx->ax || bpf_probe_read_user(&block, sizeof(block), (void *)call->out))
			return;
	}
	if (!block) {
		/* A realloc that failed left the old block alone; realloc(p, 0) freed it (glibc). */
		freed_old = !call->bytes;
		if (call->old_addr && call->old_meta && !freed_old)
			live_add(call->old_addr, call->old_meta);
		return;
	}
	if (call->bytes < run_min_bytes)
		return;
	/* An unknown caller in a Python process: the interpreter is the likeliest. */
	if (call->caller ? call->caller - cfg_interp_lo < cfg_interp_hi - cfg_interp_lo
			 : cfg_python)
		domain = TM_DOMAIN_PYTHON;
	stack = stack_current(domain, domain == TM_DOMAIN_PYTHON ? 0 : call->caller);
	if (!stack)
		return;
	live_add(block, TM_LIVE_META(stack, call->bytes));
	stack_count(stack, call->bytes);
}

static __always_inline enum tm_prog_kind prog_kind(__u32 kind)
{
	switch (kind) {
	case TM_KIND_POP:
	case TM_KIND_MI_POP:
		return TM_PROG_POP;
	case TM_KIND_NEWREF:
		return TM_PROG_NEWREF;
	case TM_KIND_REFILL:
		return TM_PROG_REFILL;
	default:
		return TM_PROG_MALLOC;
	}
}

/*
 * Everything that books a block to the current stack. One program for all kinds of site, because the
 * verifier takes its time with the stack walk, and takes it once a program.
 */
SEC("uprobe")
int record_site(struct pt_regs *ctx)
{
	enum tm_prog_kind prog;
	__u64 cookie, t;
	__u32 kind;

	if (!is_target())
		return 0;
	cookie = bpf_get_attach_cookie(ctx);
	kind = TM_COOKIE_KIND(cookie);
	prog = prog_kind(kind);
	t = stats_begin(prog);
	if (run_stop == TM_STOP_HIT)
		return 0;
	if (kind == TM_KIND_POP)
		pop_record(ctx, cookie);
	else if (cfg_mimalloc && kind == TM_KIND_MI_POP)
		mi_pop_record(ctx, cookie);
	else if (cfg_mimalloc && kind == TM_KIND_NEWREF)
		mi_newref_record(ctx, cookie);
	else if (kind == TM_KIND_NEWREF)
		newref_record(ctx, cookie);
	else if (kind == TM_KIND_REFILL)
		refill_record(ctx->ax);
	else
		alloc_end(ctx);
	stats_end(prog, t);
	return 0;
}

SEC("uprobe")
int free_enter(struct pt_regs *ctx)
{
	__u64 t;

	if (!is_target() || !ctx->di)
		return 0;
	t = stats_begin(TM_PROG_FREE);
	if (run_stop != TM_STOP_HIT)
		live_remove(ctx->di);
	stats_end(TM_PROG_FREE, t);
	return 0;
}

/* ---- code objects that die ---- */

static __always_inline struct tm_death_scratch *death_claim(void)
{
	__u32 i;

	for (i = 0; i < 4; i++) {
		__u32 idx = i;
		struct tm_death_scratch *s = bpf_map_lookup_elem(&death_scratch, &idx);

		if (s && !__sync_lock_test_and_set(&s->busy, 1))
			return s;
	}
	return NULL;
}

/*
 * Copy the code points of a compact str to d->data[at]. Returns the bytes copied (cut at TM_CODE_STR_MAX);
 * *kind is the bytes a code point, 0: not readable.
 */
static __always_inline __u32 str_copy(struct tm_code_death *d, __u32 at, __u64 str, __u8 *kind)
{
	__u64 len = 0, data;
	__u32 state = 0, n;

	*kind = 0;
	if (bpf_probe_read_user(&len, sizeof(len), (void *)(str + cfg_str_length)) ||
	    bpf_probe_read_user(&state, sizeof(state), (void *)(str + cfg_str_state)))
		return 0;
	/* struct state, Include/cpython/unicodeobject.h: interned, then kind:3 compact:1 ascii:1 */
	state >>= cfg_str_kind_shift;
	if (!(state & 8))
		return 0;
	data = str + (state & 16 ? cfg_str_ascii_data : cfg_str_compact_data);
	len *= state & 7;
	n = len > TM_CODE_STR_MAX ? TM_CODE_STR_MAX : (__u32)len;
	/* clang bounds the 64-bit value and uses its lower half: the verifier wants it said of that. */
	asm volatile("" : "+r"(n));
	if (n > TM_CODE_STR_MAX)
		return 0;
	if (n && bpf_probe_read_user(d->data + at, n, (void *)data))
		return 0;
	*kind = state & 7;
	return n;
}

/* The object, its names and its line table, one behind the other; false: nothing could be read. */
static __always_inline bool death_fill(struct tm_code_death *d, __u64 code)
{
	__u64 table, table_len = 0;
	__u32 at = cfg_code_bytes, n;

	if (at > TM_CODE_OBJ_MAX || bpf_probe_read_user(d->data, at, (void *)code))
		return false;
	d->code = code;
	d->code_len = at;
	table = *(__u64 *)(d->data + cfg_code_linetable);
	d->filename_len =
		str_copy(d, at, *(__u64 *)(d->data + cfg_code_filename), &d->filename_kind);
	n = d->filename_len;
	if (n > TM_CODE_STR_MAX) /* through memory the verifier loses the bound */
		return false;
	at += n;
	d->qualname_len =
		str_copy(d, at, *(__u64 *)(d->data + cfg_code_qualname), &d->qualname_kind);
	n = d->qualname_len;
	if (n > TM_CODE_STR_MAX)
		return false;
	at += n;
	if (bpf_probe_read_user(&table_len, sizeof(table_len), (void *)(table + cfg_bytes_size)))
		table_len = 0;
	d->table_full_len = (__u32)table_len;
	n = table_len > TM_CODE_TABLE_MAX ? TM_CODE_TABLE_MAX : (__u32)table_len;
	if (n < table_len)
		tm_drop(TM_DROP_CODE_LONG);
	if (n && bpf_probe_read_user(d->data + at, n, (void *)(table + cfg_bytes_data)))
		n = 0;
	d->table_len = n;
	d->hdr.len = __builtin_offsetof(struct tm_code_death, data) + at + n;
	return true;
}

/*
 * Before the memory is given back: whoever finds another code object at this address comes later, and his
 * record says so.
 */
static __always_inline void death_lost(void)
{
	__sync_fetch_and_add(&deaths_lost, 1);
	tm_drop(TM_DROP_CODE_DEATH);
}

SEC("uprobe")
int code_dealloc(struct pt_regs *ctx)
{
	struct tm_death_scratch *s;
	__u64 code = ctx->di, t;
	__u32 len;

	if (!is_target() || !bpf_map_lookup_elem(&codes, &code))
		return 0;
	t = stats_begin(TM_PROG_DEATH);
	bpf_map_delete_elem(&codes, &code);
	__sync_fetch_and_add(&code_gens[TM_CODE_GEN(code)], 1);
	s = death_claim();
	if (!s) {
		death_lost();
		return 0;
	}
	s->rec.hdr.type = TM_REC_CODE_DEATH;
	s->rec.deaths_lost = deaths_lost;
	if (death_fill(&s->rec, code)) {
		len = s->rec.hdr.len;
		if (len > sizeof(s->rec) || bpf_ringbuf_output(&ring, &s->rec, len, ring_flags()))
			death_lost();
	} else {
		death_lost();
	}
	__sync_lock_test_and_set(&s->busy, 0);
	stats_end(TM_PROG_DEATH, t);
	return 0;
}
