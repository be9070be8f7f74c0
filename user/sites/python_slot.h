/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where an interpreter keeps the PyThreadState of the running thread, by decoding what it exports. */
#ifndef TM_SITES_PYTHON_SLOT_H
#define TM_SITES_PYTHON_SLOT_H

#include "target/elf_image.h"
#include "target/python_target.h"

/**
 * Decode PyGILState_GetThisThreadState(): up to 3.14 it asks for a pthread key, from 3.15 on it reads a
 * variable of the thread. Independent of the offsets of _PyRuntime, which may move in a patch release.
 * Returns: 0, -ENOENT (not exported, or of a shape that we do not know), -EBADMSG, -ENOMEM.
 */
int python_slot_find(const struct elf_image *img, unsigned minor, struct py_slot *out);

#endif
