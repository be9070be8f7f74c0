// SPDX-License-Identifier: GPL-2.0-or-later
/* Fields of /proc/PID/status: proc_pid_status(5), Linux fs/proc/task_mmu.c task_mem(). */
#include "drain/held_memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "target/proc_fs.h"

/*
 * VmRSS is off by up to 256 KiB a thread, because the kernel counts pages in batches (SPLIT_RSS_COUNTING,
 * percpu_counter); the heap is read while it changes.
 */
#define SLACK_BYTES (4ull << 20)
#define SLACK_SHARE 50 /* and 1/50 */

/* Bytes of a line "Name:   123 kB"; 0 when it is not there. */
static uint64_t field_bytes(const char *status, const char *name)
{
	const char *at = strstr(status, name);
	unsigned long long kib = 0;

	if (!at || (at != status && at[-1] != '\n') ||
	    sscanf(at + strlen(name), " %llu kB", &kib) != 1)
		return 0;
	return kib > UINT64_MAX >> 10 ? UINT64_MAX : (uint64_t)kib << 10;
}

int held_memory_parse(const char *status, struct held_memory *out)
{
	if (!strstr(status, "\nVmRSS:"))
		return -EBADMSG;
	out->resident = field_bytes(status, "VmRSS:") + field_bytes(status, "VmSwap:") +
			field_bytes(status, "HugetlbPages:");
	out->mapped = field_bytes(status, "VmSize:");
	return 0;
}

int held_memory_read(pid_t pid, struct held_memory *out)
{
	_cleanup_(buf_release) struct buf text = {0};
	int err = proc_read(pid, "status", &text);

	return err ? err : held_memory_parse(text.data ? text.data : "", out);
}

enum held_verdict held_memory_judge(const struct held_memory *held, uint64_t small, uint64_t all)
{
	uint64_t room = held->resident + held->resident / SLACK_SHARE + SLACK_BYTES;

	if (small > room || all > held->mapped + SLACK_BYTES)
		return HELD_EXCEEDED;
	return all > room ? HELD_UNTOUCHED : HELD_FITS;
}
