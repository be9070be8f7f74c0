/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps the text after FILE@ to a snapshot of the series. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/text.h"
#include "store/store_priv.h"

#define SECOND_NS 1000000000LL
#define DAYS_BACK \
	4 /* today's is still to come, yesterday's was skipped with an hour, or a whole day */

struct moment {
	struct tm tm; /* year..day only when dated */
	int64_t fraction_ns, precision_ns;
	bool dated, utc; /* utc: Z or an offset was given; else local time */
	long offset_s;
};

/* Exactly n digits. */
static bool read_digits(const char **s, int n, int *value)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*s)++) {
		if (!isdigit((unsigned char)**s))
			return false;
		v = v * 10 + (**s - '0');
	}
	*value = v;
	return true;
}

static bool skip_char(const char **s, char c)
{
	if (**s != c)
		return false;
	(*s)++;
	return true;
}

/* The calendar has it: 31 November would silently be 1 December. */
static bool is_date(const struct tm *date)
{
	struct tm tm = {.tm_year = date->tm_year, .tm_mon = date->tm_mon, .tm_mday = date->tm_mday};

	(void)timegm(&tm);
	return tm.tm_mon == date->tm_mon && tm.tm_mday == date->tm_mday;
}

/* "2026-11-22T" or "2026-11-22 ", or nothing. */
static bool parse_date(const char **s, struct moment *m)
{
	const char *p = *s;
	int year, month, day;

	if (!read_digits(&p, 4, &year) || !skip_char(&p, '-'))
		return true; /* no date: the caller tries a time */
	if (!read_digits(&p, 2, &month) || !skip_char(&p, '-') || !read_digits(&p, 2, &day) ||
	    (*p != 'T' && *p != ' '))
		return false;
	m->dated = true;
	m->tm.tm_year = year - 1900;
	m->tm.tm_mon = month - 1;
	m->tm.tm_mday = day;
	*s = p + 1;
	return is_date(&m->tm);
}

/* "14:02", "14:02:20", "14:02:20.125" */
static bool parse_clock(const char **s, struct moment *m)
{
	struct tm *tm = &m->tm;
	int64_t unit = SECOND_NS;

	if (!read_digits(s, 2, &tm->tm_hour) || !skip_char(s, ':') ||
	    !read_digits(s, 2, &tm->tm_min) || tm->tm_hour > 23 || tm->tm_min > 59)
		return false;
	m->precision_ns = 60 * SECOND_NS;
	if (!skip_char(s, ':'))
		return true;
	if (!read_digits(s, 2, &tm->tm_sec) || tm->tm_sec > 60)
		return false;
	if (tm->tm_sec == 60)
		tm->tm_sec = 59; /* time_t counts no leap seconds */
	m->precision_ns = SECOND_NS;
	if (!skip_char(s, '.'))
		return true;
	if (!isdigit((unsigned char)**s))
		return false;
	for (; isdigit((unsigned char)**s); (*s)++) {
		if (unit == 1)
			continue; /* finer than a clock */
		unit /= 10;
		m->fraction_ns += (**s - '0') * unit;
	}
	m->precision_ns = unit;
	return true;
}

/* "Z", "+01:00", or nothing. */
static bool parse_zone(const char **s, struct moment *m)
{
	int sign = **s == '-' ? -1 : 1, hours, minutes;

	if (skip_char(s, 'Z')) {
		m->utc = true;
	} else if (**s == '+' || **s == '-') {
		(*s)++;
		if (!read_digits(s, 2, &hours) || !skip_char(s, ':') ||
		    !read_digits(s, 2, &minutes) || hours > 23 || minutes > 59)
			return false;
		m->utc = true;
		m->offset_s = sign * (hours * 3600L + minutes * 60L);
	}
	return !**s;
}

static bool shows_time(time_t t, const struct tm *want)
{
	struct tm is;

	return localtime_r(&t, &is) && is.tm_year == want->tm_year && is.tm_mon == want->tm_mon &&
	       is.tm_mday == want->tm_mday && is.tm_hour == want->tm_hour &&
	       is.tm_min == want->tm_min && is.tm_sec == want->tm_sec;
}

/* The last moment up to the end at which a local clock showed this: twice in a year an hour is there two times. */
static time_t last_shown(const struct tm *want, time_t end)
{
	time_t last = -1;

	for (int dst = 0; dst < 2; dst++) {
		struct tm tm = *want;
		time_t t;

		tm.tm_isdst = dst;
		t = mktime(&tm);
		if (t > last && t <= end && shows_time(t, want))
			last = t;
	}
	return last;
}

static time_t dated_time(const struct moment *m, time_t end)
{
	struct tm tm = m->tm;
	time_t t;

	if (m->utc)
		return timegm(&tm) - m->offset_s;
	t = last_shown(&tm, end);
	if (t >= 0)
		return t;
	tm.tm_isdst =
		-1; /* after the end, or in an hour that was skipped: what lies before is meant */
	return mktime(&tm);
}

/* Without a date: the last time that the clock showed this before the series ended. */
static time_t last_time_of_day(const struct moment *m, time_t end)
{
	time_t there = end + (m->utc ? m->offset_s : 0), t = -1;
	struct tm today;

	if (m->utc ? !gmtime_r(&there, &today) : !localtime_r(&there, &today))
		return -1;
	for (int days = 0; t < 0 && days < DAYS_BACK; days++) {
		struct tm tm = m->tm, date = {.tm_year = today.tm_year,
					      .tm_mon = today.tm_mon,
					      .tm_mday = today.tm_mday - days};

		(void)timegm(&date); /* only to have 0 March put right */
		tm.tm_year = date.tm_year;
		tm.tm_mon = date.tm_mon;
		tm.tm_mday = date.tm_mday;
		t = m->utc ? timegm(&tm) - m->offset_s : last_shown(&tm, end);
		if (t > end)
			t = -1;
	}
	return t;
}

static const char *utc_text(char out[40], int64_t time_s)
{
	int64_t time_ns;

	out[0] = '\0';
	if (!__builtin_mul_overflow(time_s, 1000000000LL, &time_ns))
		(void)text_format_time(out, 40, time_ns, TEXT_UTC);
	return out;
}

/* local: " (local time, ...)" where it matters, else "". */
static int none_found(const struct store *s, const char *when, const char *local)
{
	char first[40], last[40], fix[160] = "name one of them, like @last, @-2, or a time";

	if (!s->count)
		return log_coded_err(-ENOENT, "E315",
				     s->live ? "wait for the first; tmbpf is recording" : NULL,
				     "%s has no snapshot yet", s->path);
	if (*local)
		snprintf(fix, sizeof(fix),
			 "times are printed in UTC; to ask for UTC add a Z: @%.40sZ", when);
	return log_coded_err(-ENOENT, "E315", fix,
			     "%s has no snapshot at '%s'%s: it holds %zu from %s (%u) to %s (%u)",
			     s->path, when, local, s->count,
			     utc_text(first, s->entries[0].time_ns / SECOND_NS), s->entries[0].seq,
			     utc_text(last, s->entries[s->count - 1].time_ns / SECOND_NS),
			     s->entries[s->count - 1].seq);
}

/* Print the time in UTC: without a zone it was taken for local time, but all output is UTC. */
static int none_at(const struct store *s, const char *when, const struct moment *m, time_t t)
{
	char utc[40], local[80] = "";
	struct tm tm;

	if (!m->utc && localtime_r(&t, &tm) && tm.tm_gmtoff)
		snprintf(local, sizeof(local), " (local time, %s)", utc_text(utc, t));
	return none_found(s, when, local);
}

static int find_time(const struct store *s, const char *when, const struct moment *m, size_t *index)
{
	time_t end = (time_t)(s->entries[s->count - 1].time_ns / SECOND_NS);
	time_t t = m->dated ? dated_time(m, end) : last_time_of_day(m, end);
	int64_t limit;
	size_t i;

	if (t < 0 || __builtin_mul_overflow((int64_t)t, SECOND_NS, &limit))
		return none_found(s, when, "");
	limit += m->fraction_ns + m->precision_ns - 1;
	for (i = s->count; i > 0 && s->entries[i - 1].time_ns > limit;)
		i--;
	if (!i)
		return none_at(s, when, m, t);
	*index = i - 1;
	return 0;
}

/* "12", "-1"; false when it is not such a number. */
static bool parse_number(const char *when, int64_t *n)
{
	const char *p = when + (*when == '-');
	int64_t v = 0;

	if (!*p)
		return false;
	for (; *p; p++) {
		if (!isdigit((unsigned char)*p) || v > UINT32_MAX)
			return false;
		v = v * 10 + (*p - '0');
	}
	*n = *when == '-' ? -v : v;
	return true;
}

static int find_number(const struct store *s, const char *when, int64_t n, size_t *index)
{
	if (n < 0 && (uint64_t)-n <= s->count) {
		*index = s->count - (size_t)-n;
		return 0;
	}
	for (size_t i = 0; i < s->count; i++) {
		if (s->entries[i].seq == n) {
			*index = i;
			return 0;
		}
	}
	return none_found(s, when, "");
}

int store_find(const struct store *s, const char *when, size_t *index)
{
	struct moment m = {0};
	const char *p = when;
	int64_t n;

	if (!when || !strcmp(when, "last"))
		n = -1;
	else if (!strcmp(when, "first"))
		n = -(int64_t)s->count;
	else if (!parse_number(when, &n)) {
		if (!parse_date(&p, &m) || !parse_clock(&p, &m) || !parse_zone(&p, &m))
			return log_coded_err(
				-EINVAL, "E201", NULL,
				"'%s' is no time: give first, last, -2, a number, 14:02:20 or 2026-11-22T14:02:20Z",
				when);
		return s->count ? find_time(s, when, &m, index) : none_found(s, when, "");
	}
	return find_number(s, when ? when : "last", n, index);
}
