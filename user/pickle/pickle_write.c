/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pickle/pickle_write.h"

#include <string.h>

void pickle_put_op(struct pickle_writer *w, uint8_t op)
{
	(void)buf_append(&w->out, &op, 1);
}

/* Little-endian. */
static void put_number(struct pickle_writer *w, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		pickle_put_op(w, (uint8_t)(value >> 8 * i));
}

uint32_t pickle_memoize(struct pickle_writer *w)
{
	pickle_put_op(w, PICKLE_MEMOIZE);
	return w->memo_count++;
}

void pickle_put_memo(struct pickle_writer *w, uint32_t number)
{
	pickle_put_op(w, number <= UINT8_MAX ? PICKLE_BINGET : PICKLE_LONG_BINGET);
	put_number(w, number, number <= UINT8_MAX ? 1 : 4);
}

void pickle_put_int(struct pickle_writer *w, uint64_t value)
{
	unsigned bytes = 0;

	if (value <= UINT8_MAX) {
		pickle_put_op(w, PICKLE_BININT1);
		put_number(w, value, 1);
	} else if (value <= UINT16_MAX) {
		pickle_put_op(w, PICKLE_BININT2);
		put_number(w, value, 2);
	} else if (value <= INT32_MAX) {
		pickle_put_op(w, PICKLE_BININT);
		put_number(w, value, 4);
	} else {
		/*
		 * Keep the top bit of the last byte free, because two's complement has the sign
		 * there.
		 */
		while (bytes < sizeof(value) && value >> (8 * bytes))
			bytes++;
		bytes += value >> (8 * bytes - 1) != 0;
		pickle_put_op(w, PICKLE_LONG1);
		pickle_put_op(w, (uint8_t)bytes);
		put_number(w, value, bytes > 8 ? 8 : bytes);
		if (bytes > 8)
			pickle_put_op(w, 0);
	}
}

void pickle_put_str(struct pickle_writer *w, const char *s, size_t len)
{
	pickle_put_op(w, len <= UINT8_MAX ? PICKLE_SHORT_BINUNICODE : PICKLE_BINUNICODE);
	put_number(w, len, len <= UINT8_MAX ? 1 : 4);
	(void)buf_append(&w->out, s, len);
}

void pickle_put_object(struct pickle_writer *w, const char *module, const char *class_name)
{
	pickle_put_str(w, module, strlen(module));
	pickle_put_str(w, class_name, strlen(class_name));
	pickle_put_op(w, PICKLE_STACK_GLOBAL);
	pickle_put_op(w, PICKLE_EMPTY_TUPLE);
	pickle_put_op(w, PICKLE_NEWOBJ);
}

void pickle_put_key(struct pickle_writer *w, const char *key)
{
	pickle_put_str(w, key, strlen(key));
}
