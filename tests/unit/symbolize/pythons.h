/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The CPythons of this machine that the symbolizer must agree with, and pipes from them. */
#ifndef TM_TESTS_SYMBOLIZE_PYTHONS_H
#define TM_TESTS_SYMBOLIZE_PYTHONS_H

#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PYTHONS_MAX 16

struct pythons {
	glob_t found;
	const char *path[PYTHONS_MAX];
	unsigned minor[PYTHONS_MAX];
	size_t count;
};

static inline void pythons_find(struct pythons *p)
{
	*p = (struct pythons){0};
	glob("/usr/bin/python3.1[1-9]", 0, NULL, &p->found);
	glob("~/.pyenv/versions/3.1[1-9].*/bin/python3.1[1-9]", GLOB_APPEND | GLOB_TILDE, NULL,
	     &p->found);
	for (size_t i = 0; i < p->found.gl_pathc && p->count < PYTHONS_MAX; i++) {
		const char *path = p->found.gl_pathv[i];
		const char *name = strrchr(path, '/') + 1;

		if (access(path, X_OK) || sscanf(name, "python3.%u", &p->minor[p->count]) != 1)
			continue;
		p->path[p->count++] = path;
	}
}

static inline void pythons_release(struct pythons *p)
{
	globfree(&p->found);
}

/* A file beside the test's source; tests run in the top directory, as __FILE__ assumes. */
static inline const char *beside(char *out, size_t cap, const char *test_source, const char *name)
{
	const char *slash = strrchr(test_source, '/');
	int dir_len = slash ? (int)(slash - test_source) : 1;

	snprintf(out, cap, "%.*s/%s", dir_len, slash ? test_source : ".", name);
	return out;
}

#endif
