/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CSV: one line a source line, function and domain, most bytes first. Quoted as in RFC 4180; lines end
 * with a newline alone, which its readers take and awk prefers. Unknown values are empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "report/export_priv.h"

/* Quoted where a reader needs it. The default output is a terminal: names are cleaned as on one. */
static void append_field(struct buf *b, const char *name)
{
	_cleanup_(buf_release) struct buf clean = {0};

	text_append_clean(&clean, name);
	b->oom |= clean.oom;
	if (!clean.len)
		return;
	const char *s = clean.data;

	if (!strpbrk(s, "\",") && s[0] != ' ' && s[clean.len - 1] != ' ') {
		(void)buf_append_str(b, s);
		return;
	}
	(void)buf_append_str(b, "\"");
	for (const char *end; (end = strchr(s, '"')) != NULL; s = end + 1) {
		(void)buf_append(b, s, (size_t)(end - s));
		(void)buf_append_str(b, "\"\"");
	}
	(void)buf_append_str(b, s);
	(void)buf_append_str(b, "\"");
}

static void write_site(struct buf *b, const struct snapshot *s, const struct export_group *g)
{
	struct export_stack st = export_stack_of(s, &s->stacks[g->stack]);
	const struct snap_frame *f = &st.frames[0];
	char domain[16];

	append_field(b, export_file_name(s, f));
	(void)buf_printf(b, ",%" PRId32 ",", f->line);
	append_field(b, intern_get(s->strings, f->function));
	(void)buf_printf(b, ",%s,%" PRIu64 ",%" PRIu64 ",",
			 export_domain_text(domain, s, st.domain), g->values[EXPORT_INUSE_SPACE],
			 g->values[EXPORT_INUSE_OBJECTS]);
	if (g->alloc_known)
		(void)buf_printf(b, "%" PRIu64 ",%" PRIu64 "\n", g->values[EXPORT_ALLOC_SPACE],
				 g->values[EXPORT_ALLOC_OBJECTS]);
	else
		(void)buf_append_str(b, ",\n");
}

static int most_bytes_first(const void *a, const void *b)
{
	const struct export_group *x = a, *y = b;
	uint64_t xb = x->values[EXPORT_INUSE_SPACE], yb = y->values[EXPORT_INUSE_SPACE];

	if (xb != yb)
		return xb > yb ? -1 : 1;
	return (x->stack > y->stack) - (x->stack < y->stack);
}

int export_csv(FILE *out, const struct snapshot *s, const struct store_meta *meta,
	       const struct export_opts *opts)
{
	_cleanup_(buf_release) struct buf b = {0};
	_cleanup_free_ struct export_group *groups = NULL;
	size_t count = 0;
	int err = export_group_stacks(s, EXPORT_BY_SITE, &groups, &count, NULL);

	(void)meta;
	(void)opts;
	if (err)
		return err;
	if (count)
		qsort(groups, count, sizeof(*groups), most_bytes_first);
	(void)buf_append_str(&b, "file,line,function,domain,bytes,blocks,alloc_bytes,allocs\n");
	for (size_t i = 0; !err && i < count; i++) {
		write_site(&b, s, &groups[i]);
		err = export_flush_some(out, &b);
	}
	return err ? err : export_flush(out, &b);
}
