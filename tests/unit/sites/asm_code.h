/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machine code for tests: assembled into .rodata, never run. */
#ifndef TEST_ASM_CODE_H
#define TEST_ASM_CODE_H

#include <stdint.h>
#include <string.h>

/* ASM_CODE(name, "insn\n" ...) defines the bytes name[] .. name_end[]. */
#define ASM_CODE(name, text)                                                                  \
	__asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection\n"); \
	extern const uint8_t name[] __attribute__((visibility("hidden")));                    \
	extern const uint8_t name##_end[] __attribute__((visibility("hidden")))

#define ASM_LEN(name) ((size_t)(name##_end - name))

/* One inlined pop as gcc writes it; P, N, B are the registers of pool, next pool and block. */
#define POP_BODY(P, N, B)          \
	"mov 0x8(%" P "),%" B "\n" \
	"addl $1,(%" P ")\n"       \
	"mov (%" B "),%" N "\n"    \
	"mov %" N ",0x8(%" P ")\n" \
	"test %" N ",%" N "\n"

#define POP_GUARD(P, N)             \
	"mov 0x10(%" P "),%" N "\n" \
	"cmp %" N ",%" P "\n"

#endif
