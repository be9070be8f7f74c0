/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Line tables of interpreters of this machine with their own answers (gen_linetable_vectors.py), against ours. */
#ifndef TM_TESTS_SYMBOLIZE_LINE_VECTORS_H
#define TM_TESTS_SYMBOLIZE_LINE_VECTORS_H

#include "symbolize/symbolize.h"
#include "tests/unit/python_process.h"

/* Code objects taken from each interpreter; TMBPF_TEST_CODES=100000 takes the whole library. */
#define CODES_DEFAULT "4000"
#define CODES_LEAST   3000

typedef int32_t (*line_fn)(const uint8_t *table, size_t len, int32_t firstlineno, int64_t offset);

struct vectors {
	size_t codes, instructions, mismatches;
};

static inline bool read_exactly(FILE *f, void *out, size_t len)
{
	return fread(out, 1, len, f) == len;
}

/* One record. Returns: false at the end. */
static inline bool vector_check(FILE *f, line_fn line_of, struct vectors *v)
{
	struct {
		int32_t firstlineno;
		uint32_t table_len, units;
	} head;

	if (!read_exactly(f, &head, sizeof(head)))
		return false;
	assert_true(head.table_len < 1u << 24 && head.units < 1u << 24);

	size_t count = (size_t)head.units + 2;
	uint8_t *table = malloc(head.table_len);
	int32_t *lines = malloc(count * sizeof(*lines));

	assert_true(table && lines);
	assert_true(read_exactly(f, table, head.table_len));
	assert_true(read_exactly(f, lines, count * sizeof(*lines)));
	for (size_t i = 0; i < count; i++) {
		int64_t offset = 2 * ((int64_t)i - 1);
		int32_t line = line_of(table, head.table_len, head.firstlineno, offset);

		if (line == lines[i])
			continue;
		if (v->mismatches++ < 10)
			print_error("code object %zu, offset %lld: CPython %d, we %d\n", v->codes,
				    (long long)offset, lines[i], line);
	}
	v->codes++;
	v->instructions += count;
	free(table);
	free(lines);
	return true;
}

/* option: of the interpreter, NULL for none. */
static inline void vectors_compare(const struct python *p, const char *option, line_fn line_of)
{
	const char *codes = getenv("TMBPF_TEST_CODES");
	char *script = python_script(__FILE__, "gen_linetable_vectors.py");
	const char *args[] = {"-S", "-c", script, codes ? codes : CODES_DEFAULT, NULL, NULL, NULL};
	struct vectors v = {0};
	int out, status = -1;

	assert_non_null(script);
	if (option) {
		args[0] = "-SX";
		args[1] = option;
		args[2] = "-c";
		args[3] = script;
		args[4] = codes ? codes : CODES_DEFAULT;
	}
	pid_t pid = python_start(p, args, NULL, NULL, &out);
	FILE *f = fdopen(out, "r");

	assert_true(pid > 0);
	assert_non_null(f);
	while (vector_check(f, line_of, &v))
		;
	fclose(f);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	free(script);
	print_message("%s %s: %zu code objects, %zu instructions, %zu mismatches\n", p->name,
		      option ? option : "", v.codes, v.instructions, v.mismatches);
	assert_true(v.codes > CODES_LEAST);
	assert_int_equal(v.mismatches, 0);
}

/* Of every version from 3.first to 3.last two builds. Returns: how many there are. */
static inline size_t vectors_compare_all(unsigned first, unsigned last, line_fn line_of)
{
	struct python pythons[PYTHONS_MAX];
	size_t n = pythons_find(pythons), done = 0;
	unsigned builds[100] = {0};

	for (size_t i = 0; i < n; i++) {
		unsigned minor = pythons[i].minor;

		if (pythons[i].major != 3 || minor < first || minor > last || ++builds[minor] > 2)
			continue;
		vectors_compare(&pythons[i], NULL, line_of);
		done++;
	}
	return done;
}

#endif
