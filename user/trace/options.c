// SPDX-License-Identifier: GPL-2.0-or-later
/* Defaults of a tracing session. */
#include "trace/options.h"

void capture_options_init(struct options *out)
{
	*out = (struct options){
		.frames = 25,
		.overhead = 0.05,
		.use_cache = true,
		.python = true,
		.native = true,
	};
}
