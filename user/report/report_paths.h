/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Short paths: the last components that name one file. Private to user/report/. */
#ifndef TM_REPORT_PATHS_H
#define TM_REPORT_PATHS_H

#include "base/idmap.h"
#include "base/intern.h"

struct short_paths {
	struct idmap *suffixes; /* hash of a suffix -> id of the only path that has it */
};

void short_paths_release(struct short_paths *p);
/** Make a path known. Returns: 0, -ENOMEM (it then stays long). */
int short_paths_add(struct short_paths *p, const char *path, str_id_t id);
/** The shortest suffix of path that no other known path has; points into path. */
const char *short_paths_get(const struct short_paths *p, const char *path, str_id_t id);

#endif
