/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One function a verb; argv[0] is the verb. Each returns the exit status (docs: README, Exit codes). */
#ifndef TM_CLI_CMD_H
#define TM_CLI_CMD_H

int cmd_watch(int argc, char **argv);
int cmd_sites(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_snap(int argc, char **argv);
int cmd_ls(int argc, char **argv);
int cmd_leaks(int argc, char **argv);
int cmd_report(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_explain(int argc, char **argv);

/** All verbs, for messages: "watch, sites, ...". */
const char *cmd_verbs(void);

#endif
