/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Print and parse sizes, durations and counts. Sizes are IEC, formatted as tracemalloc formats them. */
#ifndef TM_BASE_UNITS_H
#define TM_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS_LEN 32

/**
 * As Lib/tracemalloc.py:_format_size(size, sign): one decimal below 100 of a unit, none up to 10 * 1024.
 * Returns: out.
 */
const char *units_format_size(char out[UNITS_LEN], int64_t bytes, bool sign);
/* Format a fraction of a byte, as averages have. bytes is finite and below 2^80. */
const char *units_format_size_f(char out[UNITS_LEN], double bytes, bool sign);

/**
 * RFC 3339, UTC, milliseconds: "2026-11-22T14:02:10.014Z". Units: ns since 1970.
 * Returns: out; it is "" for 0 and below, which stand for "not known".
 */
const char *units_format_time(char out[UNITS_LEN], int64_t time_ns);

/** "64K", "1MiB", "2GB", "3Gi", "512": K/KiB/Ki = 1024, KB = 1000. Returns: 0, -EINVAL, -ERANGE. */
int units_parse_size(const char *s, uint64_t *bytes);

/** "90s", "5m", "1h30m", "500ms", "10" (seconds). Returns: 0, -EINVAL, -ERANGE. */
int units_parse_duration(const char *s, uint64_t *ns);

/** "5%", "0.5%". Out is a ratio, 0.05. Returns: 0, -EINVAL. */
int units_parse_percent(const char *s, double *ratio);

/** A decimal number within [min, max]. Returns: 0, -EINVAL, -ERANGE. */
int units_parse_count(const char *s, uint64_t min, uint64_t max, uint64_t *out);

#endif
