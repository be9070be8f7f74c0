/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Folded stacks: "root;caller;leaf VALUE", one line a distinct stack, as flamegraph.pl and its kin read
 * them. The format has no comment and no escape: a semicolon becomes a colon, what ends a line a space.
 */
#include <errno.h>
#include <inttypes.h>

#include "report/export_priv.h"

/*
 * Bytes at s that end a line or steer a terminal: the controls of ASCII and Latin-1, and what Python's
 * str.splitlines() takes for the end of a line. 0: text.
 */
static size_t control_len(const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	if (p[0] < 0x20 || p[0] == 0x7f)
		return 1;
	if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* U+0080 to U+009F */
		return 2;
	if (p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9)) /* U+2028, U+2029 */
		return 3;
	return 0;
}

static void append_clean(struct buf *b, const char *s)
{
	const char *run = s; /* start of the bytes that go out as they are */

	while (*s) {
		size_t skip = *s == ';' ? 1 : control_len(s);

		if (!skip) {
			s++;
			continue;
		}
		(void)buf_append(b, run, (size_t)(s - run));
		(void)buf_append_str(b, *s == ';' ? ":" : " ");
		s += skip;
		run = s;
	}
	(void)buf_append(b, run, (size_t)(s - run));
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
		append_clean(b, frame->data);
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
