/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/command.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

static char **words; /* our own array of the strings of argv */
static int word_count;

void command_remember(int argc, char **argv)
{
	free(words);
	words = calloc((size_t)argc + 1, sizeof(*words));
	word_count = words ? argc : 0;
	for (int i = 0; i < word_count; i++)
		words[i] = argv[i];
}

/* A word of these alone needs no quotes in a shell. */
static bool is_plain_word(const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "@%+=:,./_-";

	return *s && strspn(s, plain) == strlen(s);
}

static void append_word(struct buf *out, const char *s)
{
	if (out->len)
		(void)buf_append_str(out, " ");
	if (is_plain_word(s)) {
		(void)buf_append_str(out, s);
		return;
	}
	(void)buf_append_str(out, "'");
	for (; *s; s++)
		(void)buf_append_str(out, *s == '\'' ? "'\\''" : (const char[]){*s, '\0'});
	(void)buf_append_str(out, "'");
}

static bool runs_under_sudo(void)
{
	const char *uid = getenv("SUDO_UID");

	return geteuid() == 0 && uid && *uid;
}

/*
 * The text of the last call. Never freed, since a command is short and lives as long as the
 * program.
 */
static struct buf *begin_text(bool under_sudo)
{
	static struct buf text;
	char self[PATH_MAX];
	ssize_t n = -1;

	buf_reset(&text);
	if (under_sudo)
		append_word(&text, "sudo");
	if (under_sudo && !runs_under_sudo())
		n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0)
		self[n] = '\0';
	append_word(&text, n > 0 ? self : word_count ? words[0] : "tmbpf");
	return &text;
}

static const char *text_or_name(const struct buf *text)
{
	return text->data && !text->oom ? text->data : "tmbpf";
}

/*
 * How many words at `i` give the option: 0 none, 1 "--mode=X", "-pX" or one without a value, 2 "--mode X".
 */
static int words_of_option(int i, const struct command_edit *edit)
{
	const char *word = words[i];
	size_t len = strlen(edit->option);
	bool is_long = edit->option[1] == '-';

	if (!strcmp(word, edit->option))
		return edit->value && i + 1 < word_count ? 2 : 1;
	if (!edit->value || strncmp(word, edit->option, len) != 0)
		return 0;
	return !is_long || word[len] == '=' ? 1 : 0;
}

static void append_edit(struct buf *text, const struct command_edit *edit)
{
	append_word(text, edit->option);
	if (edit->value)
		append_word(text, edit->value);
}

/* The words from `first` on. */
static const char *edit_words(struct buf *text, int first, const struct command_edit *edits,
			      size_t count)
{
	uint64_t done = 0; /* by edit */

	for (int i = first; i < word_count;) {
		size_t e = 0;

		while (e < count && !words_of_option(i, &edits[e]))
			e++;
		if (e == count) {
			append_word(text, words[i++]);
			continue;
		}
		if (!(done & 1ull << e))
			append_edit(text, &edits[e]);
		done |= 1ull << e;
		i += words_of_option(i, &edits[e]);
	}
	for (size_t e = 0; e < count; e++) {
		if (!(done & 1ull << e))
			append_edit(text, &edits[e]);
	}
	return text_or_name(text);
}

const char *command_edited(const struct command_edit *edits, size_t count)
{
	return edit_words(begin_text(runs_under_sudo()), 1, edits, count < 64 ? count : 64);
}

const char *command_with(const char *option, const char *value)
{
	const struct command_edit edit = {option, value};

	return command_edited(&edit, 1);
}

const char *command_as_root(void)
{
	return edit_words(begin_text(true), 1, NULL, 0);
}

const char *command_to_trace(const char *option, const char *value)
{
	const struct command_edit edit = {option, value};
	bool is_sites = word_count > 1 && !strcmp(words[1], "sites");

	return edit_words(begin_text(runs_under_sudo()), is_sites ? 2 : 1, &edit, 1);
}

const char *command_other(const char *fmt, ...)
{
	struct buf *text = begin_text(runs_under_sudo());
	char args[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	(void)buf_append_str(text, " ");
	(void)buf_append_str(text, args);
	return text_or_name(text);
}
