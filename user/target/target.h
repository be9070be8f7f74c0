/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process we look at from outside: identity (start time, so that a re-used pid is noticed), what
 * is mapped, how to read its memory and open its files. Nothing here writes to it or stops it.
 */
#ifndef TM_TARGET_TARGET_H
#define TM_TARGET_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "target/elf_image.h"
#include "target/proc_maps.h"

#define PROC_FD_PATH_LEN 32 /* "/proc/self/fd/2147483647" */

/*
 * One mapped file with an executable mapping. It is opened on first use: by target_object_at(),
 * target_object_defining() or target_object_open(); open_path, image and bias are valid after that.
 */
struct target_object {
	/* Valid until target_refresh_maps(); NULL when it is mapped no more. */
	const struct mapping *first; /* its lowest mapping */
	const struct mapping *exec;  /* its lowest executable mapping */
	char *path;		     /* as the target sees it; owned */
	char *open_path; /* how it was found: map_files or root path, dev:inode checked; owned */
	int fd;		 /* of that file while the target is open, -1 before; owned */
	char attach_path
		[PROC_FD_PATH_LEN]; /* names fd: leads to the same file whatever is renamed or unmapped */
	struct elf_image *image; /* owned; NULL before opening, or when that failed */
	uint64_t bias;		 /* process address = vaddr + bias; 0 for ET_EXEC */
	uint32_t dev_major, dev_minor;
	uint64_t inode;
	int open_err; /* why it could not be opened, negative errno; not tried again */
};

struct py_offsets;
struct target_access;
struct blocked_reads;

enum target_state {
	TARGET_RUNS = 0,
	TARGET_EXITED,	 /* exit status known */
	TARGET_SIGNALED, /* ended by a signal */
	TARGET_OOM,	 /* SIGKILL of the out-of-memory killer */
	TARGET_EXECED,	 /* runs another program now */
	TARGET_ENDED,	 /* how is not known */
};

/* How a process ended. */
struct target_end {
	enum target_state state;
	int code;   /* TARGET_EXITED: status; TARGET_SIGNALED, TARGET_OOM: signal */
	int64_t ns; /* when, CLOCK_MONOTONIC; 0 not known */
};

struct target {
	pid_t pid;		   /* in our pid namespace */
	pid_t ns_pid;		   /* innermost number, from NSpid: (what the target sees) */
	uint64_t start_time_ticks; /* /proc/PID/stat field 22 */
	char comm[16];
	char *exe; /* readlink /proc/PID/exe, " (deleted)" cut; owned */
	bool exe_deleted;
	uint64_t start_stack;	      /* field 28: moves at exec; 0 = we may not see it */
	uint64_t exe_dev, exe_inode;  /* of stat(/proc/PID/exe); 0 = we may not see it */
	struct target_access *access; /* threads, see target_task.h; owned */
	bool other_pid_ns, other_mnt_ns, chrooted;
	char *root; /* readlink /proc/PID/root when chrooted in our mount namespace, else NULL; owned */
	struct proc_maps maps;
	int64_t maps_at_ns,
		maps_took_ns;		/* when the last read of them ended, and how long it took */
	struct target_object **objects; /* each distinct mapped executable ELF file; owned */
	size_t object_count;
	struct blocked_reads *blocked; /* reads that were given up; NULL: not counted; owned */
	struct py_offsets *py_row;     /* layout of this very interpreter when it differs; owned */
};

/**
 * Open and identify. Logs a coded error itself (E301 no such pid, E305 zombie, E401 privileges).
 * Returns: 0, -ESRCH, -EACCES/-EPERM, -ENOMEM.
 */
int target_open(pid_t pid, struct target **out);
void target_free(struct target *t);
DEFINE_CLEANUP(struct target *, target_free);

/** Same process as when opened? False once its last thread has ended, also when the pid is in use again. */
bool target_is_alive(const struct target *t);
/**
 * Still the same program? False after exec (the stack or exe's dev:inode changed), and while it ends. Without
 * address randomization an exec of the same file is not seen here; the kernel reports it to bpf/.
 */
bool target_same_image(const struct target *t);

/**
 * Read maps again (dlopen since). Objects that vanished stay until target_free(); the order of the
 * others may change. Returns: 0, -ESRCH, -EACCES, -ENOMEM; on failure the old maps stay.
 */
int target_refresh_maps(struct target *t);
/**
 * May the maps be read again now? Limited to 1/50 of the time, because each read holds a lock that the target's
 * mmap() waits for.
 */
bool target_maps_due(const struct target *t);

/**
 * Read exactly len bytes of its memory. A page that blocks the read for TIMED_IO_MS counts as unreadable from then
 * on (W131), and after eight of them all memory does (W132).
 * Returns: 0, -EFAULT (part unreadable), -ESRCH, -EPERM.
 */
int target_read(const struct target *t, uint64_t addr, void *out, size_t len);
/** Batch: each remote range to the matching local one. Returns: bytes read before the first failure, or -errno. */
ssize_t target_readv(const struct target *t, const struct iovec *local, const struct iovec *remote,
		     size_t count);
int target_read_u64(const struct target *t, uint64_t addr, uint64_t *out);

/** For target_open() only. Returns: 0, -ENOMEM. */
int target_reads_new(struct target *t);
/** Time limit for the next call on this target's memory or files, in ms. */
int target_limit_ms(const struct target *t);
/** Count a call that was given up after the limit, with a warning; what: "file /x", "memory at 0x1000". */
void target_note_blocked(const struct target *t, const char *what);
/** It blocked so many calls that no more is tried. */
bool target_is_unreadable(const struct target *t);

/** Open the file of an object now. Returns: 0, -EBADMSG (no ELF), -ENOENT (cannot be reached), -errno. */
int target_object_open(struct target *t, struct target_object *obj);
/** The object with the executable mapping that holds addr, opened on first use; NULL when none. */
struct target_object *target_object_at(struct target *t, uint64_t addr);
/**
 * The object that defines the symbol as a function or object (not a local one); NULL. In the order of
 * the dynamic linker's list, exe first; what it does not list, or cannot be read, in mapping order.
 */
struct target_object *target_object_defining(struct target *t, const char *symbol);

/** RSS in bytes from /proc/PID/statm. Returns: 0, -ESRCH. */
int target_rss(const struct target *t, uint64_t *bytes);

#endif
