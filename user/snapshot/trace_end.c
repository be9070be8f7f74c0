// SPDX-License-Identifier: GPL-2.0-or-later
#include "snapshot/trace_end.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *key, *text;
	int status;
	bool gone;
} ends[] = {
#define X(id, key, status, gone, text) {key, text, status, gone},
	TRACE_END_LIST(X)
#undef X
};

static const struct {
	const char *key, *rule;
} modes[] = {
#define X(id, key, rule) {key, rule},
	TRACE_MODE_LIST(X)
#undef X
};

const char *trace_end_key(enum trace_end_reason reason)
{
	return ends[reason].key;
}

bool trace_end_target_gone(enum trace_end_reason reason)
{
	return ends[reason].gone;
}

int trace_end_status(enum trace_end_reason reason)
{
	return ends[reason].status;
}

const char *trace_end_text(const struct trace_end *end, char *out, size_t cap)
{
	if (end->reason == TRACE_END_TARGET_EXIT && end->code_known)
		snprintf(out, cap, "has exited with status %d", end->code);
	else if (end->reason == TRACE_END_TARGET_SIGNAL && end->code_known)
		snprintf(out, cap, "was ended by signal %d (%s)", end->code, strsignal(end->code));
	else
		snprintf(out, cap, "%s", ends[end->reason].text);
	return out;
}

const char *trace_mode_key(enum trace_mode mode)
{
	return modes[mode].key;
}

const char *trace_mode_rule(enum trace_mode mode)
{
	return modes[mode].rule;
}

enum trace_mode trace_mode_of(const char *key)
{
	for (int i = 1; key && i < TRACE_MODES; i++) {
		if (!strcmp(modes[i].key, key))
			return (enum trace_mode)i;
	}
	return TRACE_MODE_UNKNOWN;
}
