/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame around the output of an offline verb: with -j warnings and errors stand in stdout as well,
 * and an `end` record closes it, whatever happened.
 */
#ifndef TM_CLI_STATS_OUTPUT_H
#define TM_CLI_STATS_OUTPUT_H

#include <stdbool.h>

/** Before anything can go wrong. Returns: 0, -ENOMEM. */
int stats_output_begin(bool json);

/** Log that the output could not be written (E701), unless its reader has gone. Returns: err. */
int stats_output_check(int err);

/**
 * The last record, and the exit status: `status` when err is 0 or the reader has gone; that of the first
 * coded error; else 1.
 */
int stats_output_end(int err, int status);

#endif
