/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by writer and reader of a series. Private to user/store/store*.c. */
#ifndef TM_STORE_STORE_PRIV_H
#define TM_STORE_STORE_PRIV_H

#include <signal.h>
#include <sqlite3.h>

#include "base/hash.h"
#include "store/store.h"

/* ---- limits: what a writer never exceeds and a reader refuses ---- */

#define STORE_DEPTH_MAX	 1024	    /* frames of a stack */
#define STORE_STRING_MAX (1u << 20) /* bytes */
#define STORE_FRAMES_MAX (1u << 26) /* frames of one snapshot in memory: 768 MiB */
#define STORE_VALUES	 4	    /* of a trace in a snapshot, in the order of the columns */

/* ---- the connection (store_sql.c) ---- */

struct store_db {
	sqlite3 *sql;
	const char *path;     /* as the user named it, for messages; borrowed */
	uint64_t budget;      /* virtual machine steps left; a file cannot make us run for ever */
	bool writing;	      /* which code a failure gets */
	const char *complete; /* writing: what is safe, for the message of a failure; or NULL */
};

enum store_access {
	STORE_READ = 0, /* nothing is ever written, also no journal played back */
	STORE_REPAIR,	/* a private copy: SQLite may finish what was cut off */
	STORE_WRITE,	/* the recorder */
};

/**
 * Open an existing file. `file` is what is opened, db->path what is named in messages.
 * Returns: 0; -EUCLEAN (STORE_READ: an interrupted write must be rolled back first, not logged); else
 * logged. Also later calls can give -EUCLEAN, because SQLite looks at the file only when it must.
 */
int store_db_open(struct store_db *db, const char *file, enum store_access access);
void store_db_close(struct store_db *db);
/* Log a result code of SQLite for this file. Returns: the errno for it. */
int store_db_error(struct store_db *db, int rc);
/** "E314: FILE is damaged: ...". Returns: -EBADMSG. */
int store_damaged(const struct store_db *db, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

int store_db_exec(struct store_db *db, const char *sql);
int store_db_prepare(struct store_db *db, const char *sql, sqlite3_stmt **out);
/** One step. Returns: 1 = a row, 0 = done, else logged. */
int store_db_step(struct store_db *db, sqlite3_stmt *st);
/** Run to the end and reset, for statements without rows. */
int store_db_run(struct store_db *db, sqlite3_stmt *st);

static inline void store_stmt_freep(sqlite3_stmt **st)
{
	sqlite3_finalize(*st);
	*st = NULL;
}

/* ---- the file (store_file.c) ---- */

enum store_format { /* file type by the first bytes */
		    STORE_FORMAT_OURS = 0,
		    STORE_FORMAT_EMPTY,
		    STORE_FORMAT_NEWER,	  /* schema */
		    STORE_FORMAT_WAL,	  /* ours, converted by hand to write-ahead logging */
		    STORE_FORMAT_SQLITE,  /* of another program */
		    STORE_FORMAT_FOREIGN, /* no SQLite */
};

#define STORE_HEAD_BYTES \
	100 /* the SQLite header, https://www.sqlite.org/fileformat.html section 1.3 */

enum store_format store_format_of(const void *head, size_t len);
/** Schema version of a file of ours, from STORE_HEAD_BYTES bytes. */
uint32_t store_schema_of(const void *head);

/** Take the recorder's lock. Returns: 0, -EBUSY, -errno. */
int store_lock(int fd);
/** Does someone hold it? */
bool store_is_locked(int fd);

/**
 * Create the file and its journal safely and lock the file; see store_create(). Returns: 0, *fd and *journal,
 * else logged. Owns: both; the journal until store_file_remove_journal().
 */
int store_file_create(const char *path, bool force, int *fd, int *journal);
/** Remove the journal of that file if it is the one that is open, and empty. */
void store_file_remove_journal(const char *file, int fd);
/** Is the file of that name the one that is open? It may have been moved, and another put in its place. */
bool store_file_is(const char *file, int fd);
/** Remove the file of that name, if it is the one that is open. Returns: 0, -EEXIST (it is not), -errno. */
int store_file_remove(const char *file, int fd);
/** Absolute, all but the last component resolved. Returns: 0 and *out (owned), else logged. */
int store_file_resolve(const char *path, char **out);

/** Bytes of it that are more than holes. Moves the offset. */
uint64_t store_data_bytes(int fd);

struct store_copy {
	char *dir, *file; /* owned */
	sigset_t held;	  /* signals that wait until it is removed */
};

/**
 * A private copy with its journal, for a file whose last write was cut off. While it is there, signals that
 * would end us wait. Returns: 0; else logged, and nothing is left.
 */
int store_copy_make(const char *path, const char *file, struct store_copy *c);
/** Remove it and what lies beside it; who has it open goes on reading. A signal that came takes effect. */
void store_copy_remove(struct store_copy *c);

/* ---- the schema (store_schema.c) ---- */

int store_schema_create(struct store_db *db);
/** Are the tables exactly ours, and nothing attached to them? Returns: 0, -EBADMSG (logged), ... */
int store_schema_check(struct store_db *db);

/* ---- the recording (store_meta.c) ---- */

int store_meta_write(struct store_db *db, const struct store_meta *meta);
int store_meta_set_end(struct store_db *db, const char *reason);
/* How many snapshots there are and the last one's number: a page may lose rows without a trace. */
int store_meta_set_series(struct store_db *db, size_t count, uint32_t last_seq);
int store_meta_check_series(struct store_db *db, size_t count, uint32_t last_seq);
/** Owns: strings in *text (one block), which the caller frees. */
int store_meta_read(struct store_db *db, struct store_meta *meta, char **text);

/* ---- checksums: every number and name that a snapshot shows goes into one of them ---- */

static inline uint64_t store_mix(uint64_t h, uint64_t v)
{
	return hash_mix(h, v);
}

static inline uint64_t store_mix_bytes(uint64_t h, const void *data, size_t len)
{
	return hash_mix(hash_bytes(h, data, len), len);
}

static inline uint64_t store_mix_double(uint64_t h, double d)
{
	uint64_t v;

	__builtin_memcpy(&v, &d, sizeof(v));
	return store_mix(h, v);
}

static inline uint64_t store_hash_string(const char *s, size_t len)
{
	return store_mix_bytes(HASH_BYTES_START, s, len);
}

static inline uint64_t store_hash_frame(uint64_t file, uint64_t function, int32_t line)
{
	return store_mix(store_mix(file, function), (uint64_t)(int64_t)line);
}

/* A stack from its caller's stack; STORE_HASH_ROOT is the caller of the outermost frame. */
#define STORE_HASH_ROOT 0x746d6270ull

static inline uint64_t store_hash_stack(uint64_t parent, uint64_t frame)
{
	return store_mix(parent, frame);
}

static inline uint64_t store_hash_trace(uint64_t stack, uint64_t thread, uint32_t domain,
					bool truncated)
{
	return store_mix(store_mix(stack, thread), (uint64_t)domain << 1 | truncated);
}

/* Share of a trace in the sum of its snapshot, without regard to order. Zeros add nothing. */
static inline uint64_t store_hash_values(uint64_t trace, const uint64_t v[STORE_VALUES])
{
	uint64_t h = trace;

	if (!(v[0] | v[1] | v[2] | v[3]))
		return 0;
	for (int i = 0; i < STORE_VALUES; i++)
		h = store_mix(h, v[i]);
	return h;
}

/* ---- one row of `snapshot` with its losses and coverage, as both sides see it (store_head.c) ---- */

struct store_head {
	struct store_entry entry;
	char mode[16];
	double drain_s, cost_cpu_ratio, cost_uncertainty, slowdown_ratio;
	struct snap_gap gap;
	uint64_t events;
	struct snap_coverage coverage[SNAP_DOMAINS];
	uint64_t drops[TM_DROP_COUNT];
	uint64_t content;  /* sum of store_hash_values() */
	uint64_t checksum; /* of all of it */
};

uint64_t store_head_checksum(const struct store_head *h);
int store_head_write(struct store_db *db, const struct store_head *h);
/** All of them, in order. Returns: 0, else logged. Owns: *out. */
int store_heads_read(struct store_db *db, struct store_head **out, size_t *count);

/* ---- the dictionary of a writer (store_dict.c) ---- */

struct store_trace { /* a stack with its domain, thread and flag: what numbers belong to */
	uint64_t hash;
	uint64_t quick;		       /* see store_dict.c */
	uint64_t values[STORE_VALUES]; /* in the last snapshot */
	uint64_t next[STORE_VALUES];   /* in the one being written, when round is the current one */
	uint32_t round;
	uint32_t stack, thread; /* ids; 0 = none */
	uint32_t domain;	/* tracemalloc's number */
	bool truncated;
};

struct store_dict;

int store_dict_new(struct store_db *db, struct store_dict **out);
void store_dict_free(struct store_dict *d);
DEFINE_CLEANUP(struct store_dict *, store_dict_free);
/** Id of the trace of a stack, rows written where it is new. Returns: 0, else logged. */
int store_dict_trace(struct store_dict *d, const struct snapshot *s, const struct snap_stack *stack,
		     uint32_t *id);
/** Traces 1..count; the array may move with store_dict_trace(). */
struct store_trace *store_dict_get(struct store_dict *d, uint32_t id);
uint32_t store_dict_count(const struct store_dict *d);

/* ---- thinning (store_thin.c) ---- */

struct store_times {
	uint32_t seq;
	int64_t time_ns;
};

/** Which of count snapshots goes first: never the first or one of the last two. Needs: count > 3. */
size_t store_thin_choose(const struct store_times *t, size_t count);
/** Remove a snapshot; what changed in it becomes a change of its successor. */
int store_thin_remove(struct store_db *db, uint32_t seq, uint32_t successor);

/* ---- names of a reader (store_names.c) ---- */

struct store_rstack {
	uint32_t parent, frame; /* ids; parent < own id */
	uint32_t depth;
	uint64_t hash;
};

struct store_rtrace {
	uint32_t stack;
	str_id_t thread;
	uint32_t domain;
	bool truncated;
	uint64_t hash;
};

struct store_names { /* arrays by id; [0] is "none" */
	str_id_t *strings;
	struct snap_frame *frames;
	uint64_t *string_hashes, *frame_hashes;
	struct store_rstack *stacks;
	struct store_rtrace *traces;
	size_t string_count, frame_count, stack_count, trace_count; /* with [0] */
};

int store_names_read(struct store_db *db, struct intern *strings, struct store_names *n);
void store_names_release(struct store_names *n);

/* ---- a reader (store_reader.c) ---- */

struct store {
	struct store_db db;
	char *path, *file; /* as named; as opened */
	bool repaired;	   /* what is open is a private copy, which has no name any more */
	struct store_meta meta;
	char *meta_text;
	struct store_head *heads;
	struct store_entry *entries; /* of the heads, as callers see them */
	size_t count;
	struct intern *strings;
	bool own_strings, live;
	struct store_names names; /* read on first use */
	bool have_names;
	uint64_t data_bytes; /* of the file, without holes */
};

/**
 * Run fn in a read transaction. A recorder that was killed in a commit since the file was opened leaves it
 * cut off: then fn is run again, on a repaired copy. Statements live no longer than fn.
 * Returns: what fn returns; else logged.
 */
int store_read(struct store *s, int (*fn)(struct store *s, void *ctx), void *ctx);

#endif
