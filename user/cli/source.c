// SPDX-License-Identifier: GPL-2.0-or-later
/* FILE[@TIME] -> a snapshot. The first bytes of a file decide its format, not its name. */
#include "cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "pickle/pickle_read.h"

#define HEAD_BYTES 512

static const char sqlite_magic[16] = "SQLite format 3"; /* with its NUL */

/* Likely format of a file that we cannot read. */
static const char *guess_format(const unsigned char *head, size_t len)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *what;
	} known[] = {
		{"\x1f\x8b", 2,
		 "gzip-compressed data (a pprof profile? go tool pprof reads it; tmbpf does not)"},
		{"\x7f"
		 "ELF",
		 4, "an ELF file (a program or library, not a snapshot of one)"},
		{"PK\x03\x04", 4, "a zip archive"},
		{"\x28\xb5\x2f\xfd", 4, "zstd-compressed data"},
		{"memray", 6, "a capture of memray"},
		{"{", 1, "JSON (tmbpf writes such, and reads its own files only)"},
		{"<", 1, "HTML or XML"},
	};
	size_t text = 0;

	if (!len)
		return "an empty file";
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (len >= known[i].len && !memcmp(head, known[i].magic, known[i].len))
			return known[i].what;
	}
	while (text < len && (head[text] >= 0x20 || strchr("\t\n\r\f\x1b", head[text])) &&
	       head[text])
		text++;
	return text == len ? "text" : "binary data of no format that tmbpf knows";
}

static int cannot_read(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM)
		return log_coded_err(err, "E411",
				     "read it as its owner, or give it to you with chown",
				     "not permitted to read %s", path);
	return log_coded_err(err, "E311",
			     err == -ENOENT ? "tmbpf record and tmbpf snap make one" : NULL,
			     "cannot read %s: %s", path, strerror(-err));
}

/* Returns: 0 and *fd, open, and its first bytes; else logged. */
static int read_head(const char *path, int *fd, unsigned char *head, size_t *len)
{
	_cleanup_close_ int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	ssize_t n;

	if (file < 0 || fstat(file, &st))
		return cannot_read(path, -errno);
	if (S_ISDIR(st.st_mode))
		return log_coded_err(-EISDIR, "E312", "name a file in it", "%s is a directory",
				     path);
	if (!S_ISREG(st.st_mode))
		return log_coded_err(-EMEDIUMTYPE, "E312", NULL, "%s is no regular file", path);
	n = pread(file, head, HEAD_BYTES, 0);
	if (n < 0)
		return cannot_read(path, -errno);
	*len = (size_t)n;
	*fd = take_fd(&file);
	return 0;
}

static int open_store(struct source *s, const char *when)
{
	int err = store_open(s->path, s->strings, &s->store);

	if (err)
		return err;
	err = store_find(s->store, when, &s->index);
	if (err)
		return err;
	err = store_load(s->store, s->index, &s->snapshot);
	if (err)
		return err;
	s->meta = store_meta(s->store);
	return 0;
}

static int open_pickle(struct source *s, int fd, const char *when)
{
	struct pickle_info info = {0};
	int err;

	s->kind = SOURCE_PICKLE;
	if (when)
		return log_coded_err(
			-EINVAL, "E201", NULL,
			"%s is a pickle of tracemalloc: it holds one snapshot, there is no @%s",
			s->path, when);
	err = pickle_read_fd(fd, s->strings, &s->snapshot, &info);
	if (err == -EBADMSG || err == -EFBIG)
		return log_coded_err(err, "E314", NULL, "%s seems to be a pickle, but %s", s->path,
				     info.reason);
	if (err)
		return cannot_read(s->path, err);
	s->pickle_meta = (struct store_meta){
		.mode = "tracemalloc",
		.frames = info.traceback_limit,
		.domains = {true, false},
	};
	s->meta = &s->pickle_meta;
	return 0;
}

/* Splits "FILE@TIME": the whole is a file when there is one of that name, or when a directory has the @. */
static int split_spec(const char *spec, char **path, const char **when)
{
	const char *at = strrchr(spec, '@');
	struct stat st;

	*when = NULL;
	if (at && at > spec && !strchr(at, '/') && lstat(spec, &st)) {
		*path = strndup(spec, (size_t)(at - spec));
		*when = at + 1;
	} else {
		*path = strdup(spec);
	}
	return *path ? 0 : -ENOMEM;
}

static int open_any(struct source *s, const char *when, bool series)
{
	_cleanup_close_ int fd = -1;
	unsigned char head[HEAD_BYTES];
	size_t len = 0;
	int err = read_head(s->path, &fd, head, &len);

	if (err)
		return err;
	if (len >= sizeof(sqlite_magic) && !memcmp(head, sqlite_magic, sizeof(sqlite_magic))) {
		/* Before SQLite has it open: closing a descriptor drops its locks. */
		close(take_fd(&fd));
		if (!series)
			return open_store(s, when);
		err = store_open(s->path, s->strings, &s->store);
		if (!err)
			s->meta = store_meta(s->store);
		return err;
	}
	if (!pickle_detect(head, len))
		return log_coded_err(
			-EMEDIUMTYPE, "E312", "tmbpf record and tmbpf snap make snapshots",
			"%s is no snapshot: it seems to be %s", s->path, guess_format(head, len));
	if (series)
		return log_coded_err(-EMEDIUMTYPE, "E312", "tmbpf record makes a series",
				     "%s is a pickle of tracemalloc: one snapshot, not a series",
				     s->path);
	return open_pickle(s, fd, when);
}

static int open_source(const char *spec, struct intern *strings, bool series, struct source **out)
{
	_cleanup_(source_closep) struct source *s = calloc(1, sizeof(*s));
	const char *when = NULL;
	int err;

	if (!s)
		return -ENOMEM;
	s->strings = strings ? strings : intern_new();
	s->own_strings = !strings;
	if (!s->strings)
		return -ENOMEM;
	if (series)
		err = (s->path = strdup(spec)) ? 0 : -ENOMEM;
	else
		err = split_spec(spec, &s->path, &when);
	if (!err)
		err = open_any(s, when, series);
	if (err)
		return err;
	*out = take_ptr(s);
	return 0;
}

int source_open(const char *spec, struct source **out)
{
	return open_source(spec, NULL, false, out);
}

int source_open_in(const char *spec, struct intern *strings, struct source **out)
{
	return open_source(spec, strings, false, out);
}

int source_open_series(const char *path, struct source **out)
{
	return open_source(path, NULL, true, out);
}

void source_close(struct source *s)
{
	if (!s)
		return;
	snapshot_free(s->snapshot);
	store_close(s->store);
	if (s->own_strings)
		intern_free(s->strings);
	free(s->path);
	free(s);
}
