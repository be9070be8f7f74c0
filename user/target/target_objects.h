/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mapped files of a target. For this room only; others use target.h. */
#ifndef TM_TARGET_TARGET_OBJECTS_H
#define TM_TARGET_TARGET_OBJECTS_H

#include "target/target.h"

/** Make t->objects follow t->maps. Returns: 0, -ENOMEM (nothing changed). */
int target_objects_update(struct target *t);
void target_objects_release(struct target *t);

#endif
