/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The codes of errors and warnings: the only list. scripts/check-codes.py holds it against the code (every
 * code that is logged has a row, every row is logged) and against docs/codes.md, which is generated from it.
 */
#ifndef TM_BASE_CODES_H
#define TM_BASE_CODES_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/tmbpf.h"

struct code_row {
	const char *code;    /* "E301"; E: error, W: warning */
	const char *meaning; /* one line, no full stop */
	const char *cause;   /* sentences */
	const char *fix; /* sentences; for warnings also what the numbers are worth until then */
};

struct loss_row {
	const char *key;    /* as reports print it and as -j names it */
	const char *text;   /* what happened; what became of the block */
	const char *remedy; /* sentences */
};

/** The rows in the order of their codes. Static. */
const struct code_row *codes_all(size_t *count);
/** Returns: the row of "E301", upper or lower case; NULL when there is none. */
const struct code_row *codes_find(const char *code);
const struct loss_row *losses_get(enum tm_drop reason);
/** Returns: the row of "ring_full"; NULL when there is none. */
const struct loss_row *losses_find(const char *key);
/** Exit status of an error code: its class, 2 to 7; 1 for any other; 0 for a warning, which changes none. */
int codes_exit_status(const char *code);
/** How many edits apart two names are, ignoring case: to name what was probably meant. */
size_t codes_distance(const char *a, const char *b);

#endif
