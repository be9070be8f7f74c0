/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The generated face of bpf/, whose code does not pass our warnings. */
#ifndef TM_ALLOC_SKELETON_H
#define TM_ALLOC_SKELETON_H

#include "bpf/tmbpf.h" /* types of the variables in the skeleton */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "tmbpf.skel.h"
#pragma GCC diagnostic pop

#endif
