/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Python module of a source file. A snapshot knows files only, so this is a reading of the path: what
 * follows site-packages/, dist-packages/ or lib/pythonX.Y/ is a module's dotted name. A file elsewhere
 * keeps its path without the suffix, because where the import path began is unknown.
 */
#ifndef TM_ANALYZE_STAT_MODULE_H
#define TM_ANALYZE_STAT_MODULE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/intern.h"

/**
 * Append the module of a file: "json.decoder", "importlib._bootstrap" of <frozen importlib._bootstrap>,
 * "/srv/shop/cache" of /srv/shop/cache.py; of native code the library, "libxml2.so.2".
 */
void stat_module_name(struct buf *out, const char *file, bool native);

/* Module of each file, cached by file. */
struct stat_modules;

/** Returns: 0, -ENOMEM. strings is borrowed. */
int stat_modules_new(struct intern *strings, struct stat_modules **out);
void stat_modules_free(struct stat_modules *m);
/** Returns: 0, -ENOMEM. */
int stat_modules_get(struct stat_modules *m, str_id_t file, bool native, str_id_t *module);

#endif
