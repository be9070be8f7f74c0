/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * While grouping, ids are compared instead of strings, since equal ids are equal strings. Texts are
 * compared only to order groups of equal numbers. UTF-8 sorts by bytes as Python sorts by code points.
 */
#include "analyze/stat_key.h"

#include <string.h>

#include "base/hash.h"

/* ---- native code ---- */

static bool ends_with(const char *s, size_t len, const char *end)
{
	size_t n = strlen(end);

	return len >= n && !memcmp(s + len - n, end, n);
}

/* "libz.so", "libxml2.so.2" */
static bool is_shared_object(const char *name, size_t len)
{
	while (len && (name[len - 1] == '.' || (name[len - 1] >= '0' && name[len - 1] <= '9')))
		len--;
	return ends_with(name, len, ".so");
}

bool stat_frame_is_native(const struct intern *strings, uint8_t domain, const struct snap_frame *f)
{
	const char *name;
	size_t len;

	if (domain == SNAP_PYTHON || f->line)
		return false;
	name = intern_get(strings, f->file);
	len = intern_len(strings, f->file);
	if (snapshot_file_is_python(name, len))
		return false;
	/* Without a symbol the name must tell: in a pickle any file may have line 0. */
	return f->function.v || is_shared_object(name, len);
}

/* ---- hash and equality ---- */

static struct snap_frame key_place(const struct statistics *in, uint8_t domain,
				   const struct snap_frame *f)
{
	return in->key == STAT_TRACEBACK ? stat_place(in->snap->strings, domain, f) : *f;
}

uint64_t statistic_hash(const struct statistics *in, const struct statistic *st)
{
	uint64_t hash = in->split_domains ? st->domain + 1u : 0;
	const struct snap_frame *frames;
	size_t count;

	frames = statistic_frames(st, &count);
	hash = hash_mix(hash, count);
	for (size_t i = 0; i < count; i++) {
		struct snap_frame p = key_place(in, st->domain, &frames[i]);

		hash = hash_mix(hash, (uint64_t)p.file.v << 32 | (uint32_t)p.line);
		if (p.function.v)
			hash = hash_mix(hash, p.function.v);
	}
	return hash_mix(hash, 1);
}

bool statistic_equals(const struct statistics *in, const struct statistic *a,
		      const struct statistic *b)
{
	const struct snap_frame *fa, *fb;
	size_t na, nb;

	if (in->split_domains && a->domain != b->domain)
		return false;
	fa = statistic_frames(a, &na);
	fb = statistic_frames(b, &nb);
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++) {
		if (!stat_place_equals(key_place(in, a->domain, &fa[i]),
				       key_place(in, b->domain, &fb[i])))
			return false;
	}
	return true;
}

/* ---- order ---- */

struct text { /* up to three pieces, read as one string */
	struct {
		const char *s;
		size_t len;
	} part[3];
	int count;
};

static void add_part(struct text *t, const char *s, size_t len)
{
	t->part[t->count].s = s;
	t->part[t->count++].len = len;
}

static struct text file_text(const struct intern *in, struct snap_frame p)
{
	struct text t = {0};

	add_part(&t, intern_get(in, p.file), intern_len(in, p.file));
	if (p.function.v) {
		add_part(&t, "!", 1);
		add_part(&t, intern_get(in, p.function), intern_len(in, p.function));
	}
	return t;
}

static int cmp_text(struct text a, struct text b)
{
	int i = 0, j = 0;

	for (;;) {
		size_t len;
		int c;

		while (i < a.count && !a.part[i].len)
			i++;
		while (j < b.count && !b.part[j].len)
			j++;
		if (i == a.count || j == b.count)
			return (i < a.count) - (j < b.count);
		len = a.part[i].len < b.part[j].len ? a.part[i].len : b.part[j].len;
		c = memcmp(a.part[i].s, b.part[j].s, len);
		if (c)
			return c;
		a.part[i].s += len;
		a.part[i].len -= len;
		b.part[j].s += len;
		b.part[j].len -= len;
	}
}

static int cmp_place(const struct intern *in_a, struct snap_frame a, const struct intern *in_b,
		     struct snap_frame b)
{
	int c = 0;

	if (in_a != in_b || a.file.v != b.file.v || a.function.v != b.function.v)
		c = cmp_text(file_text(in_a, a), file_text(in_b, b));
	return c ? c : (a.line > b.line) - (a.line < b.line);
}

int statistic_cmp_key(const struct statistics *in_a, const struct statistic *a,
		      const struct statistics *in_b, const struct statistic *b)
{
	const struct snap_frame *fa, *fb;
	size_t na, nb;
	int c = 0;

	fa = statistic_frames(a, &na);
	fb = statistic_frames(b, &nb);
	for (size_t i = 1; !c && i <= na && i <= nb; i++)
		c = cmp_place(in_a->snap->strings, key_place(in_a, a->domain, &fa[na - i]),
			      in_b->snap->strings, key_place(in_b, b->domain, &fb[nb - i]));
	if (!c)
		c = (na > nb) - (na < nb);
	/* A difference is left only when domains are separate groups. */
	return c ? c : (a->domain < b->domain) - (a->domain > b->domain);
}
