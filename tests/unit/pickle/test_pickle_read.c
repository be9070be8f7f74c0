/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "pickle/pickle_read.h"

/* Written by tests/export/gen_pickles.py with real interpreters. */
#define CORPUS "tests/fuzz/corpus/fuzz_pickle_read/"

static struct intern *in;
static struct snapshot *snap;
static struct pickle_info info;

static int setup(void **state)
{
	in = intern_new();
	snap = NULL;
	memset(&info, 0xff, sizeof(info));
	return in ? 0 : -1;
}

static int teardown(void **state)
{
	snapshot_free(snap);
	intern_free(in);
	return 0;
}

/* ---- a pickle by hand ---- */

#define HEAD		 "\x80\x04"
#define CLASS(name, len) "\x8c\x0btracemalloc\x8c" len name "\x93)\x81"
#define BEGIN                                                              \
	HEAD CLASS("Snapshot", "\x08") "}(\x8c\x06traces" CLASS("_Traces", \
								"\x07") "}\x8c\x07_traces"
#define END "sb\x8c\x0ftraceback_limitK\x19ub."
/* One frame ("a.py", 2). */
#define FRAME      \
	"\x8c\x04" \
	"a.pyK\x02\x86"

static int read_bytes(const char *data, size_t len)
{
	/* On the heap, exactly as long as it is: ASan sees a read behind it. */
	char *copy = malloc(len + !len);
	int err;

	assert_non_null(copy);
	memcpy(copy, data, len);
	err = pickle_read_mem(copy, len, in, &snap, &info);
	free(copy);
	return err;
}

#define READ(text) read_bytes(text, sizeof(text) - 1)

static void assert_refused(int err, int want, const char *why)
{
	if (err != want || !strstr(info.reason, why))
		fail_msg("%d, \"%s\"; expected %d, \"...%s...\"", err, info.reason, want, why);
	assert_null(snap);
}

/* ---- what came out ---- */

static const struct snap_stack *find_stack(uint32_t domain, const char *file, int line)
{
	for (size_t i = 0; i < snap->stack_count; i++) {
		const struct snap_stack *st = &snap->stacks[i];
		const struct snap_frame *f = &snap->frames[st->first_frame];

		if (snapshot_domain_number(snap, st->domain) != domain)
			continue;
		if (!file ? !st->frame_count
			  : st->frame_count && f->line == line &&
				    !strcmp(intern_get(in, f->file), file))
			return st;
	}
	fail_msg("no stack of %s:%d in domain %u", file ? file : "-", line, domain);
	return NULL;
}

static void assert_stack(uint32_t domain, const char *file, int line, uint64_t bytes,
			 uint64_t blocks, size_t frames, bool truncated)
{
	const struct snap_stack *st = find_stack(domain, file, line);

	assert_int_equal(st->bytes, bytes);
	assert_int_equal(st->blocks, blocks);
	assert_int_equal(st->frame_count, frames);
	assert_int_equal(st->truncated, truncated);
	assert_int_equal(st->alloc_bytes, 0);
	assert_int_equal(st->thread.v, 0);
}

/* The story of gen_pickles.py. `four`: the fourth item is there, and says what was cut. */
static void assert_story(bool four)
{
	const struct snap_stack *st;

	assert_int_equal(info.traces, 10);
	assert_int_equal(info.traceback_limit, 2);
	assert_int_equal(snap->stack_count, 8);
	assert_int_equal(snap->live_blocks, 10);
	assert_int_equal(snap->live_bytes,
			 30 + 2 + 66 + 7 + (1ull << 40) + 1 + 4096 + (1ull << 63) - (1ull << 42));
	assert_stack(0, "a.py", 2, 30, 3, 2, four);
	assert_stack(1, "a.py", 5, 2, 1, 2, four);
	assert_stack(2, "b.py", 1, 66, 1, 1, false);
	assert_stack(3, NULL, 0, 7, 1, 0, false);
	assert_stack(0, "/srv/\u00fc\u4e2d\U0001f40d.py", 70000, (1ull << 40) + 1, 1, 1, false);
	assert_stack(0, "/bad\\udcff\\ud800.py", 1, 0, 1, 3, false);
	assert_stack(SNAP_NUMBER_NATIVE, "/usr/lib/libxml2.so.2", 0, 4096, 1, 2, false);
	assert_stack(SNAP_NUMBER_NATIVE, "/usr/lib/libc.so.6", 0, (1ull << 63) - (1ull << 42), 1, 1,
		     false);

	st = find_stack(0, "/bad\\udcff\\ud800.py", 1);
	assert_string_equal(intern_get(in, snap->frames[st->first_frame + 1].file), "nul\\x00.py");
	assert_int_equal(intern_len(in, snap->frames[st->first_frame + 2].file), 300);
	assert_int_equal(snap->frames[st->first_frame + 2].line, 256);
	st = find_stack(SNAP_NUMBER_NATIVE, "/usr/lib/libxml2.so.2", 0);
	assert_string_equal(intern_get(in, snap->frames[st->first_frame].function), "xmlNewNode");
	assert_string_equal(intern_get(in, snap->frames[st->first_frame + 1].file), "b.py");
	assert_int_equal(snap->frames[st->first_frame + 1].function.v, 0);
	st = find_stack(SNAP_NUMBER_NATIVE, "/usr/lib/libc.so.6", 0);
	assert_int_equal(snap->frames[st->first_frame].function.v, 0);
}

static void read_corpus(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), CORPUS "%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (pickle_read_fd(fd, in, &snap, &info))
		fail_msg("%s: %s", name, info.reason);
	close(fd);
	assert_string_equal(snap->mode, "tracemalloc");
	assert_true(snap->time_ns > 0);
	assert_ptr_equal(snap->strings, in);
}

static void files_of_real_interpreters_are_read(void **state)
{
	static const struct {
		const char *name;
		bool four;
	} files[] = {{"py36", false},	  {"py36_p2", false}, {"py36_attr_p2", false},
		     {"py38", false},	  {"py38_p3", false}, {"py313", true},
		     {"py313_attr", true}};

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		read_corpus(files[i].name);
		assert_story(files[i].four);
		snapshot_free(snap);
		snap = NULL;
	}
}

static void a_snapshot_without_traces_is_one(void **state)
{
	read_corpus("py313_empty");
	assert_int_equal(snap->stack_count, 0);
	assert_int_equal(info.traces, 0);
	assert_int_equal(info.traceback_limit, 1);
}

static void every_cut_is_noticed(void **state)
{
	static const char *const names[] = {"py36_p2", "py313_attr"};

	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		struct buf b = {0};
		char path[128];
		int fd;

		snprintf(path, sizeof(path), CORPUS "%s", names[n]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_int_equal(buf_read_fd(&b, fd, 1 << 20), 0);
		close(fd);
		for (size_t len = 2; len < b.len; len++)
			assert_refused(read_bytes(b.data, len), -EBADMSG, "it ends in the middle");
		assert_int_equal(read_bytes(b.data, b.len), 0);
		snapshot_free(snap);
		snap = NULL;
		buf_release(&b);
	}
}

static void a_file_is_read_through_a_window(void **state)
{
	/* Longer than the window; every boundary of it falls somewhere into an element. */
	struct buf b = {0};
	int fd = memfd_create("pickle", MFD_CLOEXEC);
	char place[80];

	buf_append(&b, BEGIN "](", sizeof(BEGIN "](") - 1);
	for (int i = 0; i < 60000; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "/srv/%d.py", i % 997);

		buf_append(&b, "K\x00M\xe8\x03\x8c", 6);
		buf_append(&b, (char[]){(char)len}, 1);
		buf_append(&b, name, (size_t)len);
		buf_append(&b, "K\x05\x86\x85\x87", 5);
		if (i % 1000 == 999)
			buf_append(&b, "e(", 2);
	}
	buf_append(&b, "e" END, sizeof("e" END) - 1);
	assert_int_equal(b.oom, false);
	assert_true(b.len > 1000000);
	assert_int_equal(write(fd, b.data, b.len), b.len);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(pickle_read_fd(fd, in, &snap, &info), 0);
	assert_int_equal(info.traces, 60000);
	assert_int_equal(snap->stack_count, 997);
	assert_int_equal(snap->live_bytes, 60000000);
	snapshot_free(snap);
	snap = NULL;
	/* the place of a fault is that in the file, not in the window */
	assert_int_equal(pwrite(fd, "\xff", 1, (off_t)b.len - 1), 1);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	snprintf(place, sizeof(place), "opcode 0xff has no place in a snapshot, at byte %zu",
		 b.len);
	assert_refused(pickle_read_fd(fd, in, &snap, &info), -EBADMSG, place);
	close(fd);
	buf_release(&b);
}

static void equal_stacks_become_one(void **state)
{
	/* The same traceback written out twice, and once more from the memo. */
	assert_int_equal(READ(BEGIN "](K\x00K\x0a" FRAME "\x85\x94\x87"
				    "K\x00K\x0b" FRAME "\x85\x87"
				    "K\x00K\x0ch\x00\x87"
				    "K\x01K\x01h\x00\x87"
				    "e" END),
			 0);
	assert_int_equal(snap->stack_count, 2);
	assert_stack(0, "a.py", 2, 33, 3, 1, false);
	assert_stack(1, "a.py", 2, 1, 1, 1, false);
}

static void a_cut_stack_is_another_one(void **state)
{
	assert_int_equal(READ(BEGIN "]((K\x00K\x0a" FRAME "\x85\x94K\x01t"
				    "(K\x00K\x0bh\x00K\x07t"
				    "e" END),
			 0);
	assert_int_equal(snap->stack_count, 2);
	assert_int_equal(snap->live_blocks, 2);
	assert_true(snap->stacks[0].truncated != snap->stacks[1].truncated);
}

static void a_trace_may_be_repeated_by_reference(void **state)
{
	assert_int_equal(READ(BEGIN "](K\x00K\x0a" FRAME "\x85\x87\x94h\x00h\x00j\x00\x00\x00\x00"
				    "e" END),
			 0);
	assert_stack(0, "a.py", 2, 40, 4, 1, false);
}

static void one_element_may_come_alone(void **state)
{
	assert_int_equal(READ(BEGIN "]K\x00K\x0a" FRAME "\x85\x87"
				    "a" END),
			 0);
	assert_stack(0, "a.py", 2, 10, 1, 1, false);
}

static void sizes_go_up_to_63_bits(void **state)
{
	assert_int_equal(READ(BEGIN "](K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" FRAME
				    "\x85\x87"
				    "e" END),
			 0);
	assert_stack(0, "a.py", 2, INT64_MAX, 1, 1, false);
}

static void a_sum_past_63_bits_is_refused(void **state)
{
	assert_refused(READ(BEGIN "](K\x00\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f" FRAME "\x85\x87"
				  "K\x00K\x01" FRAME "\x85\x87"
				  "e" END),
		       -EBADMSG, "more than 2^63-1");
}

static void a_size_past_63_bits_or_below_0_is_none(void **state)
{
	assert_refused(READ(BEGIN "](K\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00" FRAME
				  "\x85\x87"
				  "e" END),
		       -EBADMSG, "a trace is not");
	assert_refused(READ(BEGIN "](K\x00J\xff\xff\xff\xff" FRAME "\x85\x87"
				  "e" END),
		       -EBADMSG, "a trace is not");
	assert_refused(READ(BEGIN "](K\x00\x8a\x01\xff" FRAME "\x85\x87"
				  "e" END),
		       -EBADMSG, "a trace is not");
}

static void a_domain_has_32_bits(void **state)
{
	assert_int_equal(READ(BEGIN "](\x8a\x05\xff\xff\xff\xff\x00K\x01" FRAME "\x85\x87"
				    "e" END),
			 0);
	assert_stack(UINT32_MAX, "a.py", 2, 1, 1, 1, false);
	snapshot_free(snap);
	snap = NULL;
	assert_refused(READ(BEGIN "](\x8a\x05\x00\x00\x00\x00\x01K\x01" FRAME "\x85\x87"
				  "e" END),
		       -EBADMSG, "does not fit 32 bits");
}

static void a_line_past_31_bits_is_none(void **state)
{
	assert_refused(READ(BEGIN "](K\x00K\x01\x8c\x01"
				  "a\x8a\x05\x00\x00\x00\x80\x00\x86\x85\x87"
				  "e" END),
		       -EBADMSG, "a trace is not");
}

static void a_trace_without_frames_is_an_unknown_stack(void **state)
{
	assert_int_equal(READ(BEGIN "](K\x00K\x0a)\x87"
				    "(K\x00K\x0a)K\x00t"
				    "e" END),
			 0);
	assert_stack(0, NULL, 0, 20, 2, 0, false);
}

static void only_the_two_classes_exist(void **state)
{
	assert_refused(READ(HEAD "cos\nsystem\n."), -EBADMSG, "os.system");
	assert_refused(READ(HEAD "\x8c\x02os\x8c\x06system\x93."), -EBADMSG, "os.system");
	assert_refused(READ(HEAD "ctracemalloc\nFilter\n."), -EBADMSG, "tracemalloc.Filter");
	assert_refused(READ(HEAD "c\n\n."), -EBADMSG, "it wants .");
	assert_refused(READ(HEAD "K\x01K\x02\x93."), -EBADMSG, "a class has no name");
	assert_refused(READ(HEAD "c\x01\n."), -EBADMSG, "the name of a class is damaged");
}

static void nothing_is_called(void **state)
{
	/* REDUCE, INST, OBJ, NEWOBJ_EX, EXT1, PERSID, BINPERSID, and a snapshot of two arguments */
	static const char *const ops[] = {"R", "i", "o", "\x92", "\x82\x01", "P", "Q"};

	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "\x80\x04%s.", ops[i]);

		assert_refused(read_bytes(text, (size_t)len), -EBADMSG, "has no place");
	}
	assert_refused(READ(HEAD "\x8c\x0btracemalloc\x8c\x08Snapshot\x93K\x01\x85\x81."), -EBADMSG,
		       "made of an unexpected value");
}

static void other_pickles_are_told_apart(void **state)
{
	assert_refused(READ(""), -EBADMSG, "not a pickle");
	assert_refused(READ("\x80"), -EBADMSG, "not a pickle");
	assert_refused(READ("(dp0\n."), -EBADMSG, "not a pickle");
	assert_refused(READ("\x80\x06."), -EBADMSG, "not a pickle");
	assert_refused(READ(HEAD "K\x01."), -EBADMSG, "not of a tracemalloc.Snapshot");
	assert_refused(READ(HEAD "](K\x01K\x02"
				 "e."),
		       -EBADMSG, "not of a tracemalloc.Snapshot");
	assert_refused(READ(HEAD "."), -EBADMSG, "a value is missing");
	assert_refused(READ(HEAD "N" CLASS("Snapshot", "\x08") "}(\x8c\x06traces" CLASS(
			       "_Traces", "\x07") "}\x8c\x07_traces]" END),
		       -EBADMSG, "not of a tracemalloc.Snapshot");
	assert_refused(READ(HEAD CLASS("Snapshot", "\x08") "."), -EBADMSG,
		       "not of a tracemalloc.Snapshot");
	assert_refused(READ(HEAD CLASS("_Traces", "\x07") "}\x8c\x07_traces]sb."), -EBADMSG,
		       "not of a tracemalloc.Snapshot");
}

static void a_snapshot_needs_its_parts(void **state)
{
	assert_refused(READ(HEAD CLASS("Snapshot", "\x08") "}b."), -EBADMSG,
		       "the snapshot has no traces");
	assert_refused(READ(HEAD CLASS("_Traces", "\x07") "}b."), -EBADMSG, "no list of traces");
	assert_refused(READ(BEGIN "K\x01" END), -EBADMSG, "no list of traces");
	assert_refused(READ(BEGIN "](K\x01"
				  "e" END),
		       -EBADMSG, "a trace is not");
	assert_refused(READ(BEGIN "](K\x0a" FRAME "\x85\x86"
				  "e" END),
		       -EBADMSG, "Python 3.4 or 3.5");
	assert_refused(READ(HEAD CLASS("Snapshot", "\x08") "K\x01"
							   "b."),
		       -EBADMSG, "a state of another kind");
	assert_refused(READ(HEAD "K\x01)\x81."), -EBADMSG, "made of an unexpected value");
}

static void the_stack_is_not_left(void **state)
{
	static const char *const cuts[] = {"a",		 "s",	  "b",	  "\x94",
					   "\x81",	 "\x93",  "\x85", "K\x01\x86",
					   "(K\x01\x86", "(\x94", "((b",  "0"};
	static const char *const marks[] = {"e", "u", "t", "1", "\x90", "\x91"};

	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "\x80\x04%s.", cuts[i]);

		assert_refused(read_bytes(text, (size_t)len), -EBADMSG, "a value is missing");
	}
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		char text[64];
		int len = snprintf(text, sizeof(text), "\x80\x04]%s.", marks[i]);

		assert_refused(read_bytes(text, (size_t)len), -EBADMSG, "a mark is missing");
	}
	assert_refused(READ(HEAD "(e."), -EBADMSG, "a value is missing");
	assert_refused(READ(HEAD "K\x01(e."), -EBADMSG, "no list");
	assert_refused(READ(HEAD "](u."), -EBADMSG, "keys and values");
	assert_refused(READ(HEAD "}(K\x01u."), -EBADMSG, "keys and values");
}

static void the_memo_is_not_left(void **state)
{
	assert_refused(READ(HEAD "h\x00."), -EBADMSG, "memo 0 is not set");
	assert_refused(READ(HEAD "]\x94j\x01\x00\x00\x00."), -EBADMSG, "memo 1 is not set");
	/* A far number would cost memory for nothing. */
	assert_refused(READ(HEAD "]r\xff\xff\xff\x00."), -EBADMSG, "memo 16777215 comes before 0");
}

static void the_stack_has_a_limit(void **state)
{
	struct buf b = {0};

	buf_append(&b, HEAD, 2);
	for (int i = 0; i < 70000; i++)
		buf_append(&b, "N", 1);
	assert_refused(read_bytes(b.data, b.len), -EFBIG, "more than 65536 values at once");
	buf_reset(&b);
	buf_append(&b, HEAD, 2);
	for (int i = 0; i < 70000; i++)
		buf_append(&b, "]0", 2);
	assert_refused(read_bytes(b.data, b.len), -EFBIG, "more than 65536 lists");
	buf_reset(&b);
	buf_append(&b, HEAD, 2);
	for (int i = 0; i < 70000; i++)
		buf_append(&b, "}0", 2);
	assert_refused(read_bytes(b.data, b.len), -EFBIG, "more than 65536 dicts");
	buf_release(&b);
}

#define LONG_TRACEBACK 20000

/* A few bytes a trace: memory must stay in proportion. */
static void traces_of_one_traceback_share_its_frames(void **state)
{
	struct buf b = {0};

	buf_append(&b, BEGIN "](", sizeof(BEGIN "](") - 1);
	for (int i = 0; i < 250; i++) {
		buf_append(&b, (char[]){'(', 'M', (char)i, 1, 'K', 1}, 6);
		if (!i) {
			buf_append(&b, "(" FRAME "\x94", sizeof("(" FRAME "\x94") - 1);
			for (int k = 1; k < LONG_TRACEBACK; k++)
				buf_append(&b, "h\0", 2);
			buf_append(&b, "t\x94", 2);
		} else {
			buf_append(&b, "h\x01", 2);
		}
		buf_append(&b, "K\0t", 3);
	}
	/* As native frames they are others: line 0 is a symbol. */
	buf_append(&b, "(J\x01\x62\x6d\x74K\x01h\x01K\0t", 13);
	buf_append(&b, "(J\x01\x62\x6d\x74K\x02h\x01K\0t", 13);
	buf_append(&b, "e" END, sizeof("e" END) - 1);
	assert_int_equal(read_bytes(b.data, b.len), 0);
	buf_release(&b);
	assert_int_equal(snap->stack_count, 251);
	assert_int_equal(snap->frame_count, 2 * LONG_TRACEBACK);
	assert_stack(SNAP_NUMBER_NATIVE, "a.py", 2, 3, 2, LONG_TRACEBACK, false);
	assert_stack(256, "a.py", 2, 1, 1, LONG_TRACEBACK, false);
	assert_stack(256 + 249, "a.py", 2, 1, 1, LONG_TRACEBACK, false);
	assert_int_equal(snap->live_bytes, 253);
}

static void too_many_domains_are_refused(void **state)
{
	struct buf b = {0};

	buf_append(&b, BEGIN "](", sizeof(BEGIN "](") - 1);
	for (int i = 0; i < 256; i++) {
		buf_append(&b, (char[]){'M', (char)i, 1}, 3);
		buf_append(&b, "K\x01" FRAME "\x85\x87", sizeof("K\x01" FRAME "\x85\x87") - 1);
	}
	buf_append(&b, "e" END, sizeof("e" END) - 1);
	assert_refused(read_bytes(b.data, b.len), -EFBIG, "too many domains");
	buf_release(&b);
}

static void text_must_be_utf8(void **state)
{
	assert_refused(READ(HEAD "\x8c\x01\xff."), -EBADMSG, "not UTF-8");
	assert_refused(READ(HEAD "\x8c\x02\xc3(."), -EBADMSG, "not UTF-8");
	/* cut in a character: the byte behind is not looked at */
	assert_refused(READ(HEAD "\x8c\x01\xc3\xa4."), -EBADMSG, "not UTF-8");
	assert_refused(READ(HEAD "\x8c\x02\xed\xa0\x80."), -EBADMSG, "not UTF-8");
}

static void long_attributes_are_passed_over(void **state)
{
	struct buf b = {0};
	static const char lengths[] = "X\x00\x00\x02\x00"; /* 128 KiB */

	buf_append(&b,
		   BEGIN "](K\x00K\x0a" FRAME "\x85\x87"
			 "esb",
		   sizeof(BEGIN "](K\x00K\x0a" FRAME "\x85\x87"
				"esb") -
			   1);
	buf_append(&b, "\x8c\x04more", 6);
	buf_append(&b, lengths, 5);
	memset(buf_extend(&b, 0x20000), 0xff, 0x20000);
	buf_append(&b, "ub.", 3);
	assert_int_equal(read_bytes(b.data, b.len), 0);
	assert_int_equal(snap->live_bytes, 10);
	buf_release(&b);
}

static void a_list_of_traces_in_an_attribute_is_not_counted(void **state)
{
	assert_int_equal(READ(HEAD CLASS("Snapshot", "\x08") "}(\x8c\x06traces" CLASS(
				 "_Traces", "\x07") "}\x8c\x07_traces"
						    "](K\x00K\x0a" FRAME "\x85\x87\x94"
						    "esb"
						    "\x8c\x04more](h\x00h\x00"
						    "eub."),
			 0);
	assert_stack(0, "a.py", 2, 10, 1, 1, false);
	snapshot_free(snap);
	snap = NULL;
	/* The other way round it cannot be: refused rather than counted wrongly. */
	assert_refused(READ(HEAD CLASS("Snapshot",
				       "\x08") "}(\x8c\x04more](K\x00K\x0a" FRAME "\x85\x87\x94"
					       "e"
					       "\x8c\x06traces" CLASS(
						       "_Traces", "\x07") "}\x8c\x07_traces](h\x00"
									  "esbub."),
		       -EBADMSG, "a trace is not");
}

static void a_name_that_ends_with_the_separator_is_not_split(void **state)
{
	assert_int_equal(READ(BEGIN "](J\x01"
				    "bmtK\x0a\x8c\x02"
				    "l!K\x00\x86\x85\x87"
				    "J\x01"
				    "bmtK\x0b\x8c\x01"
				    "lK\x00\x86\x85\x87"
				    "e" END),
			 0);
	assert_int_equal(snap->stack_count, 2);
	assert_stack(SNAP_NUMBER_NATIVE, "l!", 0, 10, 1, 1, false);
	assert_stack(SNAP_NUMBER_NATIVE, "l", 0, 11, 1, 1, false);
}

static void bytes_behind_the_end_do_not_matter(void **state)
{
	/* as for pickle.load() */
	assert_int_equal(READ(BEGIN "]" END "more"), 0);
}

static void detection_takes_two_bytes(void **state)
{
	assert_true(pickle_detect("\x80\x02", 2));
	assert_true(pickle_detect("\x80\x05}", 3));
	assert_false(pickle_detect("\x80\x01", 2));
	assert_false(pickle_detect("\x80\x06", 2));
	assert_false(pickle_detect("\x80", 1));
	assert_false(pickle_detect("SQ", 2));
	assert_false(pickle_detect("", 0));
}

static void a_directory_is_a_read_error(void **state)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(pickle_read_fd(fd, in, &snap, &info), -EISDIR);
	assert_null(snap);
	close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(files_of_real_interpreters_are_read),
		T(a_snapshot_without_traces_is_one),
		T(every_cut_is_noticed),
		T(a_file_is_read_through_a_window),
		T(equal_stacks_become_one),
		T(a_cut_stack_is_another_one),
		T(a_trace_may_be_repeated_by_reference),
		T(one_element_may_come_alone),
		T(sizes_go_up_to_63_bits),
		T(a_sum_past_63_bits_is_refused),
		T(a_size_past_63_bits_or_below_0_is_none),
		T(a_domain_has_32_bits),
		T(a_line_past_31_bits_is_none),
		T(a_trace_without_frames_is_an_unknown_stack),
		T(only_the_two_classes_exist),
		T(nothing_is_called),
		T(other_pickles_are_told_apart),
		T(a_snapshot_needs_its_parts),
		T(the_stack_is_not_left),
		T(the_memo_is_not_left),
		T(the_stack_has_a_limit),
		T(traces_of_one_traceback_share_its_frames),
		T(too_many_domains_are_refused),
		T(text_must_be_utf8),
		T(long_attributes_are_passed_over),
		T(a_list_of_traces_in_an_attribute_is_not_counted),
		T(a_name_that_ends_with_the_separator_is_not_split),
		T(bytes_behind_the_end_do_not_matter),
		T(detection_takes_two_bytes),
		T(a_directory_is_a_read_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
