/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPythons of this machine: the system's, pyenv's, and those that scripts/interpreters fetched or built.
 * What is missing is not tested; nothing is fetched here.
 */
#ifndef TM_TESTS_PYTHONS_H
#define TM_TESTS_PYTHONS_H

#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PYTHONS_MAX  32
#define PYTHONS_PATH 512

struct python {
	char name[64];		    /* of its folder: "3.6.15", "debian-3.14", "usr" */
	char root[PYTHONS_PATH];    /* to be started in with chroot(); "" = none */
	char program[PYTHONS_PATH]; /* inside the root */
	char file[2 *
		  PYTHONS_PATH]; /* with the interpreter, from outside: libpython or the program */
	unsigned major, minor;
	bool in_program; /* file is the program */
	bool debian;	 /* stripped, with link-time optimization */
	bool free_threaded;
};

/* "python3.11", "python3.13t"; false for "python3.11-config" and the like. */
static inline bool python_parse_name(const char *base, struct python *p)
{
	int used = 0;

	if (sscanf(base, "python%u.%u%n", &p->major, &p->minor, &used) != 2)
		return false;
	p->free_threaded = base[used] == 't';
	return !base[used + p->free_threaded];
}

/* A shared library beside the program is the interpreter. */
static inline void python_find_file(struct python *p, const char *folder)
{
	char pattern[2 * PYTHONS_PATH];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/lib/libpython%u.%u*.so.1.0", folder, p->major,
		 p->minor);
	p->in_program = glob(pattern, 0, NULL, &found) != 0;
	if (p->in_program)
		snprintf(p->file, sizeof(p->file), "%s%s", p->root, p->program);
	else
		snprintf(p->file, sizeof(p->file), "%s", found.gl_pathv[0]);
	globfree(&found);
}

/* Programs of one folder, added behind the first n. Returns: the new n. */
static inline size_t pythons_of_folder(const char *folder, const char *programs, bool is_root,
				       struct python *out, size_t n)
{
	char pattern[2 * PYTHONS_PATH];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s%s", folder, programs);
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && n < PYTHONS_MAX; i++) {
			const char *path = found.gl_pathv[i];
			struct python p = {.debian = is_root || strcmp(folder, "/usr") == 0};

			if (access(path, X_OK) || !python_parse_name(strrchr(path, '/') + 1, &p))
				continue;
			snprintf(p.name, sizeof(p.name), "%s", strrchr(folder, '/') + 1);
			/* Free-threaded builds have a second name without the "t". */
			if (!p.free_threaded && strncmp(p.name, "nogil", 5) == 0)
				continue;
			snprintf(p.root, sizeof(p.root), "%s", is_root ? folder : "");
			snprintf(p.program, sizeof(p.program), "%s", path + strlen(p.root));
			python_find_file(&p, folder);
			out[n++] = p;
		}
	}
	globfree(&found);
	return n;
}

/* Folders that match; complete: only those that scripts/interpreters has finished. */
static inline size_t pythons_of_folders(const char *folders, const char *programs, bool complete,
					bool are_roots, struct python *out, size_t n)
{
	glob_t found;

	if (glob(folders, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			char mark[2 * PYTHONS_PATH];

			snprintf(mark, sizeof(mark), "%s/.complete", found.gl_pathv[i]);
			if (!complete || access(mark, F_OK) == 0)
				n = pythons_of_folder(found.gl_pathv[i], programs, are_roots, out,
						      n);
		}
	}
	globfree(&found);
	return n;
}

/* out has room for PYTHONS_MAX; 2.7 is among them when there is one. */
static inline size_t pythons_find(struct python *out)
{
	const char *home = getenv("HOME"), *pyenv = getenv("PYENV_ROOT");
	const char *cache = getenv("TMBPF_INTERPRETERS"), *xdg = getenv("XDG_CACHE_HOME");
	char base[PYTHONS_PATH], folders[2 * PYTHONS_PATH];
	size_t n = pythons_of_folders("/usr", "/bin/python3.*", false, false, out, 0);

	snprintf(base, sizeof(base), "%s%s",
		 pyenv	? pyenv
		 : home ? home
			: "/root",
		 pyenv ? "" : "/.pyenv");
	snprintf(folders, sizeof(folders), "%s/versions/*", base);
	n = pythons_of_folders(folders, "/bin/python[23].*", false, false, out, n);
	snprintf(base, sizeof(base), "%s%s",
		 cache	? cache
		 : xdg	? xdg
		 : home ? home
			: "/root",
		 cache ? ""
		 : xdg ? "/tmbpf/interpreters"
		       : "/.cache/tmbpf/interpreters");
	snprintf(folders, sizeof(folders), "%s/roots/*", base);
	n = pythons_of_folders(folders, "/usr/bin/python3.*", true, true, out, n);
	snprintf(folders, sizeof(folders), "%s/built/*", base);
	return pythons_of_folders(folders, "/bin/python3.*", true, false, out, n);
}

#endif
