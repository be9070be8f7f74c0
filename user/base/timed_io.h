/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls on another process that may never return, with a time limit. A page under userfaultfd, a file on a
 * dead FUSE or NFS mount and a held mmap_lock block the caller in a wait that at best SIGKILL ends, so that a
 * helper process makes the call; when the time is over it is killed, left to itself, and replaced.
 *
 * Every call returns -ETIMEDOUT when its helper was abandoned; -EIO when no helper can be started. One caller at a
 * time: the program has one thread.
 */
#ifndef TM_BASE_TIMED_IO_H
#define TM_BASE_TIMED_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/buf.h"

#define TIMED_IO_MS 1000 /* the limit for one call, unless the caller knows better */

/* Most bytes and ranges of one timed_vm_read(): more give a short read. */
#define TIMED_IO_BYTES	((size_t)1 << 20)
#define TIMED_IO_RANGES 1024

/**
 * process_vm_readv(2) without flags. Returns: bytes, also fewer than asked for: read on from there; -errno as
 * the call.
 */
ssize_t timed_vm_read(pid_t pid, const struct iovec *local, const struct iovec *remote,
		      size_t count, int limit_ms);

/**
 * Memory into which timed_vm_read() reads without a copy. Returns: NULL on out of memory. free: NULL is allowed.
 */
void *timed_buffer_new(size_t len);
void timed_buffer_free(void *buffer);

struct timed_file { /* what open, fstat and fstatfs gave */
	int fd;	    /* owned by the caller */
	struct stat st;
	uint64_t fs_type; /* magic number of the file system */
};

/** open(2) without waiting for a FIFO's writer. Returns: 0 and *out, -errno. */
int timed_open(const char *path, int limit_ms, struct timed_file *out);
/** stat(2). Returns: 0, -errno. */
int timed_stat(const char *path, int limit_ms, struct stat *st);
/** pread(2) of all of len bytes, each MiB with the limit. Returns: bytes (fewer at the end of the file), -errno. */
ssize_t timed_pread(int fd, void *out, size_t len, uint64_t off, int limit_ms);
/**
 * A whole file of /proc, appended; it ends in a NUL that is not counted. Returns: 0, -errno, -EFBIG when it is
 * longer than max (out then holds max bytes).
 */
int timed_read_file(const char *path, size_t max, int limit_ms, struct buf *out);

/** Calls abandoned so far. */
uint64_t timed_io_abandoned(void);

#endif
