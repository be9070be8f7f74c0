/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files kept between runs, one per text and kind, in $XDG_CACHE_HOME/tmbpf, for root otherwise /var/cache/tmbpf,
 * else ~/.cache/tmbpf. Only files that no other user can have written are read: directory and file are ours, no
 * links, not writable by group or others. The directory is bounded by CACHE_FILES_MAX.
 */
#ifndef TM_SITES_CACHE_FILE_H
#define TM_SITES_CACHE_FILE_H

#include "base/buf.h"
#include "sites/sites.h"
#include "sites/text_id.h"

#define CACHE_FILE_MAX \
	((size_t)1 << 20)   /* bytes; SITES_MAX sites of each kind and their ranges: 340 KiB */
#define CACHE_FILES_MAX 256 /* the oldest are removed: a target chooses how many texts there are */

/** The whole file; its last 8 bytes (checksum) are checked and cut off. Returns: 0, -ENOENT, -EPERM
 * (another user could have written it), -EBADMSG (checksum), -errno. Owns: buf_release(out). */
int cache_file_read(const struct text_id *id, const char *kind, struct buf *out);

/** Replace the file in one step; mode 0600. Returns: 0, -ENOENT (no directory), -errno. */
int cache_file_write(const struct text_id *id, const char *kind, const struct buf *data);

/*
 * Parse an entry, proven in the text of img; see site_cache.c. Returns: 0, -EBADMSG, -ENOMEM. For fuzzing.
 */
int python_sites_parse(const struct elf_image *img, const struct text_id *id, unsigned minor,
		       const struct buf *b, struct python_sites *out);
int learned_sites_parse(const struct elf_image *img, const struct text_id *id, const struct buf *b,
			uint64_t **out, size_t *count);

#endif
