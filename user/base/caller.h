/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The person behind sudo. What we write as root for them shall be theirs. */
#ifndef TM_BASE_CALLER_H
#define TM_BASE_CALLER_H

/**
 * Make SUDO_UID:SUDO_GID the owner of an open file, when these are set and we are root.
 * Returns: 0, also when there is nothing to do; what fchown(2) gives.
 */
int caller_give(int fd);

#endif
