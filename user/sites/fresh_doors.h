/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that control can reach otherwise than by a direct jump or by falling through. */
#ifndef TM_SITES_FRESH_DOORS_H
#define TM_SITES_FRESH_DOORS_H

#include "sites/decode.h"

/**
 * Bit per instruction: targets of calls, functions by symbol, endbr64, and everything whose address is
 * stored in data, taken by an instruction or named by a jump table. Rather too many than too few.
 * Returns: the bits for free(), NULL without memory.
 */
uint8_t *fresh_doors(const struct elf_image *img, const struct code *code);

#endif
