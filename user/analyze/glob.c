/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pattern becomes a list of tokens that take one character each, and stars between them. Because of
 * that it is enough to go back to the last star on a mismatch.
 */
#include "analyze/glob.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

enum token_kind { TOKEN_CHAR, TOKEN_ANY, TOKEN_STAR, TOKEN_SET };

struct token {
	enum token_kind kind;
	bool negated;		    /* TOKEN_SET */
	uint32_t character;	    /* TOKEN_CHAR */
	size_t first_range, ranges; /* TOKEN_SET: those of glob.ranges */
};

struct range {
	uint32_t low, high;
};

struct glob {
	struct token *tokens;
	size_t token_count, token_cap;
	struct range *ranges;
	size_t range_count, range_cap;
};

/*
 * The character at s, which is NUL-terminated. A byte that is no UTF-8 is the lone surrogate that
 * Python's surrogateescape makes of it; an encoded surrogate stands for itself.
 */
static uint32_t character_at(const char *s, size_t *len)
{
	const unsigned char *p = (const unsigned char *)s;

	*len = utf8_char_len(s);
	if (!*len && p[0] == 0xed && p[1] >= 0xa0 && p[1] <= 0xbf && (p[2] & 0xc0) == 0x80)
		*len = 3;
	switch (*len) {
	case 0:
		*len = 1;
		return 0xdc00u + p[0];
	case 1:
		return p[0];
	case 2:
		return (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu);
	case 3:
		return (p[0] & 0xfu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
	default:
		return (p[0] & 7u) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 |
		       (p[3] & 0x3fu);
	}
}

static int add_token(struct glob *g, struct token token)
{
	struct token *tokens =
		array_grow(g->tokens, &g->token_cap, g->token_count + 1, sizeof(*tokens));

	if (!tokens)
		return -ENOMEM;
	g->tokens = tokens;
	tokens[g->token_count++] = token;
	return 0;
}

static int add_range(struct glob *g, uint32_t low, uint32_t high)
{
	struct range *ranges =
		array_grow(g->ranges, &g->range_cap, g->range_count + 1, sizeof(*ranges));

	if (!ranges)
		return -ENOMEM;
	g->ranges = ranges;
	ranges[g->range_count++] = (struct range){low, high};
	return 0;
}

/* ---- [seq] ---- */

/*
 * The inside of the brackets is cut at the hyphens that make ranges: chunk - chunk - chunk. Inside a
 * chunk every character stands for itself.
 */
struct chunk {
	size_t first, end; /* of the characters */
};

struct seq {
	const uint32_t *chars;
	struct chunk *chunks;
	size_t count;
};

static size_t find_hyphen(const uint32_t *chars, size_t from, size_t end)
{
	while (from < end && chars[from] != '-')
		from++;
	return from;
}

/* chunks has room for end / 2 + 2. */
static void cut_chunks(struct seq *seq, size_t end)
{
	size_t from = 0, hyphen = find_hyphen(seq->chars, seq->chars[0] == '!' ? 2 : 1, end);

	while (hyphen < end) {
		seq->chunks[seq->count++] = (struct chunk){from, hyphen};
		from = hyphen + 1;
		hyphen = find_hyphen(seq->chars, hyphen + 3, end);
	}
	if (from < end)
		seq->chunks[seq->count++] = (struct chunk){from, end};
	else /* a hyphen at the end is a character of the chunk before it */
		seq->chunks[seq->count - 1].end++;
}

/*
 * An empty range takes both its ends with it. What remains of the two chunks becomes one, so its
 * characters must be moved together, which leaves a gap after them.
 */
static void drop_empty_ranges(struct seq *seq, uint32_t *chars)
{
	for (size_t k = seq->count; k-- > 1;) {
		struct chunk *left = &seq->chunks[k - 1], *right = &seq->chunks[k];
		size_t rest;

		if (chars[left->end - 1] <= chars[right->first])
			continue;
		rest = right->end - right->first - 1;
		memmove(&chars[left->end - 1], &chars[right->first + 1], rest * sizeof(*chars));
		left->end = left->end - 1 + rest;
		memmove(right, right + 1, (seq->count - k - 1) * sizeof(*right));
		seq->count--;
	}
}

static int add_seq_token(struct glob *g, struct seq *seq)
{
	struct token token = {.kind = TOKEN_SET, .first_range = g->range_count};
	struct chunk *first = &seq->chunks[0];
	int err = 0;

	/* Also when the `!` came to the front only because the range before it was empty. */
	if (first->end > first->first && seq->chars[first->first] == '!') {
		token.negated = true;
		first->first++;
	}
	for (size_t k = 0; !err && k < seq->count; k++) {
		const struct chunk *c = &seq->chunks[k];

		for (size_t i = c->first; !err && i < c->end; i++)
			err = add_range(g, seq->chars[i], seq->chars[i]);
		if (err || !k)
			continue;
		if (k == 1 && first->first == first->end) /* nothing in front: just a hyphen */
			err = add_range(g, '-', '-');
		else
			err = add_range(g, seq->chars[c[-1].end - 1], seq->chars[c->first]);
	}
	token.ranges = g->range_count - token.first_range;
	return err ? err : add_token(g, token);
}

/* chars: the text between the brackets, at least one character. Modified. */
static int add_seq(struct glob *g, uint32_t *chars, size_t count)
{
	_cleanup_free_ struct chunk *chunks = calloc(count / 2 + 2, sizeof(*chunks));
	struct seq seq = {.chars = chars, .chunks = chunks};

	if (!chunks)
		return -ENOMEM;
	cut_chunks(&seq, count);
	drop_empty_ranges(&seq, chars);
	return add_seq_token(g, &seq);
}

/* Position of the bracket that closes a sequence whose inside starts at `from`; count: there is none. */
static size_t find_close(const uint32_t *chars, size_t from, size_t count)
{
	if (from < count && chars[from] == '!')
		from++;
	if (from < count && chars[from] == ']')
		from++;
	while (from < count && chars[from] != ']')
		from++;
	return from;
}

/* ---- the pattern ---- */

static int compile_glob(struct glob *g, uint32_t *chars, size_t count)
{
	int err = 0;

	for (size_t i = 0; !err && i < count; i++) {
		struct token *last = g->token_count ? &g->tokens[g->token_count - 1] : NULL;
		size_t close;

		switch (chars[i]) {
		case '*':
			if (!last || last->kind != TOKEN_STAR)
				err = add_token(g, (struct token){.kind = TOKEN_STAR});
			break;
		case '?':
			err = add_token(g, (struct token){.kind = TOKEN_ANY});
			break;
		case '[':
			close = find_close(chars, i + 1, count);
			if (close < count) {
				err = add_seq(g, &chars[i + 1], close - i - 1);
				i = close;
				break;
			}
			/* fallthrough */
		default:
			err = add_token(g,
					(struct token){.kind = TOKEN_CHAR, .character = chars[i]});
		}
	}
	return err;
}

int glob_new(const char *pattern, size_t len, struct glob **out)
{
	_cleanup_(glob_freep) struct glob *g = calloc(1, sizeof(*g));
	_cleanup_free_ uint32_t *chars = calloc(len + 1, sizeof(*chars));
	size_t count = 0, step;

	if (!g || !chars)
		return -ENOMEM;
	for (size_t at = 0; at < len; at += step)
		chars[count++] = character_at(pattern + at, &step);
	if (compile_glob(g, chars, count))
		return -ENOMEM;
	*out = take_ptr(g);
	return 0;
}

void glob_free(struct glob *g)
{
	if (!g)
		return;
	free(g->tokens);
	free(g->ranges);
	free(g);
}

static bool token_takes(const struct glob *g, const struct token *t, uint32_t character)
{
	bool inside = false;

	if (t->kind == TOKEN_CHAR)
		return t->character == character;
	if (t->kind == TOKEN_ANY)
		return true;
	for (size_t i = 0; !inside && i < t->ranges; i++) {
		const struct range *r = &g->ranges[t->first_range + i];

		inside = character >= r->low && character <= r->high;
	}
	return inside != t->negated;
}

bool glob_match(const struct glob *g, const char *text, size_t len)
{
	size_t token = 0, at = 0, step, star = SIZE_MAX, star_at = 0;

	while (at < len) {
		const struct token *t = token < g->token_count ? &g->tokens[token] : NULL;

		if (t && t->kind == TOKEN_STAR) {
			star = token++;
			star_at = at;
			continue;
		}
		if (t && token_takes(g, t, character_at(text + at, &step))) {
			token++;
			at += step;
			continue;
		}
		if (star == SIZE_MAX)
			return false;
		/* The last star takes one character more. */
		(void)character_at(text + star_at, &step);
		star_at += step;
		at = star_at;
		token = star + 1;
	}
	while (token < g->token_count && g->tokens[token].kind == TOKEN_STAR)
		token++;
	return token == g->token_count;
}
