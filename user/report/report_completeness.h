/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text about coverage and losses. Private to user/report/. */
#ifndef TM_REPORT_COMPLETENESS_H
#define TM_REPORT_COMPLETENESS_H

#include "base/buf.h"
#include "snapshot/snapshot.h"

/** The coverage line, then a line for each loss and for each domain whose numbers are too low. */
void completeness_write(struct buf *out, const struct snapshot *s, unsigned frames);

#endif
