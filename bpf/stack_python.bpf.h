/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Python stack of the current thread, newest frame first, into a scratch area, with a 64-bit hash
 * folded into the walk.
 *
 * The thread state comes from the pthread slot of autoTSSkey (what PyGILState_GetThisThreadState
 * reads): right also for a thread that released the GIL, and NULL for a foreign thread.
 * Frames of Python-to-Python calls lie next to each other in the thread's data stack, callers below:
 * one read fetches the window under the newest frame, and `previous` is followed inside the copy.
 * Up to 3.10 every frame is an object of its own and takes a read of its own.
 */
#ifndef TM_STACK_PYTHON_BPF_H
#define TM_STACK_PYTHON_BPF_H

#include "stats.bpf.h"

#define TM_SKIPPED_MAX 16 /* entry frames and shims that may stand between the ones we keep */
#define TM_PAGE	       4096ull

static __always_inline __u64 hash_mix(__u64 h, __u64 v)
{
	h ^= v;
	h *= 0x9e3779b97f4a7c15ull;
	return h ^ (h >> 32);
}

/* Tells a code object from an earlier one at the same address. */
static __always_inline __u64 code_gen(__u64 code)
{
	return (__u64)code_gens[TM_CODE_GEN(code)] << 32;
}

static __always_inline struct tm_scratch *scratch_claim(void)
{
	__u32 idx = bpf_get_smp_processor_id() * 2;
	struct tm_scratch *s = bpf_map_lookup_elem(&scratch, &idx);

	if (s && !__sync_lock_test_and_set(&s->busy, 1))
		return s;
	idx++;
	s = bpf_map_lookup_elem(&scratch, &idx);
	if (s && !__sync_lock_test_and_set(&s->busy, 1))
		return s;
	tm_drop(TM_DROP_SCRATCH_BUSY);
	return NULL;
}

static __always_inline void scratch_release(struct tm_scratch *s)
{
	/* Use no locked instruction: x86-64 does not reorder a store after later stores. */
	*(volatile __u32 *)&s->busy = 0;
}

/* The newest frame of the current thread; 0: no Python here (foreign thread, or nothing running). */
static __always_inline __u64 python_top_frame(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 slot = task->thread.fsbase + cfg_tstate_off[0];
	__u64 tstate = 0, at = 0;

	if (cfg_tstate_hops > 0) {
		if (bpf_probe_read_user(&at, sizeof(at), (void *)slot))
			goto unreadable;
		/* A thread that never touched the second level of keys, or the module's variables. */
		if (!at || at == ~0ull)
			return 0;
		slot = at + cfg_tstate_off[1];
	}
	if (cfg_tstate_hops > 1) {
		if (bpf_probe_read_user(&at, sizeof(at), (void *)slot))
			goto unreadable;
		if (!at || at == ~0ull)
			return 0;
		slot = at + cfg_tstate_off[2];
	}
	if (bpf_probe_read_user(&tstate, sizeof(tstate), (void *)slot))
		goto unreadable;
	if (!tstate)
		return 0;
	if (bpf_probe_read_user(&at, sizeof(at), (void *)(tstate + cfg_tstate_frame)))
		goto unreadable;
	if (!cfg_has_cframe || !at)
		return at;
	if (bpf_probe_read_user(&at, sizeof(at), (void *)(at + cfg_cframe_frame)))
		goto unreadable;
	return at;
unreadable:
	tm_drop(TM_DROP_TSTATE_READ);
	return 0;
}

/*
 * Make the window cover `frame`. It never starts below the page the frame is in, so it cannot fault
 * on an unmapped neighbour.
 */
static __always_inline bool window_load(struct tm_scratch *s, __u64 frame)
{
	__u64 back = cfg_frame_objects ? 0 : frame & (TM_PAGE - 1);
	__u32 len;

	if (back > TM_WINDOW_BYTES)
		back = TM_WINDOW_BYTES;
	len = back + cfg_frame_bytes;
	/*
	 * State the bound again, because the verifier does not carry it through the spill of the
	 * sum.
	 */
	if (len > TM_WINDOW_BYTES + 256)
		return false;
	if (bpf_probe_read_user(s->window, len, (void *)(frame - back)))
		return false;
	s->win_lo = frame - back;
	s->win_hi = frame + cfg_frame_bytes;
	return true;
}

/*
 * Walk. Count and hash live in the scratch area, not in registers: there the verifier sees an unknown
 * scalar; in registers a conditional skip multiplies its states past one million.
 * One frame more than asked for, because the newest may be incomplete and is then skipped later.
 */
static __always_inline void python_walk(struct tm_scratch *s)
{
	__u64 frame = python_top_frame();
	__u64 lo = 0, hi = 0;
	int i;

	/*
	 * cfg_frames is a constant to the verifier, so that it simulates no more rounds than are
	 * configured.
	 */
	for (i = 0; i < (int)cfg_frames + 1 + TM_SKIPPED_MAX; i++) {
		__u64 code, instr, off;
		__u32 n = s->frame_count;
		__u8 owner;

		if (!frame)
			return;
		if (n >= cfg_frames + 1 || n >= TM_FRAMES_WALK) {
			s->rec.truncated = 1;
			return;
		}
		if (frame < lo || frame + cfg_frame_bytes > hi) {
			if (!window_load(s, frame)) {
				tm_drop(TM_DROP_FRAME_READ);
				return;
			}
			lo = s->win_lo;
			hi = s->win_hi;
		}
		off = frame - lo;
		/* Without the barrier clang proves the mask away, and the verifier then refuses the offset. */
		asm volatile("" : "+r"(off));
		off &= TM_WINDOW_ROOM - 1;
		code = *(__u64 *)(s->window + off + cfg_frame_code);
		owner = 0;
		if (cfg_frame_objects) {
			instr = (__u64)(__s64) * (__s32 *)(s->window + off + cfg_frame_instr);
		} else {
			instr = *(__u64 *)(s->window + off + cfg_frame_instr);
			owner = *(__u8 *)(s->window + off + cfg_frame_owner);
		}
		frame = *(__u64 *)(s->window + off + cfg_frame_previous);
		if (owner >= cfg_owner_not_python)
			continue;
		code = (code & ~cfg_frame_code_mask & TM_FRAME_CODE_MASK) |
		       (__u64)owner << TM_FRAME_OWNER_SHIFT;
		if (cfg_frame_tlbc) {
			__u64 copy = *(__u32 *)(s->window + off + cfg_frame_tlbc);

			code |= (copy < TM_FRAME_TLBC_MAX ? copy : TM_FRAME_TLBC_MAX)
				<< TM_FRAME_TLBC_SHIFT;
		}
		asm volatile("" : "+r"(n));
		if (n >= TM_FRAMES_WALK)
			return;
		s->rec.frames[n].code = code;
		s->rec.frames[n].instr = instr;
		s->frame_count = n + 1;
		s->hash = hash_mix(hash_mix(s->hash, code), instr ^ code_gen(code));
	}
	s->rec.truncated = 1;
}

#endif
