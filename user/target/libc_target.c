/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which object's malloc and free the target uses, by the dynamic linker's search order, and whose
 * allocator that is. Recognised by exported symbols, not by file names.
 */
#include "target/libc_target.h"

#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"

static bool defines_symbol(const struct target_object *o, const char *name)
{
	const struct elf_symbol *s = elf_image_symbol(o->image, name);

	return s && !s->local;
}

/* A statically linked glibc has the first name only when the program calls it, the second always. */
static const char *const glibc_names[] = {"gnu_get_libc_version", "_IO_2_1_stdout_"};

static bool defines_any(const struct target_object *o, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (defines_symbol(o, names[i]))
			return true;
	}
	return false;
}

/* The string after a marker that is in the text once; version ends at the first other character. */
static void version_after(const struct elf_image *img, const char *marker, char out[32])
{
	uint64_t vaddr = 0, off = 0, len = 0;
	size_t n = 0;

	if (!elf_image_section(img, ".rodata", &vaddr, &off, &len))
		return;
	const char *text = (const char *)elf_image_at(img, off, len);
	const char *at = text ? memmem(text, len, marker, strlen(marker)) : NULL;

	if (!at)
		return;
	at += strlen(marker);
	for (size_t left = len - (size_t)(at - text); n < left && n < 31; n++) {
		if (!isdigit((unsigned char)at[n]) && at[n] != '.')
			break;
		out[n] = at[n];
	}
	while (n && out[n - 1] == '.') /* "stable release version 2.36." */
		n--;
	out[n] = '\0';
}

/* musl has its version as a string of its own: "1.2.3" */
static void musl_version(const struct elf_image *img, char out[32])
{
	uint64_t vaddr = 0, off = 0, len = 0;
	unsigned a = 0, b = 0, c = 0;
	int used = 0;

	if (!elf_image_section(img, ".rodata", &vaddr, &off, &len))
		return;
	const char *pos = (const char *)elf_image_at(img, off, len), *end = pos + len;

	for (const char *nul; pos && pos < end; pos = nul + 1) {
		nul = memchr(pos, '\0', (size_t)(end - pos));
		if (!nul)
			return;
		if (nul - pos >= 5 && nul - pos <= 8 &&
		    sscanf(pos, "%2u.%2u.%2u%n", &a, &b, &c, &used) == 3 && pos + used == nul) {
			snprintf(out, 32, "%u.%u.%u", a, b, c);
			return;
		}
	}
}

static void identify_libc(struct libc_target *out)
{
	const struct target_object *o = out->object;

	if (defines_any(o, glibc_names, ARRAY_LEN(glibc_names))) {
		out->kind = LIBC_GLIBC;
		version_after(o->image, "release version ", out->version);
	} else if (defines_symbol(o, "__libc_start_main") && defines_symbol(o, "__dls3")) {
		/* musl's libc.so is its dynamic linker too; __dls2b and __dls3 are its stages */
		out->kind = LIBC_MUSL;
		musl_version(o->image, out->version);
	} else {
		out->kind = LIBC_OTHER;
	}
}

int libc_target_find(struct target *t, struct libc_target *out)
{
	struct libc_target found = {.object = target_object_defining(t, "malloc")};

	if (!found.object)
		return -ENOENT;
	if (!defines_symbol(found.object, "free"))
		log_info("%s defines malloc but not free", found.object->path);
	identify_libc(&found);
	log_info("malloc is that of %s (%s %s)", found.object->path,
		 found.kind == LIBC_GLIBC  ? "glibc"
		 : found.kind == LIBC_MUSL ? "musl"
					   : "not the C library",
		 found.version);
	*out = found;
	return 0;
}

bool libc_is_glibc(struct target *t)
{
	for (size_t i = 0; i < ARRAY_LEN(glibc_names); i++) {
		if (target_object_defining(t, glibc_names[i]))
			return true;
	}
	return false;
}
