/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The malloc family of a C library: a call is paired with its result in task storage. */
#ifndef TM_BPF_ALLOC_LIBC
#define TM_BPF_ALLOC_LIBC

#include "live_table.bpf.h"
#include "regs.bpf.h"
#include "stack_intern.bpf.h"
#include "stack_python.bpf.h"

/* Linux arch/x86: xol_add_vma() takes the last page of user space. No text lies from there on. */
#define TM_UPROBES_PAGE 0x7fffffffe000ull

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
	/*
	 * Leave the caller unknown: entered through another function of libc (memalign), which has
	 * no site.
	 */
	if (!up || bpf_probe_read_user(&caller, sizeof(caller), (void *)(sp + up)))
		return 0;
	return caller;
}

/*
 * A return probe that another tracer has in this function has put the kernel's own address there by now. Then
 * the caller is known only if the function that jumped here has seen it.
 */
static __always_inline __u64 caller_now(const struct tm_call *call, __u64 sp, __u32 fn)
{
	__u64 caller = caller_of(sp, fn);

	if (caller < TM_UPROBES_PAGE)
		return caller;
	return call->forwarded_sp == sp ? call->caller : 0;
}

static __always_inline void alloc_begin(struct pt_regs *ctx, __u32 fn, __u32 sp_bytes)
{
	__u64 sp = ctx->sp + sp_bytes, bytes = requested_bytes(ctx, fn);
	struct tm_call *call;

	/* Keep no state, because the call is too small to be recorded and takes nothing out. */
	if (bytes < run_min_bytes && fn != TM_FN_REALLOC && fn != TM_FN_REALLOCARRAY)
		return;
	call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0,
				    BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call) {
		tm_drop(TM_DROP_NESTED);
		return;
	}
	/*
	 * Deeper in the stack than the call under way: skip it, because it is nested and only the
	 * outermost counts. At or above it: that call never returned (longjmp, an exception), so it is
	 * forgotten.
	 */
	if (call->sp && sp < call->sp)
		return;
	/*
	 * Treat it as the same call, because realloc(NULL, n) of glibc jumps to malloc, and with a return
	 * probe at realloc its return address is by now that of the probe.
	 */
	if (call->sp == sp && fn == TM_FN_MALLOC && call->bytes == bytes && !call->old_addr &&
	    !call->out)
		return;
	call->sp = sp;
	call->bytes = bytes;
	call->old_addr = 0;
	call->out = fn == TM_FN_POSIX_MEMALIGN ? ctx->di : 0;
	call->caller = caller_now(call, sp, fn);
	call->forwarded_sp = 0;
	if ((fn == TM_FN_REALLOC || fn == TM_FN_REALLOCARRAY) && ctx->di) {
		/*
		 * Delete at entry, because another thread may get the address as soon as the inner
		 * free is done.
		 */
		call->old_addr = ctx->di;
		call->old_meta = live_remove(ctx->di);
	}
}

/* The call under way has this result; 0 = there is none. */
static __always_inline void alloc_finish(struct tm_call *call, __u64 block)
{
	__u32 stack, domain = TM_DOMAIN_NATIVE;
	bool freed_old;

	call->sp = 0;
	if (!block) {
		/* A realloc that failed left the old block alone; realloc(p, 0) freed it (glibc). */
		freed_old = !call->bytes;
		if (call->old_addr && call->old_meta && !freed_old)
			live_add(call->old_addr, call->old_meta);
		return;
	}
	if (call->bytes < run_min_bytes)
		return;
	/*
	 * Assume the interpreter, because it is the likeliest unknown caller in a Python process.
	 */
	if (call->caller ? call->caller - cfg_interp_lo < cfg_interp_hi - cfg_interp_lo
			 : cfg_python)
		domain = TM_DOMAIN_PYTHON;
	stack = stack_current(domain, domain == TM_DOMAIN_PYTHON ? 0 : call->caller);
	if (!stack)
		return;
	live_add(block, TM_LIVE_META(stack, call->bytes));
	stack_count(stack, call->bytes);
}

/* Will a conditional jump with this condition be taken? Intel SDM vol. 2, appendix B.1.4.7 */
static __always_inline bool flags_fulfil(__u64 flags, __u32 cc)
{
	bool cf = flags & 0x1, pf = flags & 0x4, zf = flags & X86_FLAGS_ZF, sf = flags & 0x80,
	     of = flags & 0x800, holds;

	switch (cc >> 1) {
	case 0:
		holds = of;
		break;
	case 1:
		holds = cf;
		break;
	case 2:
		holds = zf;
		break;
	case 3:
		holds = cf || zf;
		break;
	case 4:
		holds = sf;
		break;
	case 5:
		holds = pf;
		break;
	case 6:
		holds = sf != of;
		break;
	default:
		holds = zf || sf != of;
	}
	return holds != (cc & 1);
}

/* The block of a call whose status is in rax and whose block is where its first argument points. */
static __always_inline __u64 block_by_pointer(const struct pt_regs *ctx, const struct tm_call *call)
{
	__u64 block;

	if ((__u32)ctx->ax || !call->out ||
	    bpf_probe_read_user(&block, sizeof(block), (void *)call->out))
		return 0;
	return block;
}

/*
 * A result site: what the call returns is known here. A call may pass several of them: the first one
 * finishes it. Nested calls are distinguished by their distance from the return address, because
 * they share the task's record.
 */
static __always_inline void alloc_result(struct pt_regs *ctx, __u64 cookie)
{
	struct tm_call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);
	__u32 kind = TM_RESULT_KIND(TM_COOKIE_FLAGS(cookie));
	__u32 cc = TM_RESULT_CC(TM_COOKIE_FLAGS(cookie));

	if (!call || !call->sp || ctx->sp + 8 * TM_COOKIE_IDX(cookie) != call->sp)
		return;
	if (cc < TM_RESULT_ALWAYS && !flags_fulfil(ctx->flags, cc))
		return;
	if (kind == TM_RESULT_FORWARDED) {
		/* The other function's entry begins a call of its own. */
		call->forwarded_sp = call->sp;
		call->sp = 0;
	} else if (kind == TM_RESULT_NOTHING)
		alloc_finish(call, 0);
	else if (kind == TM_RESULT_BY_POINTER)
		alloc_finish(call, block_by_pointer(ctx, call));
	else
		alloc_finish(call, reg_get(ctx, TM_COOKIE_REG(cookie)));
}

/* The result site as a return probe, for a function whose exits cannot be probed. */
static __always_inline void alloc_end(struct pt_regs *ctx)
{
	struct tm_call *call = bpf_task_storage_get(&calls, bpf_get_current_task_btf(), 0, 0);

	/* Use sp - 8, because the return address has been taken off the stack. */
	if (!call || !call->sp || ctx->sp - 8 != call->sp)
		return;
	alloc_finish(call, call->out ? block_by_pointer(ctx, call) : ctx->ax);
}

static __always_inline void libc_record(struct pt_regs *ctx, __u64 cookie)
{
	if (TM_COOKIE_KIND(cookie) == TM_KIND_ALLOC_RESULT)
		alloc_result(ctx, cookie);
	else
		alloc_end(ctx);
}

#endif
