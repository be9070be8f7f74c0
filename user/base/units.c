/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sizes, durations and counts as people write and read them. No locale: a point is a point. */
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

const char *units_format_size_f(char out[UNITS_LEN], double bytes, bool sign)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	const size_t last = ARRAY_LEN(units) - 1;
	double size = bytes;
	int decimals = 0;
	size_t unit = 0;

	/* Lib/tracemalloc.py:_format_size, CPython v3.11: the limits are its own. */
	for (;; unit++, size /= 1024) {
		double magnitude = size < 0 ? -size : size;

		decimals = magnitude < 100 && unit ? 1 : 0;
		if (decimals || magnitude < 10 * 1024 || unit == last)
			break;
	}
	snprintf(out, UNITS_LEN, sign ? "%+.*f %s" : "%.*f %s", decimals, size, units[unit]);
	return out;
}

const char *units_format_size(char out[UNITS_LEN], int64_t bytes, bool sign)
{
	return units_format_size_f(out, (double)bytes, sign);
}

const char *units_format_time(char out[UNITS_LEN], int64_t time_ns)
{
	size_t len = 0;

	out[0] = '\0';
	if (time_ns > 0)
		len = text_format_time(out, UNITS_LEN, time_ns, TEXT_UTC_OPEN);
	if (len)
		snprintf(out + len, UNITS_LEN - len, ".%03dZ", (int)(time_ns / 1000000 % 1000));
	return out;
}

/* Read decimal digits at *s and advance past them. Returns: 0, -EINVAL (no digit), -ERANGE. */
static int parse_digits(const char **s, uint64_t *value)
{
	bool over = false;
	uint64_t v = 0;

	if (**s < '0' || **s > '9')
		return -EINVAL;
	for (; **s >= '0' && **s <= '9'; (*s)++) {
		over |= __builtin_mul_overflow(v, 10, &v);
		over |= __builtin_add_overflow(v, (uint64_t)(**s - '0'), &v);
	}
	*value = v;
	return over ? -ERANGE : 0;
}

/* The multiplier of a size suffix, 0 = unknown. It may be past u64 only from Z on, which we refuse. */
static uint64_t size_factor(const char *suffix)
{
	static const char letters[] = "KMGTPE";
	uint64_t base = 1024, factor = 1;
	const char *letter;

	if (!*suffix || !strcmp(suffix, "B"))
		return 1;
	letter = strchr(letters, *suffix == 'k' ? 'K' : *suffix);
	if (!letter)
		return 0;
	if (!strcmp(suffix + 1, "B"))
		base = 1000;
	else if (suffix[1] && strcmp(suffix + 1, "i") && strcmp(suffix + 1, "iB"))
		return 0;
	for (const char *p = letters; p <= letter; p++)
		factor *= base;
	return factor;
}

int units_parse_size(const char *s, uint64_t *bytes)
{
	uint64_t value, factor;
	int err = parse_digits(&s, &value);

	if (err == -EINVAL)
		return err;
	factor = size_factor(s);
	if (!factor)
		return -EINVAL;
	if (err || __builtin_mul_overflow(value, factor, &value))
		return -ERANGE;
	*bytes = value;
	return 0;
}

/* Read a unit and advance past it. rank falls from days to milliseconds; -1 = no unit there. */
static int duration_unit(const char **s, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{"ms", 1000000ull}, /* before "m" */
		{"s", 1000000000ull},	     {"m", 60 * 1000000000ull},
		{"h", 3600 * 1000000000ull}, {"d", 86400 * 1000000000ull},
	};

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i].name);

		if (!strncmp(*s, units[i].name, len)) {
			*s += len;
			*ns = units[i].ns;
			return (int)i;
		}
	}
	return -1;
}

int units_parse_duration(const char *s, uint64_t *ns)
{
	uint64_t total = 0, value, unit_ns;
	bool over = false, first = true;
	int rank_before = 5;

	do {
		int err = parse_digits(&s, &value), rank;

		if (err == -EINVAL)
			return err;
		over |= err == -ERANGE;
		if (first && !*s) { /* a bare number */
			unit_ns = 1000000000ull;
		} else {
			rank = duration_unit(&s, &unit_ns);
			/* "30m1h" or "1s1s" is more likely a slip than a wish */
			if (rank < 0 || rank >= rank_before)
				return -EINVAL;
			rank_before = rank;
		}
		over |= __builtin_mul_overflow(value, unit_ns, &value);
		over |= __builtin_add_overflow(total, value, &total);
		first = false;
	} while (*s);
	if (over)
		return -ERANGE;
	*ns = total;
	return 0;
}

int units_parse_percent(const char *s, double *ratio)
{
	uint64_t whole;
	double value, weight = 0.1;

	if (parse_digits(&s, &whole))
		return -EINVAL;
	value = (double)whole;
	if (*s == '.') {
		s++;
		if (*s < '0' || *s > '9')
			return -EINVAL;
		for (; *s >= '0' && *s <= '9'; s++, weight /= 10)
			value += weight * (*s - '0');
	}
	if (strcmp(s, "%") != 0)
		return -EINVAL;
	*ratio = value / 100;
	return 0;
}

int units_parse_count(const char *s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int err = parse_digits(&s, &value);

	if (err == -EINVAL || *s)
		return -EINVAL;
	if (err || value < min || value > max)
		return -ERANGE;
	*out = value;
	return 0;
}
