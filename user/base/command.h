/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command as it was typed, for fixes that can be pasted: "sudo tmbpf record -p 4711 -o run.tmb" with one
 * option changed. Words are quoted for a shell where that is needed. The texts are valid until the next call.
 */
#ifndef TM_BASE_COMMAND_H
#define TM_BASE_COMMAND_H

#include <stddef.h>

/** Remember the command. argv and its strings are borrowed; argv[] itself may be permuted later. */
void command_remember(int argc, char **argv);

/**
 * The command with an option of this value: replaced where it is given (--mode X, --mode=X, -p X, -pX), else
 * added at the end. value NULL: an option without a value. `sudo` is put before it when the command runs
 * under sudo.
 */
const char *command_with(const char *option, const char *value);

struct command_edit {
	const char *option, *value; /* as above */
};
/** The command with several options changed. */
const char *command_edited(const struct command_edit *edits, size_t count);

/**
 * The command as one that traces, with an option of those: `sites`, which has none of them, becomes the
 * live report.
 */
const char *command_to_trace(const char *option, const char *value);

/** The command under sudo: with the path of this program, because sudo has a search path of its own. */
const char *command_as_root(void);

/** Another verb of this program, formatted: command_other("sites -p %d", pid). Under sudo as above. */
const char *command_other(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
