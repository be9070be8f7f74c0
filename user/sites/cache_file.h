/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files kept between runs, one per build-id and kind, in $XDG_CACHE_HOME/tmbpf, for root otherwise
 * /var/cache/tmbpf, else ~/.cache/tmbpf. What is read is believed only when nobody but us could have
 * written it: directory and file are ours, not links, not writable by group or others.
 */
#ifndef TM_SITES_CACHE_FILE_H
#define TM_SITES_CACHE_FILE_H

#include "base/buf.h"
#include "target/elf_image.h"

#define CACHE_FILE_MAX ((size_t)1 << 20) /* bytes; SITES_MAX sites of both kinds need 160 KiB */

/** The whole file; its last 8 bytes (checksum) are checked and cut off. Returns: 0, -ENOENT, -EPERM
 * (somebody else could have written it), -EBADMSG (checksum), -errno. Owns: buf_release(out). */
int cache_file_read(const struct elf_image *img, const char *kind, struct buf *out);

/** Replace the file in one step; mode 0600. Returns: 0, -ENOENT (no build-id or no directory), -errno. */
int cache_file_write(const struct elf_image *img, const char *kind, const struct buf *data);

#endif
