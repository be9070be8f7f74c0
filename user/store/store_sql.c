/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The connection to SQLite: opened so that neither a hostile file nor a hostile neighbour in its
 * directory gets anything but an error, and every result code turned into one coded message.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "store/store_priv.h"

#define VFS_NAME	 "tmbpf"
#define PROGRESS_STEPS	 100000 /* between two looks at the budget */
#define READ_WAIT_MS	 10000	/* a commit of the recorder takes milliseconds; a slow disk more */
#define WRITER_CACHE_KIB 16384
#define READER_CACHE_KIB 8192

static sqlite3_vfs *system_vfs;

/*
 * The errno of a failed write. SQLite knows only "full" and "I/O error", and sqlite3_system_errno() is
 * 0 by the time it has rolled back: but a quota or a file size limit is a full disk to the user.
 */
static const sqlite3_io_methods *system_io;
static int write_errno;

static int io_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 off)
{
	int rc = system_io->xWrite(file, data, len, off);

	if (rc)
		write_errno = errno;
	return rc;
}

static void watch_writes(sqlite3_file *file)
{
	static sqlite3_io_methods ours;

	if (!system_io) {
		system_io = file->pMethods;
		ours = *system_io;
		ours.xWrite = io_write;
	}
	if (file->pMethods == system_io)
		file->pMethods = &ours;
}

/* Is the journal at `name` ours? SQLite, as root, gives it to the owner of the database. */
static bool is_our_journal(const char *name)
{
	struct stat st, db_st;
	char db[PATH_MAX];

	if (lstat(name, &st) || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)))
		return false;
	if (st.st_uid == geteuid())
		return true;
	snprintf(db, sizeof(db), "%.*s", (int)(strlen(name) - strlen("-journal")), name);
	return !lstat(db, &db_st) && db_st.st_uid == st.st_uid;
}

/*
 * A journal is made by us, exclusively, before SQLite opens it: in a directory like /tmp another user may
 * have put one there, and SQLite would trust it. One that exists must be ours.
 */
static int check_journal(const char *name, bool create)
{
	if (create) {
		int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

		if (fd >= 0) {
			close(fd);
			return SQLITE_OK;
		}
		if (errno != EEXIST)
			return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_CANTOPEN;
	}
	return is_our_journal(name) ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* A pipe under the journal's name would be opened, and waited for. */
static bool is_regular(const char *name)
{
	struct stat st;

	return !lstat(name, &st) && S_ISREG(st.st_mode);
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
		    int *out_flags)
{
	int rc;

	file->pMethods = NULL;
	/*
	 * We never write to two databases at once, so no journal of ours names a super-journal. One that
	 * does would make SQLite delete the file that it names. Nor do we log ahead: see vfs_access().
	 */
	if (flags & (SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL))
		return SQLITE_CANTOPEN;
	if (name && (flags & SQLITE_OPEN_MAIN_JOURNAL) && !(flags & SQLITE_OPEN_CREATE) &&
	    !is_regular(name))
		return SQLITE_CANTOPEN;
	if (name && (flags & SQLITE_OPEN_MAIN_JOURNAL) && (flags & SQLITE_OPEN_READWRITE)) {
		rc = check_journal(name, flags & SQLITE_OPEN_CREATE);
		if (rc)
			return rc;
	}
	rc = system_vfs->xOpen(vfs, name, file, flags, out_flags);
	if (!rc && file->pMethods)
		watch_writes(file);
	return rc;
}

/*
 * SQLite takes up a write-ahead log that lies beside any database, whatever its header holds, and maps a
 * third file with it. Refuse such a log, because our files never have one: another user put it there.
 */
static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	size_t len = strlen(name);

	if (len > 4 && !strcmp(name + len - 4, "-wal")) {
		*out = 0;
		return SQLITE_OK;
	}
	return system_vfs->xAccess(vfs, name, flags, out);
}

static int register_vfs(void)
{
	static sqlite3_vfs ours; /* registered for the life of the process */

	if (system_vfs)
		return SQLITE_OK;
	system_vfs = sqlite3_vfs_find(NULL);
	if (!system_vfs)
		return SQLITE_ERROR;
	ours = *system_vfs;
	ours.zName = VFS_NAME;
	ours.xOpen = vfs_open;
	ours.xAccess = vfs_access;
	return sqlite3_vfs_register(&ours, 0);
}

static int on_progress(void *ctx)
{
	struct store_db *db = ctx;

	if (db->budget < PROGRESS_STEPS)
		return 1;
	db->budget -= PROGRESS_STEPS;
	return 0;
}

static void harden_db(struct store_db *db)
{
	sqlite3 *sql = db->sql;

	(void)sqlite3_db_config(sql, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(sql, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(sql, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	(void)sqlite3_db_config(sql, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	sqlite3_limit(sql, SQLITE_LIMIT_LENGTH, 2 * STORE_STRING_MAX);
	sqlite3_limit(sql, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_limit(sql, SQLITE_LIMIT_WORKER_THREADS, 0);
	if (db->writing)
		return;
	(void)sqlite3_db_config(sql, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_progress_handler(sql, PROGRESS_STEPS, on_progress, db);
}

static const char writer_pragmas[] = /* synchronous: see docs/snapshot-format.md, "Durability" */
	/*
	 * TRUNCATE instead of DELETE, to keep the name of the journal taken, store_file.c:
	 * make_journal()
	 */
	"PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=NORMAL; PRAGMA temp_store=MEMORY;"
	"PRAGMA secure_delete=OFF; PRAGMA mmap_size=0;"
	/* A full cache that spills takes the file for itself: it would wait for a reader, and lock out all others. */
	"PRAGMA cache_spill=OFF;";
static const char reader_pragmas[] =
	"PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;";

static int configure_db(struct store_db *db)
{
	char cache[48];
	int err;

	snprintf(cache, sizeof(cache), "PRAGMA cache_size=-%d",
		 db->writing ? WRITER_CACHE_KIB : READER_CACHE_KIB);
	err = store_db_exec(db, cache);
	return err ? err : store_db_exec(db, db->writing ? writer_pragmas : reader_pragmas);
}

int store_db_open(struct store_db *db, const char *file, enum store_access access)
{
	int flags = SQLITE_OPEN_NOMUTEX |
		    (access == STORE_READ ? SQLITE_OPEN_READONLY
					  : SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW);
	int rc = register_vfs(), err;

	db->writing = access == STORE_WRITE;
	if (!rc)
		rc = sqlite3_open_v2(file, &db->sql, flags, VFS_NAME);
	if (rc) {
		err = store_db_error(db, rc);
		store_db_close(db);
		return err;
	}
	(void)sqlite3_extended_result_codes(db->sql, 1);
	harden_db(db);
	sqlite3_busy_timeout(db->sql, READ_WAIT_MS);
	err = configure_db(db);
	if (err)
		store_db_close(db);
	return err;
}

void store_db_close(struct store_db *db)
{
	sqlite3_close(db->sql);
	db->sql = NULL;
}

int store_damaged(const struct store_db *db, const char *fmt, ...)
{
	char reason[192];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return log_coded_err(-EBADMSG, "E314", "copy the file again from where it was recorded",
			     "%s is damaged: %s", db->path, reason);
}

static int write_error(struct store_db *db, int rc)
{
	int sys = rc == SQLITE_IOERR_WRITE ? write_errno
		  : db->sql		   ? sqlite3_system_errno(db->sql)
					   : 0;
	const char *safe = db->complete ? db->complete : "nothing was lost";
	int primary = rc & 0xff;

	if (primary == SQLITE_NOMEM)
		return -ENOMEM;
	if (primary == SQLITE_FULL ||
	    (primary == SQLITE_IOERR && (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)))
		return log_coded_err(-ENOSPC, "E704",
				     "free space, or record to another place with -o",
				     "%s: no space left to write; %s", db->path, safe);
	if (rc == SQLITE_READONLY_DBMOVED)
		return log_coded_err(
			-ESTALE, "E708", "leave the file where it is until the recording has ended",
			"%s was moved or deleted during the recording: nothing more is written",
			db->path);
	if (primary == SQLITE_BUSY)
		return log_coded_err(-EBUSY, "E707", "end the process that keeps the file open",
				     "%s: a reader has kept the file locked; %s", db->path, safe);
	return log_coded_err(-EIO, "E703", NULL, "cannot write %s: %s%s%s; %s", db->path,
			     db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc),
			     sys ? ": " : "", sys ? strerror(sys) : "", safe);
}

int store_db_error(struct store_db *db, int rc)
{
	if (db->writing)
		return write_error(db, rc);
	if (rc == SQLITE_READONLY_ROLLBACK)
		return -EUCLEAN;
	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return log_err(-ENOMEM, "cannot read %s", db->path);
	case SQLITE_BUSY:
		return log_coded_err(-EBUSY, "E316", "try again",
				     "%s is being written to and stays locked", db->path);
	case SQLITE_INTERRUPT:
		return store_damaged(db, "reading it takes too many steps");
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_READONLY:
		return log_coded_err(-EIO, "E311", NULL, "cannot read %s: %s", db->path,
				     db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc));
	default:
		return store_damaged(db, "%s",
				     db->sql ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc));
	}
}

int store_db_exec(struct store_db *db, const char *sql)
{
	int rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);

	return rc ? store_db_error(db, rc) : 0;
}

int store_db_prepare(struct store_db *db, const char *sql, sqlite3_stmt **out)
{
	int rc = sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

	return rc ? store_db_error(db, rc) : 0;
}

int store_db_step(struct store_db *db, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : store_db_error(db, rc);
}

int store_db_run(struct store_db *db, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st), reset = sqlite3_reset(st);

	if (rc == SQLITE_DONE || rc == SQLITE_ROW)
		rc = reset;
	return rc ? store_db_error(db, rc) : 0;
}
