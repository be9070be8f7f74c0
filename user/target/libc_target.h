/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The C allocator in force: the first object in link order that defines malloc and free. */
#ifndef TM_TARGET_LIBC_TARGET_H
#define TM_TARGET_LIBC_TARGET_H

#include "target/target.h"

enum libc_kind { LIBC_GLIBC = 0, LIBC_MUSL = 1, LIBC_OTHER = 2 /* jemalloc, tcmalloc, ... */ };

struct libc_target {
	struct target_object *object; /* borrowed */
	enum libc_kind kind;
	char version[32]; /* "2.36", "" unknown */
};

/** Returns: 0, -ENOENT (static binary without exported malloc), -errno. */
int libc_target_find(struct target *t, struct libc_target *out);

/* Does the target run on glibc, with any malloc? Needed for the layout of thread data. */
bool libc_is_glibc(struct target *t);

#endif
