// SPDX-License-Identifier: GPL-2.0-or-later
#include "target/python_process.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "base/timed_io.h"
#include "target/proc_fs.h"
#include "target/proc_maps.h"

#define SEEN_MAX 256

enum python_kind python_name(const char *path, char version[PYTHON_NAME_VERSION])
{
	const char *base = text_base_name(path);
	enum python_kind kind = PYTHON_CPYTHON;
	unsigned major, minor;

	version[0] = '\0';
	if (!strncmp(base, "lib", 3))
		base += 3;
	if (!strncmp(base, "python", 6)) {
		base += 6;
	} else if (!strncmp(base, "pypy", 4)) {
		kind = PYTHON_PYPY;
		base += 4;
	} else {
		return PYTHON_NONE;
	}
	if (*base && !strchr("0123456789-.", *base))
		return PYTHON_NONE;
	if (sscanf(base, "%1u.%2u", &major, &minor) == 2)
		snprintf(version, PYTHON_NAME_VERSION, "%u.%u", major % 10, minor % 100);
	return kind;
}

/*
 * The program as it was started, argv[0], and the name it gave itself, since every user may see both.
 */
static enum python_kind by_command(pid_t pid, char version[PYTHON_NAME_VERSION])
{
	_cleanup_(buf_release) struct buf command = {0};
	struct proc_stat st;
	enum python_kind kind = PYTHON_NONE;

	if (!proc_read(pid, "cmdline", &command) && command.data)
		kind = python_name(command.data, version);
	if (!kind && !proc_stat_read(pid, &st))
		kind = python_name(st.comm, version);
	return kind;
}

/* Returns: enum python_kind, -errno. */
static int by_mapped_names(pid_t pid, char version[PYTHON_NAME_VERSION])
{
	struct proc_maps maps = {0};
	int kind = proc_maps_read(pid, &maps);

	for (size_t i = 0; kind == 0 && i < maps.count; i++) {
		if (maps.items[i].exec)
			kind = python_name(maps.items[i].path, version);
	}
	proc_maps_release(&maps);
	return kind;
}

/* Was this file looked at before, without a find? Lists have the same programs many times. */
static bool seen_before(const struct stat *st)
{
	static struct {
		dev_t dev;
		ino_t ino;
	} files[SEEN_MAX];
	static size_t count;

	for (size_t i = 0; i < count; i++) {
		if (files[i].dev == st->st_dev && files[i].ino == st->st_ino)
			return true;
	}
	if (count < SEEN_MAX) {
		files[count].dev = st->st_dev;
		files[count++].ino = st->st_ino;
	}
	return false;
}

bool python_texts_in(const struct elf_image *img)
{
	/* Python/pylifecycle.c, every version. Put together here, so that it does not stand in our own file. */
	static const char *const volatile language = "Python";
	char text[32];

	snprintf(text, sizeof(text), "Fatal %s error: ", language);
	const uint8_t *data = elf_image_at(img, 0, img->len);

	return data && memmem(data, img->len, text, strlen(text)) != NULL;
}

/* A program with the interpreter linked in, under any name: extension modules need its exported types. */
static enum python_kind by_contents(pid_t pid)
{
	_cleanup_(elf_image_freep) struct elf_image *img = NULL;
	struct timed_file file;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	if (timed_open(path, TIMED_IO_MS, &file))
		return PYTHON_NONE;
	int err = seen_before(&file.st) ? -EALREADY : elf_image_open_fd(file.fd, &img);

	close(file.fd);
	if (err)
		return PYTHON_NONE;
	return elf_image_symbol(img, "PyCode_Type") || python_texts_in(img) ? PYTHON_CPYTHON
									    : PYTHON_NONE;
}

int python_process_kind(pid_t pid, char version[PYTHON_NAME_VERSION])
{
	_cleanup_free_ char *exe = NULL;
	char exe_version[PYTHON_NAME_VERSION] = "";
	int exe_kind = PYTHON_NONE, kind = by_command(pid, version);

	if (!proc_readlink(pid, "exe", &exe))
		exe_kind = python_name(exe, exe_version);
	/* "python3" is a link to the name with the version. */
	if (exe_kind && (!kind || !*version)) {
		kind = exe_kind;
		memcpy(version, exe_version, sizeof(exe_version));
	}
	if (!kind)
		kind = by_mapped_names(pid, version);
	if (!kind)
		kind = by_contents(pid);
	return kind < 0 && kind != -EACCES ? PYTHON_NONE : kind;
}
