/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: what the ring buffer may bring, into a cache without Python and into one of each kind of version,
 * of a process that cannot be read. Input: steps, each one byte (what), one (how it is mended), two (length), data.
 * Holds: no crash; a refused stack is not known; never more frames than asked for; strings are UTF-8.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "symbolize/stack_cache.h"

#define CODE_TYPE 0x1122334455667788ull
#define ID_MASK	  0x1f /* few ids and addresses: they shall meet again */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { STEP_RECORD, STEP_RESOLVE, STEP_GET, STEPS };
enum { MEND_LEN = 1, MEND_STACK = 2, MEND_DEATH = 4 };

struct input {
	struct stack_cache *cache;
	size_t type_off; /* of the code object's type in a death record */
	const uint8_t *data;
	size_t len;
};

static void check_text(const struct intern *strings, str_id_t id)
{
	const char *s = intern_get(strings, id);
	const char *end = s + intern_len(strings, id);

	while (s < end) {
		size_t n = utf8_char_len(s);

		if (!n || !*s)
			abort();
		s += n;
	}
}

/* Type, lengths and the type of the code object, where random bytes would never get through. */
static void mend(uint8_t *rec, size_t len, uint8_t how, size_t type_off)
{
	struct tm_rec_hdr hdr;
	size_t fixed = offsetof(struct tm_stack_rec, frames);

	if (len < sizeof(hdr))
		return;
	memcpy(&hdr, rec, sizeof(hdr));
	if (how & MEND_LEN)
		hdr.len = (uint32_t)len;
	if (how & (MEND_STACK | MEND_DEATH))
		hdr.type = how & MEND_STACK ? TM_REC_STACK : TM_REC_CODE_DEATH;
	memcpy(rec, &hdr, sizeof(hdr));
	if (how & MEND_STACK && len >= fixed) {
		struct tm_stack_rec *r = (struct tm_stack_rec *)(void *)rec;

		r->stack_id &= ID_MASK;
		r->frame_count = (uint16_t)((len - fixed) / sizeof(struct tm_frame));
		for (uint16_t i = 0; i < r->frame_count && i < TM_FRAMES_WALK; i++)
			r->frames[i].code &= ID_MASK | ~TM_FRAME_CODE_MASK; /* owner, copy */
	} else if (how & MEND_DEATH && len >= type_off + sizeof(uint64_t)) {
		((struct tm_code_death *)(void *)rec)->code &= ID_MASK;
		memcpy(rec + type_off, &(uint64_t){CODE_TYPE}, sizeof(uint64_t));
	}
}

static void feed_one(struct input *in)
{
	size_t len = 0;
	uint8_t how = 0, *rec;

	if (in->len < 3) {
		in->len = 0;
		return;
	}
	how = in->data[0];
	len = in->data[1] | (size_t)in->data[2] << 8;
	in->data += 3;
	in->len -= 3;
	len = len < in->len ? len : in->len;
	rec = malloc(len + !len); /* aligned as in the ring; ASan sees a read behind it */
	if (!rec)
		abort();
	memcpy(rec, in->data, len);
	in->data += len;
	in->len -= len;
	mend(rec, len, how, in->type_off);

	int err = stack_cache_feed(in->cache, rec, len);
	struct tm_rec_hdr hdr;

	if (err && err != -EBADMSG)
		abort();
	if (!err) {
		memcpy(&hdr, rec, sizeof(hdr));
		if (hdr.type == TM_REC_STACK) {
			uint32_t id;

			memcpy(&id, rec + offsetof(struct tm_stack_rec, stack_id), sizeof(id));
			if (!stack_cache_get(in->cache, id).known)
				abort();
		}
	}
	free(rec);
}

static int second_look(void *ctx)
{
	feed_one(ctx);
	return 0;
}

static void check_stack(struct stack_cache *cache, const struct intern *strings, uint32_t id,
			unsigned max_frames)
{
	struct stack_info info = stack_cache_get(cache, id);

	if (!info.known && info.frame_count)
		abort();
	if (info.frame_count > max_frames)
		abort();
	for (size_t i = 0; i < info.frame_count; i++) {
		check_text(strings, info.frames[i].file);
		check_text(strings, info.frames[i].function);
		if (info.frames[i].line < 0)
			abort();
	}
}

static void run(const struct python_target *py, unsigned max_frames, const uint8_t *data,
		size_t len)
{
	struct target nobody = {.pid = INT_MAX}; /* no pid is that high */
	struct intern *strings = intern_new();
	struct input in = {.data = data,
			   .len = len,
			   .type_off = offsetof(struct tm_code_death, data) +
				       (py ? py->offsets->obj_type : 8)};

	if (!strings || stack_cache_new(&nobody, py, strings, max_frames, &in.cache))
		abort();
	while (in.len) {
		uint8_t step = *in.data++ % STEPS;

		in.len--;
		if (step == STEP_RECORD)
			feed_one(&in);
		else if (step == STEP_GET && in.len)
			check_stack(in.cache, strings, *in.data, max_frames);
		else if (stack_cache_resolve(in.cache, second_look, &in))
			abort();
	}
	if (stack_cache_resolve(in.cache, second_look, &in))
		abort();
	for (uint32_t id = 0; id <= ID_MASK; id++)
		check_stack(in.cache, strings, id, max_frames);
	stack_cache_free(in.cache);
	intern_free(strings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct {
		unsigned minor;
		bool free_threaded;
	} rows[] = {{11, false}, {8, false}, {10, false}, {14, true}};

	run(NULL, 3, data, len);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct python_target py = {
			.minor = rows[i].minor,
			.offsets = py_offsets_get(rows[i].minor, rows[i].free_threaded),
			.code_type_addr = CODE_TYPE};

		if (!py.offsets)
			abort();
		run(&py, TM_FRAMES_MAX, data, len);
	}
	return 0;
}
