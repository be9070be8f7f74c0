/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pickle by itself, and through our reader. What Python makes of it: tests/export. */
#include "export_fixture.h"

#include "base/log.h"
#include "pickle/pickle_read.h"

static struct snapshot *again;
static struct pickle_info info;

static int setup(void **state)
{
	again = NULL;
	return export_setup(state);
}

static int teardown(void **state)
{
	snapshot_free(again);
	return export_teardown(state);
}

static void read_back(void)
{
	snapshot_free(again);
	again = NULL;
	if (pickle_read_mem(text, text_len, in, &again, &info))
		fail_msg("our own file is refused: %s", info.reason);
}

static void round_trip(unsigned minor, uint64_t max_blocks)
{
	struct export_opts opts = {.python_minor = minor, .max_blocks = max_blocks};

	assert_int_equal(export_with("tracemalloc", &story_meta, &opts), 0);
	read_back();
}

static void assert_same(const struct snapshot *a, const struct snapshot *b, bool truncated)
{
	assert_int_equal(a->stack_count, b->stack_count);
	assert_int_equal(a->live_bytes, b->live_bytes);
	assert_int_equal(a->live_blocks, b->live_blocks);
	for (size_t i = 0; i < a->stack_count; i++) {
		const struct snap_stack *x = &a->stacks[i], *y = &b->stacks[i];

		assert_int_equal(x->bytes, y->bytes);
		assert_int_equal(x->blocks, y->blocks);
		assert_int_equal(snapshot_domain_number(a, x->domain),
				 snapshot_domain_number(b, y->domain));
		assert_int_equal(truncated && x->truncated, y->truncated);
		assert_int_equal(x->frame_count, y->frame_count);
		for (size_t k = 0; k < x->frame_count; k++) {
			const struct snap_frame *f = &a->frames[x->first_frame + k];
			const struct snap_frame *g = &b->frames[y->first_frame + k];

			assert_int_equal(f->file.v, g->file.v);
			assert_int_equal(f->line, g->line);
			assert_int_equal(f->function.v, g->function.v);
		}
	}
}

/* Byte by byte, as Lib/pickletools.py reads it. */
static void the_smallest_file(void **state)
{
	static const char want[] =
		"\x80\x04"
		"\x8c\x0btracemalloc\x8c\x08Snapshot\x93)\x81}("
		"\x8c\x06traces\x8c\x0btracemalloc\x8c\x07_Traces\x93)\x81}\x8c\x07_traces]("
		"(K\x00K\x05\x8c\x04"
		"a.py\x94K\x02\x86\x94\x85\x94K\x01t\x94h\x03"
		"esb"
		"\x8c\x0ftraceback_limitK\x19\x8c\x05tmbpf";
	static const char end[] = "ub.";
	struct export_opts opts = {.python_minor = 12};

	ADD(SNAP_PYTHON, 10, 2, frame("a.py", 2, ""));
	assert_int_equal(export_with("tracemalloc", &story_meta, &opts), 0);
	assert_true(text_len > sizeof(want));
	assert_memory_equal(text, want, sizeof(want) - 1);
	assert_memory_equal(text + text_len - 3, end, 3);
}

static void until_3_8_a_trace_has_three_items(void **state)
{
	struct store_meta meta = story_meta;
	struct export_opts opts = {0};
	static const char three[] = "a.py\x94K\x02\x86\x94\x85\x94\x87\x94"
				    "e";

	ADD(SNAP_PYTHON, 5, 1, frame("a.py", 2, ""));
	for (unsigned minor = 6; minor <= 15; minor++) {
		char version[16];
		int by_option, by_target;

		snprintf(version, sizeof(version), "3.%u.7", minor);
		opts.python_minor = minor;
		assert_int_equal(export_with("tracemalloc", &story_meta, &opts), 0);
		by_option = !!memmem(text, text_len, three, sizeof(three) - 1);
		opts.python_minor = 0;
		meta.python_version = version;
		assert_int_equal(export_with("tracemalloc", &meta, &opts), 0);
		by_target = !!memmem(text, text_len, three, sizeof(three) - 1);
		assert_int_equal(by_option, minor <= 8);
		assert_int_equal(by_target, minor <= 8);
	}
	/* A target without Python: for who reads today. */
	meta.python_version = NULL;
	assert_int_equal(export_with("tracemalloc", &meta, &opts), 0);
	assert_null(memmem(text, text_len, three, sizeof(three) - 1));
}

static void sum_and_count_are_exact(void **state)
{
	static const struct {
		uint64_t bytes, blocks;
	} rows[] = {{0, 1},
		    {1, 1},
		    {1, 2},
		    {10, 3},
		    {300, 300},
		    {299, 300},
		    {301, 300},
		    {1 << 20, 7},
		    {(1ull << 40) + 1, 3},
		    {INT64_MAX / 2, 1}};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[16];

		snprintf(name, sizeof(name), "%zu.py", i);
		ADD(SNAP_PYTHON, rows[i].bytes, rows[i].blocks, frame(name, 1, ""));
	}
	round_trip(12, 0);
	assert_same(snap, again, true);
	round_trip(8, 0);
	assert_same(snap, again, false);
}

static void domains_and_native_names_survive(void **state)
{
	uint8_t mmap, other;

	assert_int_equal(snapshot_domain_of(snap, 0x746d6202, &mmap), 0);
	assert_int_equal(snapshot_domain_of(snap, 389047, &other), 0);
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 0, ""));
	ADD(SNAP_NATIVE, 20, 2, frame("/lib/x.so", 0, "malloc"), frame("a.py", 7, ""));
	ADD(SNAP_NATIVE, 30, 3, frame("/lib/x.so", 0, ""));
	ADD(SNAP_NATIVE, 40, 4, frame("/lib/x.so", 0, "operator!=(a, b)"));
	ADD((enum snap_domain)mmap, 50, 5, frame("/lib/x.so", 0, "mmap64"));
	ADD((enum snap_domain)other, 60, 6, frame("np.py", 3, ""));
	add_unknown(SNAP_PYTHON, 70, 7);
	add_unknown(SNAP_NATIVE, 80, 8);
	snap->stacks[0].truncated = snap->stacks[6].truncated = true;
	round_trip(12, 0);
	assert_same(snap, again, true);
	assert_non_null(memmem(text, text_len, "/lib/x.so!malloc", 16));
}

static void functions_of_python_are_dropped(void **state)
{
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 3, "f"));
	ADD(SNAP_PYTHON, 10, 1, frame("a.py", 3, "g"));
	round_trip(12, 0);
	assert_int_equal(again->stack_count, 1);
	assert_int_equal(again->live_bytes, 20);
}

static void a_frame_without_a_file_is_no_unknown_stack(void **state)
{
	ADD(SNAP_PYTHON, 1, 1, frame("", 0, ""));
	add_unknown(SNAP_PYTHON, 2, 1);
	round_trip(12, 0);
	assert_same(snap, again, true);
}

static void stacks_without_live_blocks_are_left_out(void **state)
{
	ADD(SNAP_PYTHON, 0, 0, frame("a.py", 3, "f"));
	last_allocated(100, 1);
	round_trip(12, 0);
	assert_int_equal(again->stack_count, 0);
	assert_int_equal(info.traces, 0);
}

static unsigned warned;

static void on_warning(void *ctx, enum log_level level, const char *code, const char *message,
		       const char *fix)
{
	assert_int_equal(level, LOG_WARN);
	assert_string_equal(code, "W711");
	assert_non_null(fix);
	warned++;
}

static void too_many_blocks_keep_their_bytes(void **state)
{
	ADD(SNAP_PYTHON, 12345678, 100000, frame("a.py", 1, ""));
	ADD(SNAP_PYTHON, 777, 3, frame("b.py", 1, ""));
	ADD(SNAP_PYTHON, 50001, 50000, frame("c.py", 1, ""));
	log_set_sink(on_warning, NULL);
	warned = 0;
	round_trip(12, 1000);
	log_set_sink(NULL, NULL);
	assert_int_equal(warned, 1);
	assert_int_equal(again->live_bytes, snap->live_bytes);
	assert_int_equal(again->stack_count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(again->stacks[i].bytes, snap->stacks[i].bytes);
	assert_int_equal(again->stacks[0].blocks, 666);
	assert_int_equal(again->stacks[1].blocks, 1);
	assert_int_equal(again->stacks[2].blocks, 333);
	assert_non_null(memmem(text, text_len, "counts are scaled down", 22));
}

static void as_many_as_allowed_are_not_touched(void **state)
{
	ADD(SNAP_PYTHON, 5000, 1000, frame("a.py", 1, ""));
	log_set_sink(on_warning, NULL);
	warned = 0;
	round_trip(12, 1000);
	log_set_sink(NULL, NULL);
	assert_int_equal(warned, 0);
	assert_same(snap, again, true);
}

static void the_limit_is_the_meta_datas_or_the_longest_stack(void **state)
{
	struct export_opts opts = {0};

	ADD(SNAP_PYTHON, 1, 1, frame("a.py", 1, ""), frame("b.py", 1, ""), frame("c.py", 1, ""));
	round_trip(12, 0);
	assert_int_equal(info.traceback_limit, 25);
	assert_int_equal(export_with("tracemalloc", &(struct store_meta){0}, &opts), 0);
	read_back();
	assert_int_equal(info.traceback_limit, 3);
}

/* ---- random snapshots ---- */

static uint64_t rng_state;

static uint64_t rng(void)
{
	uint64_t z = rng_state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static struct snap_frame random_frame(bool native)
{
	static const char *const files[] = {"a.py",	"/x/\u00fc\u4e2d\U0001f40d.py",
					    "<string>", "<unknown>",
					    "\\udcff",	"q\"'\n\t",
					    ""};
	char name[400];

	if (native && rng() % 2) {
		snprintf(name, sizeof(name), "/lib/l%u.so", (unsigned)(rng() % 5));
		return frame(name, 0, rng() % 3 ? "sym!bol" : "");
	}
	if (rng() % 8 == 0) { /* around the length where strings change their opcode */
		size_t len = 250 + rng() % 10;

		memset(name, 'x', len);
		name[len] = '\0';
		return frame(name, (int)(rng() % 5), "");
	}
	return frame(files[rng() % ARRAY_LEN(files)],
		     (int)(rng() % 3 ? rng() % 400 : rng() % INT32_MAX), "");
}

static bool is_there(const struct snap_stack *st)
{
	for (size_t i = 0; i + 1 < snap->stack_count; i++) {
		const struct snap_stack *o = &snap->stacks[i];

		if (o->domain == st->domain && o->truncated == st->truncated &&
		    o->frame_count == st->frame_count &&
		    !memcmp(&snap->frames[o->first_frame], &snap->frames[st->first_frame],
			    st->frame_count * sizeof(struct snap_frame)))
			return true;
	}
	return false;
}

static void add_random(void)
{
	static const unsigned lengths[] = {0, 1, 2, 3, 4, 5, 128};
	struct snap_frame frames[128];
	size_t count = lengths[rng() % ARRAY_LEN(lengths)];
	uint8_t domain = (uint8_t)(rng() % 2);
	uint64_t blocks = 1 + (rng() % 9 ? rng() % 5 : rng() % 2000);
	uint64_t bytes = rng() >> (24 + rng() % 40);
	bool unknown;

	if (rng() % 10 == 0)
		assert_int_equal(snapshot_domain_of(snap, (uint32_t)rng() % 7 + 3, &domain), 0);
	for (size_t i = 0; i < count; i++)
		frames[i] = random_frame(domain == SNAP_NATIVE);
	/* This one is read as the stack that it stands for. */
	unknown = count == 1 && !frames[0].line && !frames[0].function.v &&
		  !strcmp(intern_get(in, frames[0].file), "<unknown>");
	assert_int_equal(snapshot_add(snap, (enum snap_domain)domain, frames, unknown ? 0 : count,
				      rng() % 2, bytes, blocks),
			 0);
	if (is_there(&snap->stacks[snap->stack_count - 1])) {
		snap->stack_count--;
		snap->live_bytes -= bytes;
		snap->live_blocks -= blocks;
	}
}

static void random_snapshots_come_back(void **state)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		size_t want = seed % 60;

		rng_state = seed;
		snapshot_free(snap);
		snap = snapshot_new(in);
		assert_non_null(snap);
		for (size_t i = 0; i < want; i++)
			add_random();
		round_trip(12, 0);
		assert_same(snap, again, true);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_smallest_file),
		T(until_3_8_a_trace_has_three_items),
		T(sum_and_count_are_exact),
		T(domains_and_native_names_survive),
		T(functions_of_python_are_dropped),
		T(a_frame_without_a_file_is_no_unknown_stack),
		T(stacks_without_live_blocks_are_left_out),
		T(too_many_blocks_keep_their_bytes),
		T(as_many_as_allowed_are_not_touched),
		T(the_limit_is_the_meta_datas_or_the_longest_stack),
		T(random_snapshots_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
