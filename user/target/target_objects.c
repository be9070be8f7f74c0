/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files a target has mapped executable: in which order its dynamic linker searches them, how to
 * open the right one from outside, where they are loaded.
 */
#include "target/target_objects.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/timed_io.h"
#include "target/elf_parse.h"
#include "target/target_task.h"

#define OVERLAYFS_MAGIC 0x794c7630 /* Linux include/uapi/linux/magic.h */
#define BTRFS_MAGIC	0x9123683e
#define OBJECTS_MAX	4096 /* mapped files with code */
#define LINK_MAP_MAX	4096 /* objects in a linker's list; more is a loop */
#define PAGE_MASK_LOW	((uint64_t)4095)

static bool is_file_of(const struct mapping *m, const struct target_object *o)
{
	return m->inode == o->inode && m->dev_major == o->dev_major && m->dev_minor == o->dev_minor;
}

static void object_free(struct target_object *o)
{
	if (!o)
		return;
	elf_image_free(o->image);
	cleanup_closep(&o->fd);
	free(o->open_path);
	free(o->path);
	free(o);
}
DEFINE_CLEANUP(struct target_object *, object_free);

void target_objects_release(struct target *t)
{
	for (size_t i = 0; i < t->object_count; i++)
		object_free(t->objects[i]);
	free(t->objects);
}

/*
 * Strip the target's root, because maps shows paths from ours; inside a chroot of our mount
 * namespace the target sees less.
 */
static const char *path_inside(const struct target *t, const char *path)
{
	size_t len = t->root ? strlen(t->root) : 0;

	if (len && strncmp(path, t->root, len) == 0 && path[len] == '/')
		return path + len;
	return path;
}

static struct target_object *find_object(struct target_object *const *objects, size_t count,
					 const struct mapping *m)
{
	for (size_t i = 0; i < count; i++) {
		if (is_file_of(m, objects[i]))
			return objects[i];
	}
	return NULL;
}

static struct target_object *new_object(const struct target *t, const struct mapping *m)
{
	_cleanup_(object_freep) struct target_object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->fd = -1;
	o->inode = m->inode;
	o->dev_major = m->dev_major;
	o->dev_minor = m->dev_minor;
	o->path = strdup(path_inside(t, m->path));
	return o->path ? take_ptr(o) : NULL;
}

/*
 * The file of exe comes first. Compare the path instead of the device, which stat() gives differently
 * on overlay and btrfs.
 */
static bool is_exe(const struct target *t, const struct target_object *o)
{
	if (t->exe_inode)
		return o->inode == t->exe_inode &&
		       ((makedev(o->dev_major, o->dev_minor) == t->exe_dev) ||
			strcmp(o->path, path_inside(t, t->exe)) == 0);
	return strcmp(o->path, path_inside(t, t->exe)) == 0;
}

static void move_to(struct target *t, size_t from, size_t to)
{
	struct target_object *o = t->objects[from];

	memmove(&t->objects[to + 1], &t->objects[to], (from - to) * sizeof(struct target_object *));
	t->objects[to] = o;
}

static void move_exe_first(struct target *t)
{
	for (size_t i = 1; i < t->object_count; i++) {
		if (is_exe(t, t->objects[i])) {
			move_to(t, i, 0);
			return;
		}
	}
}

/* Where the linker's list starts: r_debug.r_map, from DT_DEBUG in the memory of exe. 0 = unknown. */
static uint64_t first_link_map(struct target *t, struct target_object *exe)
{
	const struct elf_dynamic *d = &exe->image->priv->dynamic;
	uint64_t vaddr = 0, debug = 0, map = 0;

	if (d->len == 0 || !elf_image_vaddr(exe->image, d->file_off, &vaddr))
		return 0;
	for (uint64_t off = 0; off + sizeof(Elf64_Dyn) <= d->len; off += sizeof(Elf64_Dyn)) {
		Elf64_Dyn dyn;

		if (target_read(t, vaddr + exe->bias + off, &dyn, sizeof(dyn)) ||
		    dyn.d_tag == DT_NULL)
			return 0;
		if (dyn.d_tag == DT_DEBUG) {
			debug = dyn.d_un.d_val;
			break;
		}
	}
	/* struct r_debug {int r_version; struct link_map *r_map; ...}, glibc and musl <link.h> */
	return debug && target_read_u64(t, debug + 8, &map) == 0 ? map : 0;
}

/*
 * Sorts objects as the dynamic linker searches them: addresses do not tell, and with a preloaded
 * allocator it matters who comes first. An entry's l_ld lies in a mapping of its file.
 */
static void sort_as_linked(struct target *t)
{
	if (t->object_count < 2 || target_object_open(t, t->objects[0]))
		return;
	uint64_t map = first_link_map(t, t->objects[0]);
	size_t next = 1;

	for (size_t n = 0; map && n < LINK_MAP_MAX; n++) {
		uint64_t entry[4]; /* struct link_map: l_addr, l_name, l_ld, l_next; <link.h> */

		if (target_read(t, map, entry, sizeof(entry)))
			break;
		const struct mapping *m = proc_maps_find(&t->maps, entry[2]);

		for (size_t i = next; m && m->inode && i < t->object_count; i++) {
			if (is_file_of(m, t->objects[i])) {
				move_to(t, i, next++);
				break;
			}
		}
		map = entry[3];
	}
	log_debug("dynamic linker of %d lists %zu files", t->pid, next);
}

static void warn_many_objects(const struct target *t)
{
	if (log_ratelimit(1))
		log_coded_warn("W134", NULL,
			       "process %d maps code of more than %d files: the rest is not read, "
			       "its functions have no names",
			       (int)t->pid, OBJECTS_MAX);
}

int target_objects_update(struct target *t)
{
	struct target_object **list = NULL;
	size_t count = 0, cap = 0, known = t->object_count;

	list = array_grow(NULL, &cap, known + 1, sizeof(struct target_object *));
	if (!list)
		return -ENOMEM;
	if (known)
		memcpy(list, t->objects, known * sizeof(struct target_object *));
	count = known;
	tm_for_each_mapping(m, &t->maps) {
		if (!m->exec || !m->inode || find_object(list, count, m))
			continue;
		if (count >= OBJECTS_MAX) {
			warn_many_objects(t);
			break;
		}
		struct target_object *o = new_object(t, m);
		struct target_object **grown =
			o ? array_grow(list, &cap, count + 1, sizeof(struct target_object *))
			  : NULL;

		if (!grown) {
			object_free(o);
			while (count > known)
				object_free(list[--count]);
			free(list);
			return -ENOMEM;
		}
		list = grown;
		list[count++] = o;
	}
	free(t->objects);
	t->objects = list;
	t->object_count = count;
	for (size_t i = 0; i < count; i++)
		list[i]->first = list[i]->exec = NULL;
	tm_for_each_mapping(m, &t->maps) {
		struct target_object *o = m->inode ? find_object(list, count, m) : NULL;

		if (o && !o->first)
			o->first = m;
		if (o && !o->exec && m->exec)
			o->exec = m;
	}
	move_exe_first(t);
	sort_as_linked(t);
	return 0;
}

/*
 * Is this the mapped file? overlayfs and btrfs report another device through stat() than through maps
 * (measured on overlay: 44 and 65024, inode equal), so there, and through map_files, which cannot
 * mislead, the inode decides.
 */
static bool is_mapped_file(const struct target_object *o, const struct timed_file *file,
			   bool trusted)
{
	if (file->st.st_ino != o->inode)
		return false;
	if (trusted || file->st.st_dev == makedev(o->dev_major, o->dev_minor))
		return true;
	return file->fs_type == OVERLAYFS_MAGIC || file->fs_type == BTRFS_MAGIC;
}

/* Takes path. Returns: 0, -ENOENT (another file), -EBADMSG (no ELF), -errno. */
static int try_path(struct target_object *o, char *path, bool trusted)
{
	_cleanup_free_ char *owned = path;
	struct timed_file file = {.fd = -1};

	if (!owned)
		return -ENOMEM;
	int err = timed_open(path, TIMED_IO_MS, &file);

	if (err)
		return err;
	_cleanup_close_ int fd = file.fd;

	if (!is_mapped_file(o, &file, trusted))
		return -ENOENT;
	err = elf_image_open_fd(fd, &o->image);

	if (err)
		return err;
	o->open_path = take_ptr(owned);
	o->fd = take_fd(&fd);
	snprintf(o->attach_path, sizeof(o->attach_path), "/proc/self/fd/%d", o->fd);
	return 0;
}

static bool keep_trying(int err)
{
	return err && err != -EBADMSG && err != -ENOMEM && err != -EFBIG && err != -ETIMEDOUT;
}

static char *format_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *format_path(const char *fmt, ...)
{
	char *out = NULL;
	va_list args;

	va_start(args, fmt);
	int n = vasprintf(&out, fmt, args);
	va_end(args);
	return n < 0 ? NULL : out;
}

/* The ways to one mapped file, best first. */
static int open_any_way(const struct target *t, struct target_object *o)
{
	const struct mapping *m = o->exec ? o->exec : o->first;
	int err = try_path(o,
			   format_path("/proc/%d/map_files/%lx-%lx", target_task(t),
				       (unsigned long)m->start, (unsigned long)m->end),
			   true);

	if (keep_trying(err)) /* needs SYS_ADMIN or CHECKPOINT_RESTORE */
		err = try_path(o, format_path("/proc/%d/root%s", target_task(t), o->path), false);
	if (keep_trying(err) && is_exe(t, o))
		err = try_path(o, format_path("/proc/%d/exe", target_task(t)), true);
	if (keep_trying(err) && strcmp(o->path, m->path) != 0)
		err = try_path(o, format_path("/proc/%d/root%s", target_task(t), m->path), false);
	if (keep_trying(err) && !t->other_mnt_ns)
		err = try_path(o, strdup(m->path), false);
	if (keep_trying(err) && m->deleted) /* or a live file whose name ends like that */
		err = try_path(o, format_path("/proc/%d/root%s (deleted)", target_task(t), o->path),
			       false);
	return err;
}

/*
 * Only from an executable mapping, because a file may also be mapped as plain data, at offset 0 and
 * lower.
 */
static int find_bias(struct target_object *o)
{
	const struct elf_image *img = o->image;
	uint64_t off = o->exec->file_off;

	for (size_t i = 0; i < img->segment_count; i++) {
		const struct elf_segment *s = &img->segments[i];

		if (!s->exec || off + PAGE_MASK_LOW < s->file_off ||
		    off >= s->file_off + s->file_len)
			continue;
		o->bias = o->exec->start - (s->vaddr + off - s->file_off);
		if (img->type == ET_EXEC && o->bias != 0)
			return -EBADMSG;
		return 0;
	}
	return -EBADMSG;
}

static void warn_deleted(const struct target *t, const struct target_object *o)
{
	if (is_exe(t, o))
		log_coded_warn("W130", NULL,
			       "target replaced its binary on disk (%s (deleted)); using %s",
			       o->path, o->open_path);
	else
		log_info("%s was deleted or replaced on disk; using %s", o->path, o->open_path);
}

/* Limits that opening an object met. refused: elf_images_refused() before. */
static void note_trouble(const struct target *t, const struct target_object *o, int err,
			 uint64_t refused)
{
	if (err == -ETIMEDOUT && !target_is_unreadable(t))
		target_note_blocked(t, o->path);
	if (elf_images_refused() != refused && log_ratelimit(1))
		log_coded_warn("W133", NULL,
			       "the files mapped by process %d hold more than %zu MiB of tables: "
			       "'%s' and others are not read, their functions have no names",
			       (int)t->pid, ELF_KEPT_MAX >> 20, o->path);
}

int target_object_open(struct target *t, struct target_object *obj)
{
	if (obj->image || obj->open_err)
		return obj->open_err;
	if (!obj->exec)
		return -ENOENT;
	uint64_t refused = elf_images_refused();
	int err = target_is_unreadable(t) ? -ETIMEDOUT : open_any_way(t, obj);

	note_trouble(t, obj, err, refused);

	if (!err)
		err = find_bias(obj);
	if (err) {
		elf_image_free(take_ptr(obj->image));
		free(take_ptr(obj->open_path));
		cleanup_closep(&obj->fd);
		obj->fd = -1;
		log_info("cannot use mapped file '%s': %s", obj->path, strerror(-err));
		obj->open_err = err;
		return err;
	}
	if (obj->exec->deleted)
		warn_deleted(t, obj);
	return 0;
}

struct target_object *target_object_at(struct target *t, uint64_t addr)
{
	const struct mapping *m = proc_maps_find(&t->maps, addr);

	if (!m || !m->exec || !m->inode)
		return NULL;
	struct target_object *o = find_object(t->objects, t->object_count, m);

	return o && target_object_open(t, o) == 0 ? o : NULL;
}

struct target_object *target_object_defining(struct target *t, const char *symbol)
{
	for (size_t i = 0; i < t->object_count; i++) {
		struct target_object *o = t->objects[i];

		if (!o->exec || target_object_open(t, o))
			continue;
		const struct elf_symbol *s = elf_image_symbol(o->image, symbol);

		if (s && !s->local &&
		    (s->type == STT_FUNC || s->type == STT_OBJECT || s->type == STT_GNU_IFUNC))
			return o;
	}
	return NULL;
}
