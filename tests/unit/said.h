/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the product says on stderr, caught. */
#ifndef TM_TESTS_SAID_H
#define TM_TESTS_SAID_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct said {
	FILE *real, *f;
	char *text;
	size_t len;
};

static inline void said_begin(struct said *s)
{
	s->text = NULL;
	s->f = open_memstream(&s->text, &s->len);
	s->real = stderr;
	stderr = s->f;
}

/* Returns: the text, valid until said_release(). */
static inline const char *said_end(struct said *s)
{
	stderr = s->real;
	fclose(s->f);
	return s->text;
}

static inline void said_release(struct said *s)
{
	free(s->text);
	s->text = NULL;
}

#endif
