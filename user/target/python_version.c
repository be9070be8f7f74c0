/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which CPython a file is. From 3.11 on it exports its version number; before, the living interpreter
 * keeps the text of sys.version in a buffer, and the file names its library folder ("python3.9").
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/log.h"
#include "target/python_layout.h"

#define TEXT_MAX     250 /* version[] of Py_GetVersion(), Python/getversion.c, v3.6 to v3.10 */
#define DATA_MAX     (16u << 20) /* bytes of data and bss that we look through */
#define OLDEST_MINOR 6
#define MINORS	     100

/* PY_VERSION_HEX: major, minor, micro, then level (a, b, c, f) and serial; Include/patchlevel.h */
static void set_version_hex(struct python_target *out, uint32_t hex)
{
	char suffix[8] = "";
	unsigned level = hex >> 4 & 15;

	if (level != 15)
		snprintf(suffix, sizeof(suffix), "%s%u",
			 level == 10   ? "a"
			 : level == 11 ? "b"
				       : "rc",
			 hex & 15);
	out->major = hex >> 24;
	out->minor = hex >> 16 & 255;
	out->micro = hex >> 8 & 255;
	snprintf(out->version, sizeof(out->version), "%u.%u.%u%s", out->major, out->minor,
		 out->micro, suffix);
}

static bool exported_version(const struct elf_image *img, uint32_t *hex)
{
	const struct elf_symbol *s = elf_image_symbol(img, "Py_Version");
	const uint8_t *bytes = s ? elf_image_bytes(img, s->vaddr, 4) : NULL;
	struct cursor c;

	if (!bytes)
		return false;
	c = cursor_init(bytes, 4);
	*hex = cursor_u32(&c);
	return true;
}

/*
 * The minor that the file names as "python3.N". Only one, because a file that names several does not
 * identify itself. Returns: 0 when there is none, or not one.
 */
static unsigned minor_in_file(const struct elf_image *img)
{
	static const char word[] = "python3.";
	const char *at = (const char *)elf_image_at(img, 0, img->len), *end = at + img->len;
	bool seen[MINORS] = {false};
	unsigned found = 0, count = 0;

	while (at && (at = memmem(at, (size_t)(end - at), word, sizeof(word) - 1))) {
		unsigned minor = 0;
		const char *p = at + sizeof(word) - 1;

		for (; p < end && *p >= '0' && *p <= '9' && minor < MINORS; p++)
			minor = minor * 10 + (unsigned)(*p - '0');
		at += sizeof(word) - 1;
		if (minor < OLDEST_MINOR || minor >= MINORS || seen[minor])
			continue;
		seen[minor] = true;
		found = minor;
		count++;
	}
	return count == 1 ? found : 0;
}

/* Digits alone, at most so many: scanf() would take signs and blanks, too. */
static bool take_number(const char **text, unsigned digits, unsigned *out)
{
	const char *p = *text;

	for (*out = 0; *p >= '0' && *p <= '9' && p - *text < (int)digits; p++)
		*out = *out * 10 + (unsigned)(*p - '0');
	if (p == *text || (*p >= '0' && *p <= '9'))
		return false;
	*text = p;
	return true;
}

/*
 * "3.9.2 (default, Feb 28 2021, 17:03:44) \n[GCC 10.2.1 20210110]": the buffer of sys.version. From 3.10 on
 * without the newline.
 */
static bool parse_text(const char *text, struct python_target *out)
{
	unsigned minor = 0, micro = 0;
	char suffix[8] = "";

	if (strncmp(text, "3.", 2) != 0)
		return false;
	text += 2;
	if (!take_number(&text, 2, &minor) || *text++ != '.' || !take_number(&text, 3, &micro))
		return false;
	if (*text && *text != ' ')
		sscanf(text, "%7[a-z0-9+]", suffix);
	text += strlen(suffix);
	if (strncmp(text, " (", 2) != 0 || !(strstr(text, ") \n[") || strstr(text, ") [")))
		return false;
	out->major = 3;
	out->minor = minor;
	out->micro = micro;
	snprintf(out->version, sizeof(out->version), "3.%u.%u%s", minor, micro, suffix);
	return true;
}

static bool text_in(const char *data, size_t len, struct python_target *out)
{
	char text[TEXT_MAX + 1];

	for (const char *at = data; (at = memmem(at, len - (size_t)(at - data), "3.", 2)); at++) {
		size_t left = len - (size_t)(at - data);

		if (at > data && at[-1])
			continue;
		snprintf(text, sizeof(text), "%.*s", (int)(left < TEXT_MAX ? left : TEXT_MAX), at);
		if (parse_text(text, out))
			return true;
	}
	return false;
}

static bool text_in_data(const struct target *t, const struct target_object *obj,
			 struct python_target *out)
{
	for (size_t i = 0; i < obj->image->segment_count; i++) {
		const struct elf_segment *s = &obj->image->segments[i];
		size_t len = s->mem_len < DATA_MAX ? (size_t)s->mem_len : DATA_MAX;
		_cleanup_free_ char *data = NULL;

		if (!s->write || !len)
			continue;
		data = malloc(len);
		if (data && target_read(t, s->vaddr + obj->bias, data, len) == 0 &&
		    text_in(data, len, out))
			return true;
	}
	return false;
}

bool python_image_minor(const struct elf_image *img, unsigned *minor)
{
	uint32_t hex;

	if (exported_version(img, &hex)) {
		*minor = hex >> 16 & 0xff;
		return hex >> 24 == 3;
	}
	if (!elf_image_symbol(img, "Py_GetVersion") ||
	    !elf_image_symbol(img, "PyGILState_GetThisThreadState"))
		return false;
	*minor = minor_in_file(img);
	return *minor != 0;
}

/* The table at _PyRuntime of 3.13 on begins: cookie[8], u64 version = PY_VERSION_HEX, u64 free_threaded. */
static bool debug_header(const struct elf_image *img, uint64_t runtime_vaddr, uint64_t head[3])
{
	const uint8_t *table =
		runtime_vaddr ? elf_image_bytes(img, runtime_vaddr, 3 * sizeof(*head)) : NULL;
	struct cursor c;

	if (!table || memcmp(table, "xdebugpy", 8) != 0)
		return false;
	c = cursor_init(table, 3 * sizeof(*head));
	for (int i = 0; i < 3; i++)
		head[i] = cursor_u64(&c);
	return true;
}

bool python_is_free_threaded(const struct elf_image *img, uint64_t runtime_vaddr)
{
	uint64_t head[3];

	return debug_header(img, runtime_vaddr, head) && head[2];
}

bool python_version_read(const struct target *t, const struct target_object *obj,
			 uint64_t runtime_vaddr, struct python_target *out)
{
	uint64_t head[3];
	uint32_t hex;
	unsigned minor;

	if (exported_version(obj->image, &hex)) {
		set_version_hex(out, hex);
		return true;
	}
	if (debug_header(obj->image, runtime_vaddr, head)) {
		set_version_hex(out, (uint32_t)head[1]);
		return true;
	}
	minor = minor_in_file(obj->image);
	if (text_in_data(t, obj, out)) {
		if (minor && minor != out->minor)
			log_warn("%s contains the string python3.%u but reports version %s",
				 obj->path, minor, out->version);
		return true;
	}
	/*
	 * Use the minor version, because the interpreter is not initialised yet or its text was not
	 * found.
	 */
	out->major = 3;
	out->minor = minor;
	out->micro = 0;
	snprintf(out->version, sizeof(out->version), "3.%u", minor);
	return minor != 0;
}
