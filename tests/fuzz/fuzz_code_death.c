/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libFuzzer: records of dying code objects. Input: one byte (which version), the record. The type of
 * the object is put in where it belongs, or every input would fail on it.
 * Holds: no crash; strings are UTF-8 without NUL; a refused record leaves the result alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "bpf/tmbpf.h"
#include "symbolize/symbolize.h"

#define CODE_TYPE 0x1122334455667788ull

/* The first ones are those of the oldest corpus files. */
static const struct {
	unsigned minor;
	bool free_threaded;
} rows[] = {{11, false}, {12, false}, {13, false}, {6, false},	{7, false}, {8, false},
	    {9, false},	 {10, false}, {14, false}, {15, false}, {13, true}, {14, true}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

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

static void check_code(const struct python_target *py, const struct intern *strings,
		       const struct py_code *code)
{
	check_text(strings, code->filename);
	check_text(strings, code->qualname);
	for (int i = -1; i < 32; i++) {
		uint64_t instr = (uint64_t)(int64_t)i;

		if (!py->offsets->frame_objects)
			instr = code->bytecode_addr + 2 * instr;
		for (uint32_t copy = 0; copy < 3; copy++) {
			int32_t line = py_code_line(py, code, instr, copy);

			/* Nothing says where the copies of the dead are. */
			if (line < 0 || (copy && line && !py->offsets->frame_objects))
				abort();
			(void)py_code_frame_is_incomplete(py, code, instr, copy, (uint8_t)i);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len < 1)
		return 0;
	const unsigned which = data[0] % (sizeof(rows) / sizeof(rows[0]));
	struct python_target py = {
		.offsets = py_offsets_get(rows[which].minor, rows[which].free_threaded),
		.code_type_addr = CODE_TYPE};
	struct intern *strings = intern_new();
	struct py_code code = {.firstlineno = 77};
	uint8_t *rec = malloc(len); /* len - 1 bytes are used: ASan sees a read behind them */

	if (!py.offsets || !strings || !rec)
		abort();
	size_t type_off = offsetof(struct tm_code_death, data) + py.offsets->obj_type;

	len--;
	memcpy(rec, data + 1, len);
	rec = realloc(rec, len ? len : 1);
	if (rec && len >= type_off + sizeof(uint64_t))
		memcpy(rec + type_off, &(uint64_t){CODE_TYPE}, sizeof(uint64_t));

	if (py_code_from_death(&py, strings, rec, len, &code)) {
		if (code.firstlineno != 77 || code.linetable)
			abort();
	} else {
		check_code(&py, strings, &code);
		py_code_release(&code);
	}
	free(rec);
	intern_free(strings);
	return 0;
}
