/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A series of snapshots of one process in one SQLite file, as docs/snapshot-format.md describes it. The
 * writer appends, one transaction a snapshot; the reader takes nothing in a file for granted and never
 * writes to it. Every failure is logged here, with its code: callers only pass the errno on.
 */
#ifndef TM_STORE_STORE_H
#define TM_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "snapshot/snapshot.h"

#define STORE_APPLICATION_ID 0x746d6270 /* "tmbp", at offset 68 of the file, big endian */
#define STORE_SCHEMA_VERSION 2		/* user_version, at offset 60 */
#define STORE_SUFFIX	     ".tmb"
#define STORE_KEEP_DEFAULT   1440 /* snapshots in a file: a day of minutes */
#define STORE_KEEP_MIN	     3	  /* first, last, and one that the last can be compared with */

/*
 * Facts about the recording as a whole. Strings: borrowed by store_create() for the call; a
 * reader's live until store_close(). NULL: not known, or not there.
 */
struct store_meta {
	int pid;
	int64_t start_ns;    /* of the process, CLOCK_REALTIME; 0 not known */
	int64_t attach_ns;   /* CLOCK_REALTIME: nothing older is in the numbers */
	const char *comm;    /* /proc/PID/comm */
	const char *command; /* program and script, without further arguments: they hold secrets */
	const char *program; /* path of the executable */
	const char *python_version; /* "3.11.2"; NULL: not a Python process */
	const char *libc;	    /* "glibc 2.36" */
	const char *container;	    /* id, 64 hex digits or what the runtime uses */
	const char *host;	    /* nodename */
	const char *tool_version;   /* filled by store_create() when NULL */
	const char *mode;	    /* "exact", "pools": at attach */
	const char *sampling;	    /* "none": every event counts */
	const char *end_reason; /* "sigint", "target-exit", ...; NULL: still recording, or killed */
	uint64_t cgroup_limit_bytes; /* memory limit at attach; 0: none or not known */
	unsigned frames;	     /* kept of a stack */
	double every_s;		     /* asked distance of snapshots; 0: a single one */
	bool domains[SNAP_DOMAINS];  /* traced */
	bool threads;		     /* threads are kept apart */
};

/* ---- writing ---- */

struct store_opts {
	bool force;		 /* replace an existing file */
	unsigned keep;		 /* snapshots in the file; 0 = STORE_KEEP_DEFAULT */
	void (*tick)(void *ctx); /* called about every 20 ms while a call of ours lasts; or NULL */
	/* Asked while a call waits for a reader of the file: true ends the wait. Or NULL. */
	bool (*give_up)(void *ctx);
	void *tick_ctx; /* of both */
};

struct store_writer;

/**
 * Would store_create() succeed? Nothing is changed. For the time before an expensive attach.
 * Returns: 0; -EEXIST (E702: there is a file and no force), -EBUSY (E705: a recorder writes to it),
 * -EISDIR, -ENOENT, -EACCES, -ELOOP (a symlink) and what open(2) gives (all E703).
 */
int store_check(const char *path, const struct store_opts *opts);

/**
 * Make the file: mode 0600, owned by SUDO_UID:SUDO_GID when these are set and we are root, never through
 * a symlink. One recorder a file: the lock is held until store_writer_close().
 * Returns: as store_check(); -ENOSPC (E704); -ENOMEM. Owns: *out.
 */
int store_create(const char *path, const struct store_meta *meta, const struct store_opts *opts,
		 struct store_writer **out);

/**
 * Append a snapshot; all of one file share one pool of strings (s->strings), and seq rises; where the
 * clock was set back, time goes on by what passed since attach.
 * Equal stacks are summed up; a stack of zeros counts as not there. The newest snapshots stay as taken;
 * past opts->keep the one goes whose time is covered best by its neighbours, never the first or last.
 * While someone reads the file for long, snapshots wait in memory (W701) and go out with a later call.
 * Returns: 0; -ENOSPC (E704), -EIO and other write errors (E703), -ESTALE (E708: the file was moved or
 * deleted): the writer is of no use any more, all that was complete is in the file; -EBUSY (W702: another program writes to the file; this snapshot is
 * lost, the next may get through); -EINVAL (another pool, a number that does not rise); -ENOMEM.
 */
int store_append(struct store_writer *w, const struct snapshot *s);

/** Snapshots in the file now, after thinning and without those that wait; and the size of the file. */
size_t store_writer_count(const struct store_writer *w);
uint64_t store_writer_bytes(const struct store_writer *w);

/** Is it still there under its name? */
bool store_writer_in_place(const struct store_writer *w);

/**
 * Write what waits, for which a reader gets some more time, and note why it ended (NULL: nothing to note).
 * After it nothing is appended. Returns: 0, or what could not be written (logged).
 */
int store_writer_finish(struct store_writer *w, const char *end_reason);

/** store_writer_finish(), and close; an empty series is removed. Frees in any case. NULL is fine. Returns: same. */
int store_writer_close(struct store_writer *w, const char *end_reason);

/** A file name in a directory: DIR/tmbpf-PID-20261122T140200Z.tmb. Returns: 0 and *path (owned), -ENOMEM. */
int store_path_in(const char *dir, int pid, int64_t time_ns, char **path);

/* ---- reading ---- */

struct store_entry {	 /* one snapshot of the series */
	uint32_t seq;	 /* its number when taken: thinning leaves gaps */
	int64_t time_ns; /* CLOCK_REALTIME */
	double elapsed_s;
	uint64_t live_bytes, live_blocks, alloc_bytes, alloc_blocks;
	uint64_t rss_bytes;
	size_t stacks; /* that hold something */
};

struct store;

/**
 * Open a series. strings: pool for the names (borrowed until store_close(), so that two files can share
 * one), or NULL for one of its own. Needs read permission on the file only.
 * Returns: 0; -ENOENT (E311), -EACCES (E411), -EISDIR and -EMEDIUMTYPE (E312: not such a file),
 * -EPROTO (E313: newer schema), -EBADMSG (E314: damaged), -ENOENT (E315: its recorder ended before it
 * had begun), -EBUSY (E316), the errors of a repair (E317), -ENOMEM.
 */
int store_open(const char *path, struct intern *strings, struct store **out);
void store_close(struct store *s);
DEFINE_CLEANUP(struct store *, store_close);

const struct store_meta *store_meta(const struct store *s);
/** All snapshots in order of time; may be none. Borrowed. */
const struct store_entry *store_entries(const struct store *s, size_t *count);
struct intern *store_strings(const struct store *s);
/** Is a recorder at work on it? */
bool store_is_live(const struct store *s);

/**
 * Which snapshot: "first", "last", "-1" (the last), "-2", "12" (its number), "14:02:20" (local time),
 * "14:02:20Z", "2026-11-22T14:02:20Z" (also with fraction, offset, or without Z: local): the last one
 * that was taken not later, to the precision given. NULL: the last.
 * Returns: 0; -EINVAL (E201: not a time), -ENOENT (E315: none at that time, or none at all).
 */
int store_find(const struct store *s, const char *when, size_t *index);

/**
 * One snapshot, checked against the sums and the checksum that were written with it. Every distinct stack
 * once, in no special order.
 * Returns: 0; -EBADMSG (E314); -EFBIG (E314: more frames than a recorder writes); -ENOMEM.
 * Owns: *out is the caller's; its strings and mode belong to the store's pool.
 */
int store_load(struct store *s, size_t index, struct snapshot **out);

/*
 * All snapshots in order, each for what changed in it. The stacks of the whole series stand in one
 * array: position i is the same stack in every step, and all zero while it holds nothing.
 */
struct store_step {
	size_t index;			 /* into store_entries() */
	const struct snapshot *snapshot; /* borrowed until the next call */
	const uint32_t *changed; /* positions in snapshot->stacks, rising; borrowed as well */
	size_t changed_count;
};

struct store_walk;

/** Returns: as store_load(). Owns: *out; the store must outlive it. */
int store_walk_new(struct store *s, struct store_walk **out);
/** Returns: 1 and *step; 0 at the end; as store_load(). */
int store_walk_next(struct store_walk *w, struct store_step *step);
void store_walk_free(struct store_walk *w);
DEFINE_CLEANUP(struct store_walk *, store_walk_free);

#endif
