/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/maps -> mappings. */
#ifndef TM_TARGET_PROC_MAPS_H
#define TM_TARGET_PROC_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mapping {
	uint64_t start, end, file_off; /* process addresses; bytes */
	uint32_t dev_major, dev_minor;
	uint64_t inode; /* 0 = anonymous */
	bool read, write, exec, shared;
	bool deleted;	  /* the path carried " (deleted)", which is cut off */
	const char *path; /* "" anonymous, "[heap]", or the unescaped path; owned by the set */
};

struct proc_maps {
	struct mapping *items; /* sorted by start */
	size_t count;
	char *text; /* owns the paths */
};

/** Returns: 0, -ESRCH (process gone), -EACCES, -EBADMSG, -ENOMEM. */
int proc_maps_read(pid_t pid, struct proc_maps *out);
/**
 * Parse text (takes it, also on failure: freed by release). Every line ends in a newline, as the
 * kernel writes it. For tests and fuzzing. Returns: 0, -EBADMSG, -ENOMEM.
 */
int proc_maps_parse(char *text, size_t len, struct proc_maps *out);
void proc_maps_release(struct proc_maps *maps);

/** The mapping that holds addr, or NULL. */
const struct mapping *proc_maps_find(const struct proc_maps *maps, uint64_t addr);

/* One past the last; no arithmetic on the NULL of an empty set. */
static inline const struct mapping *proc_maps_end(const struct proc_maps *maps)
{
	return maps->count ? maps->items + maps->count : maps->items;
}

#define tm_for_each_mapping(m, maps) \
	for (const struct mapping *m = (maps)->items; m < proc_maps_end(maps); m++)

#endif
