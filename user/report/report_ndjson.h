/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Members that stand in several NDJSON records. Private to user/report/. */
#ifndef TM_REPORT_NDJSON_H
#define TM_REPORT_NDJSON_H

#include "base/intern.h"
#include "base/json_writer.h"
#include "snapshot/snapshot.h"

/** "time": RFC 3339, or null. */
void ndjson_put_time(struct json_writer *w, int64_t time_ns);
/** "coverage": an object a domain, or null. */
void ndjson_put_coverage(struct json_writer *w, const struct snapshot *s);
/** A string, or null for none. */
void ndjson_put_name(struct json_writer *w, const char *key, const struct intern *in, str_id_t id);
/** "lost": counts by reason, without zeros. */
void ndjson_put_losses(struct json_writer *w, const struct snapshot *s);
/** "unfollowed": the gap, or null. */
void ndjson_put_gap(struct json_writer *w, const struct snapshot *s);

#endif
