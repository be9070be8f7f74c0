/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Knobs. `const volatile` ones are set before load: the verifier then knows their values, folds them
 * and drops dead branches, so one object serves all interpreter versions. The others are read at
 * each hit because user space moves them while the probes are live.
 */
#ifndef TM_CONFIG_BPF_H
#define TM_CONFIG_BPF_H

#include "tmbpf.h"

/* Which process. In a nested pid namespace the number counts only together with dev and inode of it. */
const volatile __u32 cfg_tgid = 0;
const volatile __u64 cfg_pidns_dev = 0,
		     cfg_pidns_ino = 0; /* 0: cfg_tgid is the kernel's own number */

/* Stacks of different threads are different stacks. */
const volatile __u8 cfg_threads = 0;

/* Which allocators were found: bit of enum tm_allocator. The parts of the others fold away. */
const volatile __u32 cfg_allocators = 0;

/* Python frames; offsets from target/py_offsets.h. cfg_python = 0 folds the whole walk away. */
const volatile __u8 cfg_python = 0;
const volatile __u32 cfg_frames = 25; /* --frames */
/* target/python_target.h: struct py_tstate_path */
const volatile __u32 cfg_tstate_hops = 0;
const volatile __s64 cfg_tstate_off[3] = {};
const volatile __u8 cfg_frame_objects = 0; /* up to 3.10: frames are objects of their own */
const volatile __u8 cfg_has_cframe = 0;	   /* 3.11, 3.12 */
const volatile __u32 cfg_tstate_frame = 0; /* cframe or current_frame in PyThreadState */
const volatile __u32 cfg_cframe_frame = 0; /* current_frame in _PyCFrame */
const volatile __u32 cfg_frame_code = 0;
const volatile __u32 cfg_frame_previous = 8;
const volatile __u32 cfg_frame_instr = 56;
const volatile __u32 cfg_frame_owner = 70;
const volatile __u32 cfg_frame_tlbc = 0; /* free-threaded 3.14 on; 0 = none */
const volatile __u32 cfg_frame_bytes = 80;
const volatile __u64 cfg_frame_code_mask = 0;  /* low bits to clear */
const volatile __u32 cfg_owner_not_python = 3; /* owner >= this: skip */

/* Code objects, for the ones that die. */
const volatile __u32 cfg_code_bytes = 208;
const volatile __u32 cfg_code_filename = 112, cfg_code_qualname = 128, cfg_code_linetable = 136;
const volatile __u32 cfg_str_length = 16, cfg_str_state = 32;
const volatile __u32 cfg_str_kind_shift = 2; /* in state: kind:3 compact:1 ascii:1 */
const volatile __u32 cfg_str_ascii_data = 40, cfg_str_compact_data = 56;
const volatile __u32 cfg_bytes_size = 16, cfg_bytes_data = 32;

/* pymalloc */
const volatile __u64 cfg_pool_bytes = 16384;
const volatile __u32 cfg_pool_align_shift = 4;

/* The interpreter's text: an allocator call from there belongs to the python domain. */
const volatile __u64 cfg_interp_lo = 0, cfg_interp_hi = 0;

/*
 * Calls of glibc's _int_malloc: the return address, and how far above its stack slot the caller
 * of malloc or calloc stands (sites/sites.h: slow_calls). 0 ends the list.
 */
const volatile __u64 cfg_slow_ret[TM_SLOW_CALLS] = {};
const volatile __u32 cfg_slow_up[TM_SLOW_CALLS] = {};

/* Buckets of the stack table's first level, less one, since ids are counted from it. */
const volatile __u32 cfg_stack_mask = 0;

/* ---- changed while running; one writer (user space) unless noted ---- */

__u32 run_stop = TM_STOP_HIT; /* enum tm_stop */
__u32 run_pools_mode = 0;     /* book a whole pool to the stack that opened it */
__u32 run_epoch = 1;	      /* learning epoch, 1..15 */
__u64 run_min_bytes = 0;      /* malloc blocks below this are not recorded */
__u32 run_chunks_avail = 0;   /* slot chunks that have a segment */

/* Tables that grow: user space writes all but `used`. */
struct tm_levels dir_tab __attribute__((aligned(64))) = {};
struct tm_levels live_tab __attribute__((aligned(64))) = {};
struct tm_levels stack_tab __attribute__((aligned(64))) = {};

/* Written here, read by user space. */
struct tm_proc_state proc_state = {}; /* by proc_events.bpf.h */
__u32 memory_shared = 0;   /* processes started in the target's memory; share_watch.bpf.h */
__u64 children_forked = 0; /* that copied our breakpoints */
__u64 children_ns =
	0; /* CPU time of children that ended or ran another program before they were settled */
__u32 chunks_used = 0;
__u32 deaths_lost = 0;		    /* records of code deaths */
__u32 code_gens[TM_CODE_GENS] = {}; /* deaths of code objects, by their address */
__u64 live_spilled = 0;		    /* entries of live_spill */

#endif
