/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Facts about an open capture, for headers of reports and for files. */
#ifndef TM_TRACE_CAPTURE_FACTS_H
#define TM_TRACE_CAPTURE_FACTS_H

#include "store/store.h"
#include "target/process_info.h"
#include "trace/capture.h"

struct capture_facts { /* storage for the strings of a meta; keep it as long */
	char command[256], libc[48], container[CONTAINER_ID_LEN + 1], host[256];
};

/** "glibc 2.36"; "" without a native domain. Returns: out. */
const char *capture_libc_text(const struct capture *c, char *out, size_t cap);

/** The header of a report. Strings are borrowed from the capture and from *facts. */
void capture_hello(const struct capture *c, struct capture_facts *facts, struct report_hello *out);

/* Facts about the recording as a whole; strings are borrowed from the capture and from *facts. */
void capture_meta(const struct capture *c, double every_s, struct capture_facts *facts,
		  struct store_meta *meta);

/* Log once, when the flag is clear, that tracing costs more than --overhead. */
void capture_warn_cost(const struct capture *c, const struct snapshot *s, bool *said);

#endif
