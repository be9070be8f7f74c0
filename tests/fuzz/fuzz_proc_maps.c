/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any text as /proc/PID/maps: what is accepted must be sorted, findable, with terminated paths. */
#include <stdlib.h>
#include <string.h>

#include "target/proc_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = malloc(len ? len : 1);
	struct proc_maps maps = {0};

	if (!text)
		return 0;
	if (len)
		memcpy(text, data, len);
	if (proc_maps_parse(text, len, &maps))
		return 0;
	const struct mapping *last = NULL;

	tm_for_each_mapping(m, &maps) {
		if (m->start >= m->end || (last && last->start > m->start))
			__builtin_trap();
		if (strlen(m->path) > len)
			__builtin_trap();
		const struct mapping *found = proc_maps_find(&maps, m->start);

		if (found && (m->start < found->start || m->start >= found->end))
			__builtin_trap();
		last = m;
	}
	proc_maps_find(&maps, UINT64_MAX);
	proc_maps_release(&maps);
	return 0;
}
