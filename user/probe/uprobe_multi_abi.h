/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's interface for uprobe_multi links, for headers older than 6.6.
 * Source: Linux 6.6 include/uapi/linux/bpf.h, union bpf_attr.link_create and enum bpf_attach_type.
 */
#ifndef TM_PROBE_UPROBE_MULTI_ABI_H
#define TM_PROBE_UPROBE_MULTI_ABI_H

#include <stddef.h>
#include <stdint.h>

#define TM_BPF_TRACE_UPROBE_MULTI    48 /* enum bpf_attach_type */
#define TM_BPF_F_UPROBE_MULTI_RETURN 1	/* 1U << 0 */

struct uprobe_multi_link_attr {
	uint32_t prog_fd, target_fd, attach_type, link_flags;
	/* link_create.uprobe_multi */
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, flags, pid;
	uint32_t _pad0;
};
_Static_assert(offsetof(struct uprobe_multi_link_attr, path) == 16, "union starts after the flags");
_Static_assert(offsetof(struct uprobe_multi_link_attr, cnt) == 48, "four pointers, then cnt");

#endif
