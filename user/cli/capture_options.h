/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that all tracing verbs share, as a child of their own argp tables. */
#ifndef TM_CLI_CAPTURE_OPTIONS_H
#define TM_CLI_CAPTURE_OPTIONS_H

#include <argp.h>

#include "trace/options.h"

/** -p --frames --threads --domains --mode --overhead --blocks --no-cache --links --stop-after; the input is
 * a struct options: the parent sets state->child_inputs[] at ARGP_KEY_INIT. */
extern const struct argp capture_options_argp;

/** A usage error: "OPT ARG: expected WANT"; ends the process. Returns: EINVAL, for form's sake. */
int options_bad(struct argp_state *state, const char *opt, const char *arg, const char *want);
/** A number within bounds, or a usage error. */
uint64_t options_number(struct argp_state *state, const char *opt, const char *arg, uint64_t min,
			uint64_t max, const char *want);
/** A duration of 10 ms to 3650 days in seconds, or a usage error. */
double options_duration(struct argp_state *state, const char *opt, const char *arg);

#endif
