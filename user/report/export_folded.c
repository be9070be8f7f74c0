/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folded stacks: "root;caller;leaf VALUE", one line a distinct stack, as flamegraph.pl and its kin read
 * them. The format has no comment and no escape: a semicolon becomes a colon, what ends a line a space.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"
#include "report/export_priv.h"

/* Line ends of Python's str.splitlines() beside the controls: U+2028, U+2029. */
static bool ends_line(const char *s)
{
	return !memcmp(s, "\xe2\x80\xa8", 3) || !memcmp(s, "\xe2\x80\xa9", 3);
}

static void append_frame(struct buf *b, const char *s)
{
	for (size_t len; *s; s += len) {
		bool printable;

		len = text_char_len(s, &printable);
		if (*s == ';')
			(void)buf_append_str(b, ":");
		else if (printable && !(len == 3 && ends_line(s)))
			(void)buf_append(b, s, len);
		else
			(void)buf_append_str(b, " ");
	}
}

static int write_stack(struct buf *b, struct buf *frame, const struct snapshot *s,
		       const struct export_group *g, uint64_t value)
{
	struct export_stack st = export_stack_of(s, &s->stacks[g->stack]);

	for (size_t i = st.count; i > 0; i--) {
		buf_reset(frame);
		export_frame_text(frame, s, st.domain, &st.frames[i - 1], false);
		if (frame->oom)
			return -ENOMEM;
		append_frame(b, frame->data);
		(void)buf_append_str(b, i > 1 ? ";" : " ");
	}
	return buf_printf(b, "%" PRIu64 "\n", value);
}

int export_folded(FILE *out, const struct snapshot *s, const struct store_meta *meta,
		  const struct export_opts *opts)
{
	_cleanup_(buf_release) struct buf b = {0};
	_cleanup_(buf_release) struct buf frame = {0};
	_cleanup_free_ struct export_group *groups = NULL;
	size_t count = 0;
	int err = export_group_stacks(s, EXPORT_BY_FRAMES, &groups, &count, NULL);

	(void)meta;
	for (size_t i = 0; !err && i < count; i++) {
		uint64_t value = groups[i].values[opts->value];

		if (!value)
			continue;
		err = write_stack(&b, &frame, s, &groups[i], value);
		if (!err)
			err = export_flush_some(out, &b);
	}
	return err ? err : export_flush(out, &b);
}
