/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run a call in a short-lived child process that shares our descriptors, so that SIGKILL for us does not
 * fall into it.
 *
 * Why: the kernel sets and removes a breakpoint through get_user_pages(), which gives up with EINTR when
 * the calling task has SIGKILL pending, and uprobe_unregister_nosync() then logs "failed to unregister,
 * leaking uprobe" and leaves the breakpoint in the target (seen on 6.18: up to 171 in one kill). It
 * concerns BPF_LINK_CREATE and close(); a process that dies between the two is past that point when its
 * descriptors are closed. The child ends those it finds to be the last owner of in the same, clean, way.
 */
#ifndef TM_PROBE_SHIELDED_H
#define TM_PROBE_SHIELDED_H

#include <stdbool.h>

/**
 * Call fn(arg) in the child and wait for it. Descriptors that fn opens or closes are ours; memory that it
 * writes is not. slow() is called here, once, when it takes longer than a second; may be NULL.
 * Out: *ret, what fn returned, -EINTR when the child was killed.
 * Returns: false where no child can be made (a limit, seccomp): fn was not called, *ret is not set.
 */
bool shielded_call(int (*fn)(const void *arg), const void *arg, void (*slow)(void), int *ret);

#endif
