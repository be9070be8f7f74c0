/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asked now and then by work that can take long: true ends it, with -ECANCELED. */
#ifndef TM_BASE_CANCEL_H
#define TM_BASE_CANCEL_H

#include <stdbool.h>
#include <stddef.h>

struct cancel {
	bool (*asked)(void *ctx); /* cheap, without side effects; NULL: never */
	void *ctx;
};

/** c may be NULL. */
static inline bool cancel_asked(const struct cancel *c)
{
	return c && c->asked && c->asked(c->ctx);
}

#endif
