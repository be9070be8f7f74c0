/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scope-bound ownership: an owning local carries _cleanup_(x_freep) and is initialised where it is
 * declared; it leaves the function only through take_ptr() or take_fd().
 */
#ifndef TM_BASE_CLEANUP_H
#define TM_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Makes x_freep(T **), the helper that _cleanup_(x_freep) needs, from void x_free(T *). */
#define DEFINE_CLEANUP(type, fn)          \
	static inline void fn##p(type *p) \
	{                                 \
		if (*p)                   \
			fn(*p);           \
		*p = NULL;                \
	}                                 \
	struct tm_eat_semicolon_

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_	 _cleanup_(cleanup_freep)
#define _cleanup_close_	 _cleanup_(cleanup_closep)
#define _cleanup_fclose_ _cleanup_(cleanup_fclosep)

/* Hands the pointer over and forgets it. */
#define take_ptr(p)                            \
	({                                     \
		__typeof__(p) tm_taken_ = (p); \
		(p) = NULL;                    \
		tm_taken_;                     \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
