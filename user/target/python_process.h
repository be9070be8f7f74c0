/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which processes run Python, from afar: by names, then by what the program exports. For lists and hints;
 * python_target.h decides what is really there.
 */
#ifndef TM_TARGET_PYTHON_PROCESS_H
#define TM_TARGET_PYTHON_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "target/elf_image.h"

enum python_kind { PYTHON_NONE = 0, PYTHON_CPYTHON = 1, PYTHON_PYPY = 2 };

#define PYTHON_NAME_VERSION 8 /* "3.11", "" when the name has none */

/*
 * Version in a path or name: "python3.11", "/usr/lib/libpython3.12.so.1.0", "pypy3"; not "pythonista".
 */
enum python_kind python_name(const char *path, char version[PYTHON_NAME_VERSION]);

/** Has this program CPython in it, though nothing of it is exported? By a text of the interpreter. */
bool python_texts_in(const struct elf_image *img);

/**
 * Program of a process: by its command, its executable and its libraries, last by the symbols
 * and texts of an executable that has CPython linked in. version: by name, else "".
 * Returns: enum python_kind, or -EACCES when its files cannot be seen and its command is
 * inconclusive.
 */
int python_process_kind(pid_t pid, char version[PYTHON_NAME_VERSION]);

#endif
