/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: a tracemalloc pickle that may be anything. Holds: no crash, the same result from memory and
 * through the window of a file; -EBADMSG and -EFBIG say why; what is read is a sound snapshot: sums fit,
 * frames are inside, text is UTF-8, no two stacks are equal; and it comes back from our own writer as it
 * was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/utf8.h"
#include "pickle/pickle_read.h"
#include "report/export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void check_text(const struct intern *strings, str_id_t id)
{
	const char *s = intern_get(strings, id);
	const char *end = s + intern_len(strings, id);

	while (s < end) {
		size_t n = utf8_char_len(s);

		must(n && *s);
		s += n;
	}
}

static void check_snapshot(const struct snapshot *s, const struct pickle_info *info)
{
	uint64_t bytes = 0, blocks = 0;

	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		bytes += st->bytes;
		blocks += st->blocks;
		must(st->blocks > 0 && st->domain < SNAP_DOMAINS + s->foreign_count);
		must(st->first_frame + (size_t)st->frame_count <= s->frame_count);
		for (size_t k = 0; k < st->frame_count; k++) {
			const struct snap_frame *f = &s->frames[st->first_frame + k];

			check_text(s->strings, f->file);
			check_text(s->strings, f->function);
			must(f->line >= 0);
		}
	}
	must(bytes == s->live_bytes && bytes <= INT64_MAX);
	must(blocks == s->live_blocks && blocks == info->traces);
}

static bool same_stack(const struct snapshot *a, const struct snap_stack *x,
		       const struct snapshot *b, const struct snap_stack *y)
{
	if (x->frame_count != y->frame_count || x->truncated != y->truncated ||
	    snapshot_domain_number(a, x->domain) != snapshot_domain_number(b, y->domain))
		return false;
	for (size_t k = 0; k < x->frame_count; k++) {
		const struct snap_frame *f = &a->frames[x->first_frame + k];
		const struct snap_frame *g = &b->frames[y->first_frame + k];

		if (f->file.v != g->file.v || f->function.v != g->function.v || f->line != g->line)
			return false;
	}
	return true;
}

/* Written by our writer and read again: the same stacks in the same order. */
static void check_round_trip(const struct snapshot *s, struct intern *strings)
{
	struct export_opts opts = {.python_minor = 12};
	struct store_meta meta = {0};
	struct snapshot *again = NULL;
	struct pickle_info info;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	must(f && !export_format_by_name("tracemalloc")->write(f, s, &meta, &opts));
	must(!fclose(f));
	must(!pickle_read_mem(text, len, strings, &again, &info));
	must(again->stack_count == s->stack_count && again->live_bytes == s->live_bytes);
	for (size_t i = 0; i < s->stack_count; i++)
		must(same_stack(s, &s->stacks[i], again, &again->stacks[i]) &&
		     s->stacks[i].bytes == again->stacks[i].bytes &&
		     s->stacks[i].blocks == again->stacks[i].blocks);
	snapshot_free(again);
	free(text);
}

static struct snapshot *read_file(const uint8_t *data, size_t len, struct intern *strings, int *err)
{
	static int fd = -1;
	struct snapshot *s = NULL;
	struct pickle_info info;

	if (fd < 0)
		fd = memfd_create("pickle", MFD_CLOEXEC);
	must(fd >= 0 && !ftruncate(fd, 0) && pwrite(fd, data, len, 0) == (ssize_t)len);
	must(lseek(fd, 0, SEEK_SET) == 0);
	*err = pickle_read_fd(fd, strings, &s, &info);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct intern *strings = intern_new();
	struct snapshot *s = NULL, *from_file;
	struct pickle_info info;
	int err, file_err;

	must(strings != NULL);
	err = pickle_read_mem(data, len, strings, &s, &info);
	must(err == 0 || err == -EBADMSG || err == -EFBIG);
	must(!err == (s != NULL) && !err == !info.reason[0]);
	from_file = read_file(data, len, strings, &file_err);
	must(file_err == err);
	if (s) {
		must(from_file->stack_count == s->stack_count &&
		     from_file->live_bytes == s->live_bytes);
		check_snapshot(s, &info);
		check_round_trip(s, strings);
	}
	snapshot_free(from_file);
	snapshot_free(s);
	intern_free(strings);
	return 0;
}
