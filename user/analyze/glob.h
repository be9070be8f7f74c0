/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File name patterns as Python's fnmatch reads them: `*` any characters (also `/`), `?` one character,
 * `[seq]` one of them, `[!seq]` one that is not. Characters are code points of UTF-8; there is no escape
 * character, and no case folding.
 *
 * Source: Lib/fnmatch.py:translate of CPython 3.11 to 3.15. Up to 3.10 a range that runs backwards was a
 * regular expression error; since then it is empty, and so it is here.
 */
#ifndef TM_ANALYZE_GLOB_H
#define TM_ANALYZE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

struct glob;

/** Returns: 0, -ENOMEM; every pattern is valid. pattern is NUL-terminated after len bytes, not kept. */
int glob_new(const char *pattern, size_t len, struct glob **out);
void glob_free(struct glob *g);
DEFINE_CLEANUP(struct glob *, glob_free);

/**
 * Does the whole text match? text is NUL-terminated after len bytes. Time is at most the product of the
 * two lengths.
 */
bool glob_match(const struct glob *g, const char *text, size_t len);

#endif
