/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function a verb; argv[0] is the verb. Each returns the exit status (docs: README, Exit codes). */
#ifndef TM_CLI_CMD_H
#define TM_CLI_CMD_H

int cmd_watch(int argc, char **argv);
int cmd_sites(int argc, char **argv);

#endif
