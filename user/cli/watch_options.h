/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of the live report. */
#ifndef TM_CLI_WATCH_OPTIONS_H
#define TM_CLI_WATCH_OPTIONS_H

#include "trace/options.h"

/** Parse; usage errors end the process with status 2, --help and --version with 0. */
void options_parse(int argc, char **argv, struct options *out);

#endif
