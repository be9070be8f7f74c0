// SPDX-License-Identifier: GPL-2.0-or-later
/* Hooks in front of the interpreter's allocator change the numbers, not what is seen. */
#include "alloc/interpreter.h"
#include "base/buf.h"
#include "base/log.h"

/* Effect of each hook on the numbers. */
static void add_hooks(const struct python_target *py, struct buf *text)
{
	const struct py_hooks *h = &py->hooks;
	const char *sep = "";

	if (h->debug_bytes) {
		(void)buf_printf(text, "debug (every block is %u bytes larger", h->debug_bytes);
		/* pymalloc takes these from the raw domain, which has the hooks as well. */
		if (py->allocator == PY_ALLOC_PYMALLOC)
			(void)buf_printf(text, ", above 512 bytes %u", 2u * h->debug_bytes);
		(void)buf_append_str(text, ")");
		sep = ", ";
	}
	if (h->tracemalloc) {
		(void)buf_printf(text,
				 "%stracemalloc (its own tables are in the numbers, %s for each "
				 "block that it follows)",
				 sep, py->minor < 9 ? "a block" : "two blocks");
		sep = ", ";
	}
	if (*h->file)
		(void)buf_printf(
			text,
			"%s%s (its own blocks are in the numbers; what it takes from malloc "
			"for the interpreter counts as native, with its Python line)",
			sep, h->file);
}

void interpreter_warn_hooks(const struct python_target *py)
{
	const char *unknown = py->allocator == PY_ALLOC_UNKNOWN
				      ? "; underlying allocator unknown, assuming pymalloc"
				      : "";
	struct buf text = {0};

	add_hooks(py, &text);
	if (text.len)
		log_coded_warn("W122",
			       py->hooks.tracemalloc ? "--blocks N, if blocks are lost" : NULL,
			       "the interpreter's allocator is called through hooks: %s%s",
			       text.data, unknown);
	else if (py->allocator == PY_ALLOC_UNKNOWN)
		log_info("which allocator serves Python objects is not known: taken for pymalloc");
	buf_release(&text);
}
