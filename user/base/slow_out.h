/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Output to a reader that may be slow or not read at all (a pipe, a stopped terminal): waits for room, and
 * the wait can be cancelled, which would not work with write(2) on a blocking pipe.
 */
#ifndef TM_BASE_SLOW_OUT_H
#define TM_BASE_SLOW_OUT_H

#include <stddef.h>

#include "base/cancel.h"

/**
 * A descriptor for slow_out_write(). A pipe or terminal is opened again, without blocking: O_NONBLOCK on fd
 * itself would be shared with every other process that has it. Anything else, and what cannot be opened
 * again, is fd itself. Returns: a descriptor, closed with slow_out_close().
 */
int slow_out_open(int fd);
void slow_out_close(int slow, int fd);

/** Write all. Returns: 0; -ECANCELED (part may be written); what write(2) gives. */
int slow_out_write(int slow, const void *data, size_t len, const struct cancel *cancel);

#endif
