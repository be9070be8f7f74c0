/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process we look at from outside: who it is (start time, so a re-used pid is noticed), what is
 * mapped, how to read its memory and open its files. Nothing here writes to it or stops it.
 */
#ifndef TM_TARGET_TARGET_H
#define TM_TARGET_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "target/elf_image.h"
#include "target/proc_maps.h"

struct target_object { /* one mapped ELF file */
	const struct mapping *first; /* its lowest mapping; valid until target_refresh_maps() */
	char *path;                  /* as the target sees it; owned */
	char *open_path;             /* what we open: map_files or root path, dev:inode checked; owned */
	struct elf_image *image;     /* owned */
	uint64_t bias;               /* process address = vaddr + bias; 0 for ET_EXEC */
};

struct target {
	pid_t pid;                 /* in our pid namespace */
	pid_t ns_pid;              /* innermost number, from NSpid: (what the target sees) */
	uint64_t start_time_ticks; /* /proc/PID/stat field 22 */
	char comm[16];
	char *exe;                 /* readlink /proc/PID/exe, " (deleted)" cut; owned */
	bool exe_deleted;
	bool other_pid_ns, other_mnt_ns, chrooted;
	struct proc_maps maps;
	struct target_object **objects; /* each distinct mapped executable ELF file; owned */
	size_t object_count;
};

/**
 * Open and identify. Logs a coded error itself (E301 no such pid, E305 zombie, E401 privileges).
 * Returns: 0, -ESRCH, -EACCES/-EPERM, -ENOMEM.
 */
int target_open(pid_t pid, struct target **out);
void target_free(struct target *t);
DEFINE_CLEANUP(struct target *, target_free);

/** Same process as when opened? False after exit, zombie, or a re-used pid. */
bool target_is_alive(const struct target *t);
/** Still the same program? False after exec (exe's dev:inode or the first mapping changed). */
bool target_same_image(const struct target *t);

/** Read maps again (dlopen since). Objects that vanished stay until target_free(). */
int target_refresh_maps(struct target *t);

/** Read exactly len bytes of its memory (process_vm_readv). Returns: 0, -EFAULT (part unreadable), -ESRCH, -EPERM. */
int target_read(const struct target *t, uint64_t addr, void *out, size_t len);
/** Batch: each remote range to the matching local one. Returns: bytes read before the first failure, or -errno. */
ssize_t target_readv(const struct target *t, const struct iovec *local, const struct iovec *remote,
		     size_t count);
int target_read_u64(const struct target *t, uint64_t addr, uint64_t *out);

/** The object with the executable mapping that holds addr, opened on first use; NULL when none. */
struct target_object *target_object_at(struct target *t, uint64_t addr);
/** The object whose image defines the symbol as a function or object; NULL. In link (mapping) order, exe first. */
struct target_object *target_object_defining(struct target *t, const char *symbol);

/** RSS in bytes from /proc/PID/statm. Returns: 0, -ESRCH. */
int target_rss(const struct target *t, uint64_t *bytes);

#endif
