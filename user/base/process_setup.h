/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Prepare the process before anything is opened: standard descriptors, limit of open files. */
#ifndef TM_BASE_PROCESS_SETUP_H
#define TM_BASE_PROCESS_SETUP_H

/**
 * Standard descriptors that are closed are taken by one that can neither be read nor written (stderr: that
 * forgets), or the next file would become them, and get the report. The limit of open files is raised to what
 * is allowed: probes without uprobe_multi need a descriptor for every site.
 */
void process_setup(void);

/** The limit of open files. */
unsigned long long process_open_files_max(void);

#endif
