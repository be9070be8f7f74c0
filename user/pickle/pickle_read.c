/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The opcodes of a pickle, as Lib/pickletools.py of CPython 3.13 describes them. */
#include "pickle/pickle_read.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "pickle/pickle_input.h"
#include "pickle/pickle_values.h"

#define PROTOCOL_MIN 2
#define PROTOCOL_MAX 5
#define NAME_MAX_LEN PICKLE_INPUT_MAX /* a longer string belongs to no snapshot */
#define GLOBAL_MAX   256	      /* bytes of a module or class name */

struct reader {
	struct pickle_input in;
	struct pickle_values values;
	struct buf raw, text; /* the string being read, before and after append_text() */
	bool stopped;
};

/* ---- strings ---- */

/*
 * A str in the form that capture gives it: what is not text for others becomes an escape. Python writes
 * lone surrogates (undecodable bytes of a file name) in three bytes, errors="surrogatepass".
 */
static int append_text(struct buf *b, const uint8_t *s, size_t len)
{
	int err = 0;

	for (size_t i = 0; !err && i < len;) {
		const char *at = (const char *)s + i;
		size_t n = utf8_char_len(at);

		if (!s[i]) {
			err = buf_append_str(b, "\\x00");
			i++;
		} else if (n && n <= len - i) {
			err = buf_append(b, at, n);
			i += n;
		} else if (len - i >= 3 && s[i] == 0xed && s[i + 1] >= 0xa0 && s[i + 1] <= 0xbf &&
			   s[i + 2] >= 0x80 && s[i + 2] <= 0xbf) {
			err = buf_printf(b, "\\u%04x",
					 0xd000 | (s[i + 1] & 0x3f) << 6 | (s[i + 2] & 0x3f));
			i += 3;
		} else {
			return -EILSEQ;
		}
	}
	return err;
}

static int push_string(struct reader *r, uint64_t len)
{
	struct pvalue v = {.kind = PV_STR};
	const uint8_t *bytes;
	str_id_t id;
	int err;

	if (len >= NAME_MAX_LEN) {
		err = pickle_input_skip(&r->in, len);
		return err ? err : pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	}
	err = pickle_input_bytes(&r->in, (size_t)len, &bytes);
	if (err)
		return err;
	buf_reset(&r->raw);
	buf_reset(&r->text);
	/* A NUL-terminated copy, because utf8_char_len() looks for the NUL. */
	err = buf_append(&r->raw, bytes, (size_t)len);
	if (!err)
		err = append_text(&r->text, (const uint8_t *)r->raw.data, (size_t)len);
	if (err == -EILSEQ)
		return pickle_fault(&r->values, -EBADMSG, "a string is not UTF-8");
	if (!err)
		err = intern_add(r->values.names, r->text.data ? r->text.data : "", r->text.len,
				 &id);
	if (err)
		return err;
	v.id = id.v;
	return pickle_push(&r->values, v);
}

/* ---- numbers ---- */

static int push_int(struct reader *r, uint64_t number, bool negative)
{
	bool fits = !negative && number <= INT64_MAX;

	return pickle_push(&r->values, fits ? (struct pvalue){PV_INT, 0, number}
					    : (struct pvalue){.kind = PV_OPAQUE});
}

/* Little-endian two's complement of any length; past 2^63-1 no line, size or domain needs it. */
static int push_long(struct reader *r, uint64_t len)
{
	const uint8_t *bytes;
	uint64_t number = 0;
	int err;

	if (len > sizeof(number)) {
		err = pickle_input_skip(&r->in, len);
		return err ? err : pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	}
	err = pickle_input_bytes(&r->in, (size_t)len, &bytes);
	if (err)
		return err;
	for (size_t i = 0; i < len; i++)
		number |= (uint64_t)bytes[i] << 8 * i;
	return push_int(r, number, len && bytes[len - 1] & 0x80);
}

/* ---- classes and objects ---- */

static int push_class(struct reader *r, const char *module, const char *name)
{
	struct pvalue v = {0};

	if (!strcmp(module, "tracemalloc") && !strcmp(name, "Snapshot"))
		v.kind = PV_SNAPSHOT_CLASS;
	else if (!strcmp(module, "tracemalloc") && !strcmp(name, "_Traces"))
		v.kind = PV_TRACES_CLASS;
	else
		return pickle_fault(&r->values, -EBADMSG,
				    "it wants %.60s.%.60s, which is no part of a tracemalloc "
				    "snapshot and is not looked up",
				    module, name);
	return pickle_push(&r->values, v);
}

static int op_stack_global(struct reader *r)
{
	struct pickle_values *v = &r->values;
	struct pvalue module, name;
	int err = pickle_pop(v, &name);

	if (!err)
		err = pickle_pop(v, &module);
	if (err)
		return err;
	if (module.kind != PV_STR || name.kind != PV_STR)
		return pickle_fault(v, -EBADMSG, "a class has no name");
	return push_class(r, intern_get(v->names, (str_id_t){module.id}),
			  intern_get(v->names, (str_id_t){name.id}));
}

/* A name up to the end of its line. */
static int read_line(struct reader *r, char out[GLOBAL_MAX])
{
	for (size_t i = 0; i < GLOBAL_MAX; i++) {
		uint64_t c;
		int err = pickle_input_number(&r->in, 1, &c);

		if (err)
			return err;
		out[i] = c == '\n' ? '\0' : (char)c;
		if (c == '\n')
			return 0;
		if (c < 0x20 || c >= 0x7f)
			break;
	}
	return pickle_fault(&r->values, -EBADMSG, "the name of a class is damaged");
}

static int op_global(struct reader *r)
{
	char module[GLOBAL_MAX], name[GLOBAL_MAX];
	int err = read_line(r, module);

	if (!err)
		err = read_line(r, name);
	return err ? err : push_class(r, module, name);
}

static int op_new_object(struct reader *r)
{
	struct pickle_values *v = &r->values;
	struct pvalue args, cls;
	int err = pickle_pop(v, &args);

	if (!err)
		err = pickle_pop(v, &cls);
	if (err)
		return err;
	if (args.kind != PV_EMPTY_TUPLE ||
	    (cls.kind != PV_SNAPSHOT_CLASS && cls.kind != PV_TRACES_CLASS))
		return pickle_fault(v, -EBADMSG, "an object is made of an unexpected value");
	return pickle_push(v, (struct pvalue){.kind = cls.kind == PV_SNAPSHOT_CLASS ? PV_SNAPSHOT
										    : PV_TRACES});
}

static int build_traces(struct pickle_values *v, struct pvalue *object, const struct pdict *state)
{
	const struct plist *list;

	if (state->traces.kind != PV_LIST)
		return pickle_fault(v, -EBADMSG, "it contains no list of traces");
	list = &v->lists[state->traces.id];
	if (list->old)
		return pickle_fault(v, -EBADMSG,
				    "it was written by Python 3.4 or 3.5, which have no domains");
	if (list->other || (v->trace_list && v->trace_list != state->traces.id + 1))
		return pickle_fault(v, -EBADMSG, "a trace is not (domain, size, traceback)");
	v->trace_list = state->traces.id + 1;
	*object = (struct pvalue){.kind = PV_TRACES, .id = state->traces.id, .number = 1};
	return 0;
}

static int build_snapshot(struct pickle_values *v, struct pvalue *object, const struct pdict *state)
{
	if (state->traces.kind != PV_TRACES || !state->traces.number)
		return pickle_fault(v, -EBADMSG, "the snapshot has no traces");
	if (state->limit.kind == PV_INT)
		v->info->traceback_limit =
			(unsigned)(state->limit.number < UINT16_MAX ? state->limit.number
								    : UINT16_MAX);
	object->number = 1;
	return 0;
}

static int op_build(struct reader *r)
{
	struct pickle_values *v = &r->values;
	struct pvalue state, *object;
	int err = pickle_pop(v, &state);

	if (!err)
		err = pickle_top(v, &object);
	if (err)
		return err;
	if (state.kind == PV_DICT && object->kind == PV_TRACES)
		return build_traces(v, object, &v->dicts[state.id]);
	if (state.kind == PV_DICT && object->kind == PV_SNAPSHOT)
		return build_snapshot(v, object, &v->dicts[state.id]);
	return pickle_fault(v, -EBADMSG, "an object has a state of another kind");
}

static int op_stop(struct reader *r)
{
	struct pvalue top;
	int err = pickle_pop(&r->values, &top);

	if (err)
		return err;
	if (top.kind != PV_SNAPSHOT || !top.number || r->values.stack_count)
		return pickle_fault(&r->values, -EBADMSG,
				    "it is a pickle, but not of a tracemalloc.Snapshot");
	r->stopped = true;
	return 0;
}

/* ---- containers ---- */

/* One element or pair, or everything down to the mark, goes into what lies below. */
static int op_add(struct reader *r, size_t count, bool pairs)
{
	struct pickle_values *v = &r->values;
	const struct pvalue *items;
	struct pvalue some[2], *container;
	int err = 0;

	if (count) {
		items = some;
		for (size_t i = count; !err && i > 0; i--)
			err = pickle_pop(v, &some[i - 1]);
	} else {
		err = pickle_pop_mark(v, &items, &count);
	}
	if (!err)
		err = pickle_top(v, &container);
	if (err)
		return err;
	return pairs ? pickle_dict_set(v, container, items, count)
		     : pickle_list_append(v, container, items, count);
}

static int op_tuple(struct reader *r)
{
	const struct pvalue *items;
	size_t count;
	int err = pickle_pop_mark(&r->values, &items, &count);

	return err ? err : pickle_push_tuple(&r->values, items, count);
}

/* Drop the values above the mark; `below`: the set under it takes them. */
static int op_forget(struct reader *r, bool push, bool below)
{
	const struct pvalue *items;
	struct pvalue *set;
	size_t count;
	int err = pickle_pop_mark(&r->values, &items, &count);

	if (!err && push)
		err = pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	if (!err && below)
		err = pickle_top(&r->values, &set);
	return err;
}

/* ---- opcodes ---- */

/* Those whose argument is a number or a length of so many bytes. */
static int op_with_number(struct reader *r, uint8_t op, uint64_t n)
{
	switch (op) {
	case 'K': /* BININT1 */
	case 'M': /* BININT2 */
		return push_int(r, n, false);
	case 'J': /* BININT, signed */
		return push_int(r, n, n > INT32_MAX);
	case 0x8a: /* LONG1 */
		return push_long(r, n);
	case 0x8b: /* LONG4, signed */
		if (n > INT32_MAX)
			return pickle_fault(&r->values, -EBADMSG, "a length is negative");
		return push_long(r, n);
	case 0x8c: /* SHORT_BINUNICODE */
	case 'X':  /* BINUNICODE */
	case 0x8d: /* BINUNICODE8 */
		return push_string(r, n);
	case 'q': /* BINPUT */
	case 'r': /* LONG_BINPUT */
		return pickle_memo_put(&r->values, n);
	case 'h': /* BINGET */
	case 'j': /* LONG_BINGET */
		return pickle_memo_get(&r->values, n);
	case 0x95: /* FRAME: how much a reader may prefetch */
		return 0;
	case 'G': /* BINFLOAT */
		return pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	default: { /* SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8 */
		int err = pickle_input_skip(&r->in, n);

		return err ? err : pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	}
	}
}

/* Those without an argument; -ENOSYS: it is none of them. */
static int op_plain(struct reader *r, uint8_t op)
{
	struct pvalue dropped;

	switch (op) {
	case '(': /* MARK */
		return pickle_push(&r->values, (struct pvalue){.kind = PV_MARK});
	case '.': /* STOP */
		return op_stop(r);
	case '0': /* POP */
		return pickle_pop(&r->values, &dropped);
	case '1': /* POP_MARK */
		return op_forget(r, false, false);
	case ')': /* EMPTY_TUPLE */
		return pickle_push_tuple(&r->values, NULL, 0);
	case 0x85: /* TUPLE1, TUPLE2, TUPLE3 */
	case 0x86:
	case 0x87:
		return pickle_pop_tuple(&r->values, op - 0x84u);
	case 't': /* TUPLE */
		return op_tuple(r);
	case ']': /* EMPTY_LIST */
		return pickle_push_list(&r->values);
	case 'a': /* APPEND */
		return op_add(r, 1, false);
	case 'e': /* APPENDS */
		return op_add(r, 0, false);
	case '}': /* EMPTY_DICT */
		return pickle_push_dict(&r->values);
	case 's': /* SETITEM */
		return op_add(r, 2, true);
	case 'u': /* SETITEMS */
		return op_add(r, 0, true);
	case 'N':  /* NONE */
	case 0x88: /* NEWTRUE */
	case 0x89: /* NEWFALSE */
	case 0x8f: /* EMPTY_SET */
		return pickle_push(&r->values, (struct pvalue){.kind = PV_OPAQUE});
	case 0x90: /* ADDITEMS */
		return op_forget(r, false, true);
	case 0x91: /* FROZENSET */
		return op_forget(r, true, false);
	case 0x94: /* MEMOIZE */
		return pickle_memo_put(&r->values, r->values.memo_count);
	case 'c': /* GLOBAL */
		return op_global(r);
	case 0x93: /* STACK_GLOBAL */
		return op_stack_global(r);
	case 0x81: /* NEWOBJ */
		return op_new_object(r);
	case 'b': /* BUILD */
		return op_build(r);
	default:
		return -ENOSYS;
	}
}

/* Bytes of an opcode's number or length; 0: it has none. */
static unsigned number_bytes(uint8_t op)
{
	switch (op) {
	case 'K':  /* BININT1 */
	case 'C':  /* SHORT_BINBYTES */
	case 'q':  /* BINPUT */
	case 'h':  /* BINGET */
	case 0x8a: /* LONG1 */
	case 0x8c: /* SHORT_BINUNICODE */
		return 1;
	case 'M': /* BININT2 */
		return 2;
	case 'J':  /* BININT */
	case 'B':  /* BINBYTES */
	case 'X':  /* BINUNICODE */
	case 'r':  /* LONG_BINPUT */
	case 'j':  /* LONG_BINGET */
	case 0x8b: /* LONG4 */
		return 4;
	case 'G':  /* BINFLOAT */
	case 0x8d: /* BINUNICODE8 */
	case 0x8e: /* BINBYTES8 */
	case 0x95: /* FRAME */
	case 0x96: /* BYTEARRAY8 */
		return 8;
	default:
		return 0;
	}
}

static int read_opcode(struct reader *r)
{
	uint64_t op, n = 0;
	unsigned bytes;
	int err = pickle_input_number(&r->in, 1, &op);

	if (err)
		return err;
	bytes = number_bytes((uint8_t)op);
	if (bytes) {
		err = pickle_input_number(&r->in, bytes, &n);
		return err ? err : op_with_number(r, (uint8_t)op, n);
	}
	err = op_plain(r, (uint8_t)op);
	if (err == -ENOSYS)
		return pickle_fault(&r->values, -EBADMSG,
				    "opcode 0x%02x has no place in a snapshot", (unsigned)op);
	return err;
}

static int check_head(struct reader *r)
{
	const uint8_t *head;
	int err = pickle_input_bytes(&r->in, 2, &head);

	if (err == -ENODATA || (!err && !pickle_detect(head, 2)))
		return pickle_fault(&r->values, -EBADMSG, "it is not a pickle of protocol 2 to 5");
	return err;
}

/* The reason gets its place; an input that ends is a reason, too. */
static int explain_error(struct reader *r, int err)
{
	char *reason = r->values.info->reason;
	size_t cap = sizeof(r->values.info->reason), len;

	if (err == -ENODATA)
		err = pickle_fault(&r->values, -EBADMSG, "it ends in the middle");
	len = strlen(reason);
	if (err == -EBADMSG || err == -EFBIG)
		snprintf(reason + len, cap - len, ", at byte %llu",
			 (unsigned long long)pickle_input_pos(&r->in));
	return err;
}

static int read_snapshot(struct reader *r)
{
	int err = check_head(r);

	while (!err && !r->stopped)
		err = read_opcode(r);
	return err ? explain_error(r, err) : pickle_values_store(&r->values);
}

bool pickle_detect(const void *head, size_t len)
{
	const uint8_t *b = head;

	return len >= 2 && b[0] == 0x80 /* PROTO */ && b[1] >= PROTOCOL_MIN && b[1] <= PROTOCOL_MAX;
}

static int run_machine(struct reader *r, struct intern *strings, struct snapshot **out,
		       struct pickle_info *info)
{
	_cleanup_(snapshot_freep) struct snapshot *s = snapshot_new(strings);
	int err;

	*info = (struct pickle_info){0};
	if (!s)
		return -ENOMEM;
	s->mode = "tracemalloc";
	s->seq = 1;
	err = pickle_values_init(&r->values, s, info);
	if (!err)
		err = read_snapshot(r);
	pickle_values_release(&r->values);
	buf_release(&r->raw);
	buf_release(&r->text);
	if (!err)
		*out = take_ptr(s);
	return err;
}

int pickle_read_fd(int fd, struct intern *strings, struct snapshot **out, struct pickle_info *info)
{
	struct reader r = {0};
	struct stat st;
	int err = pickle_input_open_fd(&r.in, fd);

	if (err)
		return err;
	err = run_machine(&r, strings, out, info);
	pickle_input_release(&r.in);
	if (!err && !fstat(fd, &st))
		(*out)->time_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
	return err;
}

int pickle_read_mem(const void *data, size_t len, struct intern *strings, struct snapshot **out,
		    struct pickle_info *info)
{
	struct reader r = {0};
	int err;

	pickle_input_open_mem(&r.in, data, len);
	err = run_machine(&r, strings, out, info);
	pickle_input_release(&r.in);
	return err;
}
