/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: a snapshot with odd names through every export writer, read back. Input: five bytes of
 * options, then stacks: domain, size (2 bytes), count, thread, number of frames, and for each frame which
 * name and which line. Names are pieces of the input itself, made well-formed as capture does.
 * Holds: no crash; equal bytes when written twice; sums of what is read back are the snapshot's: pprof by
 * its fields, tracemalloc by our reader, folded and CSV by their lines; JSON is valid to SQLite.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/cursor.h"
#include "base/utf8.h"
#include "pickle/pickle_read.h"
#include "report/export.h"

#define STACKS_MAX 16
#define FRAMES_MAX 7
#define NAME_LEN   7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct input {
	const uint8_t *data, *names;
	size_t len, names_len;
};

struct text { /* what a writer made */
	char *data;
	size_t len;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static uint8_t take(struct input *in)
{
	if (!in->len)
		return 0;
	in->len--;
	return *in->data++;
}

static str_id_t name(struct input *in, struct intern *strings)
{
	size_t at = take(in), n = 0;
	char text[NAME_LEN + 1] = "";
	str_id_t id = {0};

	while (n < NAME_LEN && at < in->names_len && in->names[at])
		text[n++] = (char)in->names[at++];
	for (char *p = text; *p; p += utf8_char_len(p)) {
		if (!utf8_char_len(p))
			*p = '?';
	}
	must(!intern_str(strings, text, &id));
	return id;
}

static void add_stack(struct input *in, struct snapshot *s)
{
	struct snap_frame frames[FRAMES_MAX + 1];
	uint8_t number = take(in), domain;
	uint64_t size = take(in) | (uint64_t)take(in) << 8, count = take(in) % 8;
	str_id_t thread = name(in, s->strings);
	size_t depth = take(in) & FRAMES_MAX;

	/* What holds blocks holds bytes or not; what holds none holds no bytes. */
	size = count ? size : 0;
	must(!snapshot_domain_of(s, number & 1 ? SNAP_NUMBER_NATIVE : number / 2, &domain));
	for (size_t i = 0; i < depth; i++) {
		frames[i].file = name(in, s->strings);
		frames[i].function = name(in, s->strings);
		frames[i].line = domain == SNAP_NATIVE && i == 0 ? 0 : 1 + take(in) % 3;
	}
	must(!snapshot_add(s, (enum snap_domain)domain, frames, depth, number & 0x40, size, count));
	if (number & 0x80)
		s->stacks[s->stack_count - 1].thread = thread;
	if (number & 0x20) {
		s->stacks[s->stack_count - 1].alloc_bytes = size * 3;
		s->stacks[s->stack_count - 1].alloc_blocks = count * 2;
	}
}

static struct text written(const struct export_format *f, const struct snapshot *s,
			   const struct store_meta *meta, const struct export_opts *opts)
{
	struct text t = {0};
	FILE *out = open_memstream(&t.data, &t.len);

	must(out && !f->write(out, s, meta, opts) && !fclose(out));
	return t;
}

/* ---- pprof: field numbers of profile.proto, written out a second time on purpose ---- */

static uint64_t varint(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = cursor_u8(c);

		v |= shift < 64 ? (uint64_t)(byte & 0x7f) << shift : 0;
		if (!(byte & 0x80))
			return v;
	}
	abort();
}

struct profile {
	uint64_t sums[EXPORT_VALUES], max_location, locations, strings, max_string;
};

/* A field: its number, and its value or its bytes. */
static unsigned field(struct cursor *c, uint64_t *value, struct cursor *bytes)
{
	uint64_t key = varint(c);

	*bytes = cursor_init(NULL, 0);
	*value = varint(c);
	must((key & 7) == 0 || (key & 7) == 2);
	if ((key & 7) == 2) {
		const uint8_t *at = cursor_bytes(c, *value);

		must(at != NULL);
		*bytes = cursor_init(at, *value);
	}
	must(cursor_ok(c));
	return (unsigned)(key >> 3);
}

static void read_sample(struct profile *p, struct cursor c)
{
	struct cursor bytes;
	uint64_t value;

	while (cursor_left(&c)) {
		unsigned number = field(&c, &value, &bytes);

		for (size_t i = 0; cursor_left(&bytes) && number <= 2; i++) {
			uint64_t v = varint(&bytes);

			must(number == 1 || i < EXPORT_VALUES);
			if (number == 1 && v > p->max_location)
				p->max_location = v;
			else if (number == 2)
				p->sums[i] += v;
		}
	}
}

static void read_function(struct profile *p, struct cursor c)
{
	struct cursor bytes;
	uint64_t value;

	while (cursor_left(&c)) {
		unsigned number = field(&c, &value, &bytes);

		if (number >= 2 && number <= 4 && value > p->max_string)
			p->max_string = value;
	}
}

static void check_pprof(const struct text *t, const uint64_t want[EXPORT_VALUES])
{
	z_stream z = {.next_in = (uint8_t *)t->data, .avail_in = (unsigned)t->len};
	static uint8_t raw[1 << 20];
	struct profile p = {0};
	struct cursor c, bytes;
	uint64_t value;

	must(inflateInit2(&z, 15 + 16) == Z_OK);
	z.next_out = raw;
	z.avail_out = sizeof(raw);
	must(inflate(&z, Z_FINISH) == Z_STREAM_END && !z.avail_in);
	c = cursor_init(raw, z.total_out);
	inflateEnd(&z);
	while (cursor_left(&c)) {
		unsigned number = field(&c, &value, &bytes);

		p.locations += number == 4;
		p.strings += number == 6;
		if (number == 2)
			read_sample(&p, bytes);
		else if (number == 5)
			read_function(&p, bytes);
	}
	must(!memcmp(p.sums, want, sizeof(p.sums)));
	must(p.max_location <= p.locations && p.max_string < p.strings);
}

/* ---- the others ---- */

static void check_pickle(const struct text *t, const struct snapshot *s)
{
	struct intern *strings = intern_new();
	struct snapshot *back = NULL;
	struct pickle_info info;

	must(strings && !pickle_read_mem(t->data, t->len, strings, &back, &info));
	must(back->live_bytes == s->live_bytes && back->live_blocks == s->live_blocks);
	snapshot_free(back);
	intern_free(strings);
}

static void check_folded(const struct text *t, uint64_t want)
{
	uint64_t sum = 0;
	char *save = NULL;

	for (char *line = strtok_r(t->data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *space = strrchr(line, ' '), *end;

		must(space && space[1] >= '0' && space[1] <= '9');
		sum += strtoull(space + 1, &end, 10);
		must(!*end);
	}
	must(sum == want);
}

/* RFC 4180: 8 fields a record, the fifth and sixth are bytes and blocks. */
static void check_csv(const struct text *t, const struct snapshot *s)
{
	uint64_t sums[8] = {0}, value = 0;
	size_t column = 0, record = 0;
	bool quoted = false;

	for (size_t i = 0; i < t->len; i++) {
		char c = t->data[i];

		if (c == '"')
			quoted = !quoted;
		if (quoted || (c != ',' && c != '\n')) {
			value = c >= '0' && c <= '9' ? value * 10 + (uint64_t)(c - '0') : 0;
			continue;
		}
		must(column < 8);
		sums[column++] += record ? value : 0;
		value = 0;
		if (c == '\n') {
			must(column == 8);
			column = 0;
			record++;
		}
	}
	must(!quoted && !column && sums[4] == s->live_bytes && sums[5] == s->live_blocks);
}

static void check_json(const char *text, size_t len)
{
	static sqlite3 *db;
	static sqlite3_stmt *ask;

	if (!db)
		must(!sqlite3_open(":memory:", &db) &&
		     !sqlite3_prepare_v2(db, "SELECT json_valid(?1)", -1, &ask, NULL));
	must(!sqlite3_bind_text(ask, 1, text, (int)len, SQLITE_STATIC));
	must(sqlite3_step(ask) == SQLITE_ROW && sqlite3_column_int(ask, 0) == 1);
	sqlite3_reset(ask);
}

static void check_ndjson(const struct text *t)
{
	const char *at = t->data, *end = t->data + t->len;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		must(newline != NULL);
		check_json(at, (size_t)(newline - at));
		at = newline + 1;
	}
}

static void check(const struct export_format *f, const struct text *t, const struct snapshot *s,
		  enum export_value folded, const uint64_t want[EXPORT_VALUES])
{
	if (!strcmp(f->name, "pprof"))
		check_pprof(t, want);
	else if (!strcmp(f->name, "tracemalloc"))
		check_pickle(t, s);
	else if (!strcmp(f->name, "folded"))
		check_folded(t, want[folded]);
	else if (!strcmp(f->name, "csv"))
		check_csv(t, s);
	else if (!strcmp(f->name, "ndjson"))
		check_ndjson(t);
	else
		check_json(t->data, t->len);
}

/* What is alive, and what was allocated with it as its lower bound. */
static void sum_up(const struct snapshot *s, uint64_t want[EXPORT_VALUES])
{
	for (size_t i = 0; i < s->stack_count; i++) {
		const struct snap_stack *st = &s->stacks[i];

		want[EXPORT_INUSE_SPACE] += st->bytes;
		want[EXPORT_INUSE_OBJECTS] += st->blocks;
		want[EXPORT_ALLOC_SPACE] +=
			st->alloc_bytes > st->bytes ? st->alloc_bytes : st->bytes;
		want[EXPORT_ALLOC_OBJECTS] +=
			st->alloc_blocks > st->blocks ? st->alloc_blocks : st->blocks;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = {data, data, len, len};
	struct export_opts opts = {.value = (enum export_value)(take(&in) % EXPORT_VALUES),
				   .python_minor = 6 + take(&in) % 10,
				   .line_names = take(&in) & 1,
				   .filtered = {.stacks = take(&in)}};
	struct intern *strings = intern_new();
	struct snapshot *s = strings ? snapshot_new(strings) : NULL;
	struct store_meta meta = {.pid = 1, .frames = 25, .threads = take(&in) & 1};
	uint64_t want[EXPORT_VALUES] = {0};

	must(s != NULL);
	s->mode = "exact";
	meta.comm = meta.program = intern_get(strings, name(&in, strings));
	for (int n = 0; in.len && n < STACKS_MAX; n++)
		add_stack(&in, s);
	sum_up(s, want);
	for (const struct export_format *f = export_formats; f->name; f++) {
		struct text a = written(f, s, &meta, &opts), b = written(f, s, &meta, &opts);

		must(a.len == b.len && !memcmp(a.data, b.data, a.len));
		check(f, &a, s, opts.value, want);
		free(a.data);
		free(b.data);
	}
	snapshot_free(s);
	intern_free(strings);
	return 0;
}
