/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads a gzipped profile.proto far enough for the tests: its tables with strings put in. Field numbers
 * are written out here a second time on purpose. All static.
 */
#ifndef TM_TEST_PPROF_DECODE_H
#define TM_TEST_PPROF_DECODE_H

#include <zlib.h>

#include "export_fixture.h"

#define MAX 512

struct field { /* one field of a message */
	unsigned number;
	uint64_t value;	     /* wire type 0 */
	const uint8_t *data; /* wire type 2 */
	size_t len;
};

struct label {
	const char *key, *str, *unit;
	uint64_t num;
};

struct sample {
	uint64_t locations[MAX], values[16];
	size_t location_count, value_count;
	struct label labels[8];
	size_t label_count;
};

struct profile {
	uint8_t *raw;
	size_t raw_len;
	const char *strings[4096];
	size_t string_count;
	const char *types[8], *units[8];
	size_t type_count;
	struct sample *samples;
	size_t sample_count;
	struct {
		const char *file;
		bool functions, files, lines;
		uint64_t start, limit;
	} mappings[16];
	size_t mapping_count;
	struct {
		uint64_t mapping, address, function, line;
	} locations[MAX];
	size_t location_count;
	struct {
		const char *name, *system_name, *file;
		uint64_t start_line;
	} functions[MAX];
	size_t function_count;
	const char *comments[16];
	size_t comment_count;
	const char *default_type, *period_type, *period_unit;
	uint64_t period, time_ns, duration_ns;
};

static uint64_t read_varint(const uint8_t **p, const uint8_t *end)
{
	uint64_t v = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(*p < end && shift < 70);
		v |= (uint64_t)(**p & 0x7f) << shift;
		if (!(*(*p)++ & 0x80))
			return v;
	}
}

static bool next_field(const uint8_t **p, const uint8_t *end, struct field *f)
{
	uint64_t key;

	if (*p == end)
		return false;
	key = read_varint(p, end);
	*f = (struct field){.number = (unsigned)(key >> 3)};
	if ((key & 7) == 0) {
		f->value = read_varint(p, end);
	} else {
		assert_int_equal(key & 7, 2);
		f->len = read_varint(p, end);
		assert_true(f->len <= (size_t)(end - *p));
		f->data = *p;
		*p += f->len;
	}
	return true;
}

#define FOR_FIELDS(f, d, n) \
	for (const uint8_t *p_ = (d), *end_ = (d) + (n); next_field(&p_, end_, &(f));)

static const char *string_of(const struct profile *pr, uint64_t id)
{
	assert_true(id < pr->string_count);
	return pr->strings[id];
}

static size_t read_packed(const struct field *f, uint64_t *out, size_t cap)
{
	const uint8_t *p = f->data, *end = f->data + f->len;
	size_t n = 0;

	while (p < end) {
		assert_true(n < cap);
		out[n++] = read_varint(&p, end);
	}
	return n;
}

static void read_label(const struct profile *pr, const struct field *in_sample, struct sample *s)
{
	struct label *l = &s->labels[s->label_count++];
	struct field f;

	assert_true(s->label_count <= ARRAY_LEN(s->labels));
	FOR_FIELDS(f, in_sample->data, in_sample->len)
	{
		if (f.number == 1)
			l->key = string_of(pr, f.value);
		else if (f.number == 2)
			l->str = string_of(pr, f.value);
		else if (f.number == 3)
			l->num = f.value;
		else if (f.number == 4)
			l->unit = string_of(pr, f.value);
	}
}

static void read_sample(struct profile *pr, const struct field *in_profile)
{
	struct sample *s;
	struct field f;

	pr->samples = realloc(pr->samples, (pr->sample_count + 1) * sizeof(*s));
	s = &pr->samples[pr->sample_count++];
	memset(s, 0, sizeof(*s));
	FOR_FIELDS(f, in_profile->data, in_profile->len)
	{
		if (f.number == 1)
			s->location_count = read_packed(&f, s->locations, MAX);
		else if (f.number == 2)
			s->value_count = read_packed(&f, s->values, ARRAY_LEN(s->values));
		else if (f.number == 3)
			read_label(pr, &f, s);
	}
}

static void read_mapping(struct profile *pr, const struct field *in_profile)
{
	size_t i = pr->mapping_count++;
	struct field f;

	assert_true(i < ARRAY_LEN(pr->mappings));
	FOR_FIELDS(f, in_profile->data, in_profile->len)
	{
		if (f.number == 1)
			assert_int_equal(f.value, i + 1);
		else if (f.number == 2)
			pr->mappings[i].start = f.value;
		else if (f.number == 3)
			pr->mappings[i].limit = f.value;
		else if (f.number == 5)
			pr->mappings[i].file = string_of(pr, f.value);
		else if (f.number == 7)
			pr->mappings[i].functions = f.value;
		else if (f.number == 8)
			pr->mappings[i].files = f.value;
		else if (f.number == 9)
			pr->mappings[i].lines = f.value;
	}
}

static void read_location(struct profile *pr, const struct field *in_profile)
{
	size_t i = pr->location_count++;
	struct field f, g;

	assert_true(i < MAX);
	FOR_FIELDS(f, in_profile->data, in_profile->len)
	{
		if (f.number == 1)
			assert_int_equal(f.value, i + 1);
		else if (f.number == 2)
			pr->locations[i].mapping = f.value;
		else if (f.number == 3)
			pr->locations[i].address = f.value;
		if (f.number != 4)
			continue;
		FOR_FIELDS(g, f.data, f.len)
		{
			if (g.number == 1)
				pr->locations[i].function = g.value;
			else if (g.number == 2)
				pr->locations[i].line = g.value;
		}
	}
}

static void read_function(struct profile *pr, const struct field *in_profile)
{
	size_t i = pr->function_count++;
	struct field f;

	assert_true(i < MAX);
	pr->functions[i].name = pr->functions[i].system_name = pr->functions[i].file = "";
	FOR_FIELDS(f, in_profile->data, in_profile->len)
	{
		if (f.number == 1)
			assert_int_equal(f.value, i + 1);
		else if (f.number == 2)
			pr->functions[i].name = string_of(pr, f.value);
		else if (f.number == 3)
			pr->functions[i].system_name = string_of(pr, f.value);
		else if (f.number == 4)
			pr->functions[i].file = string_of(pr, f.value);
		else if (f.number == 5)
			pr->functions[i].start_line = f.value;
	}
}

static void read_type(const struct profile *pr, const struct field *in_profile, const char **type,
		      const char **unit)
{
	struct field f;

	FOR_FIELDS(f, in_profile->data, in_profile->len)
	{
		if (f.number == 1)
			*type = string_of(pr, f.value);
		else if (f.number == 2)
			*unit = string_of(pr, f.value);
	}
}

static void read_comments(struct profile *pr, const struct field *f)
{
	uint64_t ids[16];
	size_t n = read_packed(f, ids, ARRAY_LEN(ids));

	for (size_t i = 0; i < n; i++)
		pr->comments[pr->comment_count++] = string_of(pr, ids[i]);
}

static void read_top(struct profile *pr, const struct field *f)
{
	switch (f->number) {
	case 1:
		read_type(pr, f, &pr->types[pr->type_count], &pr->units[pr->type_count]);
		pr->type_count++;
		return;
	case 2:
		return read_sample(pr, f);
	case 3:
		return read_mapping(pr, f);
	case 4:
		return read_location(pr, f);
	case 5:
		return read_function(pr, f);
	case 9:
		pr->time_ns = f->value;
		return;
	case 10:
		pr->duration_ns = f->value;
		return;
	case 11:
		return read_type(pr, f, &pr->period_type, &pr->period_unit);
	case 12:
		pr->period = f->value;
		return;
	case 13:
		return read_comments(pr, f);
	case 14:
		pr->default_type = string_of(pr, f->value);
		return;
	case 6:
		return;
	default:
		fail_msg("field %u", f->number);
	}
}

static void inflate_text(struct profile *pr)
{
	z_stream z = {.next_in = (uint8_t *)text, .avail_in = (unsigned)text_len};
	size_t cap = 1 << 22;

	pr->raw = malloc(cap);
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	z.next_out = pr->raw;
	z.avail_out = (unsigned)cap;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	pr->raw_len = z.total_out;
	inflateEnd(&z);
}

/* Strings come last in the file and first here. */
static void read_strings(struct profile *pr)
{
	struct field f;
	uint8_t *store;

	FOR_FIELDS(f, pr->raw, pr->raw_len)
	{
		if (f.number != 6)
			continue;
		assert_true(pr->string_count < ARRAY_LEN(pr->strings));
		store = calloc(1, f.len + 1);
		memcpy(store, f.data, f.len);
		pr->strings[pr->string_count++] = (char *)store;
	}
}

static struct profile *decode(void)
{
	struct profile *pr = calloc(1, sizeof(*pr));
	struct field f;

	inflate_text(pr);
	read_strings(pr);
	FOR_FIELDS(f, pr->raw, pr->raw_len)
	read_top(pr, &f);
	return pr;
}

static void profile_free(struct profile *pr)
{
	for (size_t i = 0; i < pr->string_count; i++)
		free((void *)(uintptr_t)pr->strings[i]);
	free(pr->samples);
	free(pr->raw);
	free(pr);
}

#endif
