/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A Python process that holds code objects (code_child.py), and what it says they are. */
#ifndef TM_TESTS_SYMBOLIZE_CODE_CHILD_H
#define TM_TESTS_SYMBOLIZE_CODE_CHILD_H

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/python_process.h"

struct said_code { /* one code object as the child describes it; all owned */
	uint64_t addr;
	int32_t firstlineno;
	uint32_t firsttraceable;
	char *filename, *qualname;
	uint8_t *bytecode;
	size_t bytecode_len;
	int32_t *lines; /* of offset 2 * (i - 1) */
	size_t line_count;
};

struct code_child {
	pid_t pid;
	unsigned minor;
	int stdin_fd;
	uint64_t type_addr;
	struct said_code *codes;
	size_t count;
};

static inline unsigned nibble(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static inline uint8_t *unhex(const char *hex, size_t *len)
{
	size_t n = hex[0] == '-' ? 0 : strlen(hex) / 2;
	uint8_t *out = calloc(1, n + 1);

	for (size_t i = 0; out && i < n; i++)
		out[i] = (uint8_t)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
	*len = n;
	return out;
}

static inline void said_code_parse(struct said_code *c, char *line)
{
	char *save = NULL;
	const char *field[7];
	size_t len;

	for (int i = 0; i < 7; i++)
		field[i] = strtok_r(i ? NULL : line, " \n", &save);
	c->addr = strtoull(field[0], NULL, 16);
	c->firstlineno = (int32_t)strtol(field[1], NULL, 10);
	c->firsttraceable = (uint32_t)strtoul(field[2], NULL, 10);
	c->filename = (char *)unhex(field[3], &len);
	c->qualname = (char *)unhex(field[4], &len);
	c->bytecode = unhex(field[5], &c->bytecode_len);
	c->lines = calloc(c->bytecode_len / 2 + 2, sizeof(*c->lines));
	for (const char *p = field[6]; p; p = strchr(p, ',')) {
		p += *p == ',';
		c->lines[c->line_count++] = (int32_t)strtol(p, NULL, 10);
	}
}

static inline bool code_child_listen(struct code_child *child, FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	bool ended = false;

	while (!ended && getline(&line, &cap, f) > 0) {
		if (sscanf(line, "type %lx", &child->type_addr) == 1)
			continue;
		ended = strcmp(line, "end\n") == 0;
		if (ended)
			break;
		child->codes = reallocarray(child->codes, child->count + 1, sizeof(*child->codes));
		child->codes[child->count] = (struct said_code){0};
		said_code_parse(&child->codes[child->count++], line);
	}
	free(line);
	return ended;
}

/* Returns: 0 when the child told everything and waits. */
static inline int code_child_start(struct code_child *child, const struct python *p,
				   const char *test_source)
{
	char *script = python_script(test_source, "code_child.py");
	const char *const args[] = {"-c", script, NULL};
	int out;

	*child = (struct code_child){.minor = p->minor};
	if (!script)
		return -ENOENT;
	child->pid = python_start(p, args, NULL, &child->stdin_fd, &out);
	free(script);
	if (child->pid < 0)
		return -errno;

	FILE *f = fdopen(out, "r");
	bool ended = f && code_child_listen(child, f);

	if (f)
		fclose(f);
	return ended ? 0 : -EIO;
}

/* The end of its stdin ends it. */
static inline void code_child_stop(struct code_child *child)
{
	close(child->stdin_fd);
	waitpid(child->pid, NULL, 0);
	for (size_t i = 0; i < child->count; i++) {
		free(child->codes[i].filename);
		free(child->codes[i].qualname);
		free(child->codes[i].bytecode);
		free(child->codes[i].lines);
	}
	free(child->codes);
}

#endif
