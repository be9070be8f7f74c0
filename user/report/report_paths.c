/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which suffix of a path is enough to name it. Known paths are kept for the whole session, so that
 * a name gets longer when a second file of that name turns up, but does not flip with the ranking.
 */
#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "report/report_paths.h"

#define MAX_COMPONENTS 12 /* deeper paths that still collide are shown whole */
#define AMBIGUOUS      UINT32_MAX

void short_paths_release(struct short_paths *p)
{
	idmap_free(p->suffixes);
	p->suffixes = NULL;
}

static uint64_t hash_text(const char *s)
{
	return hash_bytes(HASH_BYTES_START, s, strlen(s));
}

/* The suffix that is one component longer than `suffix`; NULL when it is the whole path already. */
static const char *longer_suffix(const char *path, const char *suffix)
{
	const char *s = suffix;

	if (s == path)
		return NULL;
	if (*s)
		s--; /* the slash in front of it */
	while (s > path && s[-1] != '/')
		s--;
	return s;
}

/* <frozen importlib._bootstrap>, <string>, a bare name: nothing to shorten. */
static bool is_short(const char *path)
{
	return path[0] == '<' || !strchr(path, '/');
}

int short_paths_add(struct short_paths *p, const char *path, str_id_t id)
{
	const char *suffix = path + strlen(path);

	if (is_short(path))
		return 0;
	if (!p->suffixes)
		p->suffixes = idmap_new();
	if (!p->suffixes)
		return -ENOMEM;
	for (int i = 0; i < MAX_COMPONENTS; i++) {
		uint64_t hash;
		uint32_t owner;

		suffix = longer_suffix(path, suffix);
		if (!suffix)
			break;
		hash = hash_text(suffix);
		if (!idmap_get(p->suffixes, hash, &owner))
			owner = id.v;
		if (idmap_put(p->suffixes, hash, owner == id.v ? id.v : AMBIGUOUS))
			return -ENOMEM;
	}
	return 0;
}

const char *short_paths_get(const struct short_paths *p, const char *path, str_id_t id)
{
	const char *suffix = path + strlen(path);

	if (is_short(path) || !p->suffixes)
		return path;
	for (int i = 0; i < MAX_COMPONENTS; i++) {
		uint32_t owner;

		suffix = longer_suffix(path, suffix);
		if (!suffix)
			break;
		/* __init__.py means nothing without its package */
		if (i == 0 && !strncmp(suffix, "__", 2))
			continue;
		if (idmap_get(p->suffixes, hash_text(suffix), &owner) && owner == id.v)
			return suffix;
	}
	return path;
}
