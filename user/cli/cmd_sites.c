// SPDX-License-Identifier: GPL-2.0-or-later
/* placeholder until the printing functions of sites/ are in */
#include "cli/cmd.h"
int cmd_sites(int argc, char **argv)
{
	(void)argc; (void)argv;
	return 2;
}
