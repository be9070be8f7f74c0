// SPDX-License-Identifier: GPL-2.0-or-later
/* Verb -> command. Without a verb: the live report. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/command.h"
#include "base/process_setup.h"
#include "base/text.h"
#include "cli/cmd.h"

const char *argp_program_version = "tmbpf " TMBPF_VERSION;

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{"watch", cmd_watch},	  {"sites", cmd_sites}, {"record", cmd_record},
	{"snap", cmd_snap},	  {"ls", cmd_ls},	{"report", cmd_report},
	{"diff", cmd_diff},	  {"leaks", cmd_leaks}, {"export", cmd_export},
	{"explain", cmd_explain},
};

const char *cmd_verbs(void)
{
	static char text[256];

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? ", " : "",
			 verbs[i].name);
	return text;
}

int main(int argc, char **argv)
{
	command_remember(argc, argv);
	process_setup();
	text_clean_stderr();
	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	return cmd_watch(argc, argv);
}
