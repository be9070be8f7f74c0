/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The user who called sudo: owns the files that are created as root, and reads with no more rights than its own. */
#ifndef TM_BASE_CALLER_H
#define TM_BASE_CALLER_H

/**
 * Make SUDO_UID:SUDO_GID the owner of an open file, when these are set and we are root.
 * Returns: 0, also when there is nothing to do; what fchown(2) gives.
 */
int caller_give(int fd);

/**
 * Open a regular file for reading with the rights of SUDO_UID and its groups, when these are set and we are
 * root; else with our own. The name may come from an untrusted process: nothing that is not a regular file is
 * opened, not even for a moment. Returns: a descriptor; -EINVAL (no regular file), what open(2) gives.
 */
int caller_open_regular(const char *path);

#endif
