/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Assume nothing about paths, because they are untrusted bytes. */
#include "analyze/stat_module.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/idmap.h"
#include "base/text.h"

/* After "python3.12/" at s; NULL when it is something else. */
static const char *skip_version_dir(const char *s)
{
	static const char python[] = "python";

	if (strncmp(s, python, sizeof(python) - 1) != 0)
		return NULL;
	s += sizeof(python) - 1;
	while (isdigit((unsigned char)*s) || *s == '.' || *s == 't')
		s++;
	return *s == '/' ? s + 1 : NULL;
}

/* After the last directory of the import path that is known by its name; NULL: there is none. */
static const char *import_root(const char *file)
{
	static const char *const dirs[] = {"/site-packages/", "/dist-packages/"};
	const char *root = NULL;

	for (const char *slash = strchr(file, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *lib = NULL;

		for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
			if (!strncmp(slash, dirs[i], strlen(dirs[i])))
				root = slash + strlen(dirs[i]);
		}
		if (!strncmp(slash, "/lib/", 5))
			lib = skip_version_dir(slash + 5);
		else if (!strncmp(slash, "/lib64/", 7))
			lib = skip_version_dir(slash + 7);
		if (lib)
			root = lib;
	}
	/* lib-dynload holds the top-level extension modules */
	if (root && !strncmp(root, "lib-dynload/", 12))
		root += 12;
	return root;
}

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len > n && !memcmp(s + len - n, end, n);
}

static size_t without_suffix(const char *s, size_t len)
{
	static const char *const suffixes[] = {".py", ".pyc", ".pyw"};
	static const char init[] = "/__init__";

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		if (ends_with(s, len, suffixes[i])) {
			len -= strlen(suffixes[i]);
			break;
		}
	}
	return ends_with(s, len, init) ? len - (sizeof(init) - 1) : len;
}

void stat_module_name(struct buf *out, const char *file, bool native)
{
	static const char frozen[] = "<frozen ";
	size_t len = strlen(file);
	const char *root;

	if (native) {
		(void)buf_append_str(out, text_base_name(file));
		return;
	}
	if (!strncmp(file, frozen, sizeof(frozen) - 1) && file[len - 1] == '>') {
		(void)buf_append(out, file + sizeof(frozen) - 1, len - sizeof(frozen));
		return;
	}
	root = import_root(file);
	if (!root || !*root) {
		(void)buf_append(out, file, without_suffix(file, len));
		return;
	}
	len = without_suffix(root, strlen(root));
	for (size_t i = 0; i < len; i++)
		(void)buf_append(out, root[i] == '/' ? "." : &root[i], 1);
}

struct stat_modules {
	struct intern *strings;
	struct idmap *known; /* file id x 2 + native -> module id */
};

int stat_modules_new(struct intern *strings, struct stat_modules **out)
{
	struct stat_modules *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->strings = strings;
	m->known = idmap_new();
	if (!m->known) {
		free(m);
		return -ENOMEM;
	}
	*out = m;
	return 0;
}

void stat_modules_free(struct stat_modules *m)
{
	if (!m)
		return;
	idmap_free(m->known);
	free(m);
}

int stat_modules_get(struct stat_modules *m, str_id_t file, bool native, str_id_t *module)
{
	_cleanup_(buf_release) struct buf name = {0};
	uint64_t key = (uint64_t)file.v << 1 | native;
	int err;

	if (idmap_get(m->known, key, &module->v))
		return 0;
	stat_module_name(&name, intern_get(m->strings, file), native);
	if (name.oom)
		return -ENOMEM;
	err = intern_add(m->strings, name.data ? name.data : "", name.len, module);
	return err ? err : idmap_put(m->known, key, module->v);
}
