// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf explain`: the meaning, cause and fix of a code or of a reason for losses. */
#include <argp.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/codes.h"
#include "base/log.h"
#include "cli/cmd.h"

#define CLOSEST_SHOWN 3

struct explain_names {
	char **names; /* of argv */
	int count;
};

static void print_code(const struct code_row *row)
{
	int status = codes_exit_status(row->code);

	printf("%s: %s\n", row->code, row->meaning);
	if (status)
		printf("  exit status: %d\n", status);
	printf("  cause: %s\n  fix: %s\n", row->cause, row->fix);
}

static void print_loss(const struct loss_row *row)
{
	printf("%s: %s\n  remedy: %s\n", row->key, row->text, row->remedy);
}

static void print_list(void)
{
	size_t count;
	const struct code_row *rows = codes_all(&count);

	for (size_t i = 0; i < count; i++)
		printf("%s  %s\n", rows[i].code, rows[i].meaning);
	for (int i = 0; i < TM_DROP_COUNT; i++)
		printf("%s  %s\n", losses_get((enum tm_drop)i)->key,
		       losses_get((enum tm_drop)i)->text);
}

/* Every name that can be asked for, by number; NULL after the last. */
static const char *name_at(size_t i)
{
	size_t count;
	const struct code_row *rows = codes_all(&count);

	if (i < count)
		return rows[i].code;
	return i - count < TM_DROP_COUNT ? losses_get((enum tm_drop)(i - count))->key : NULL;
}

/* ", E303, E304": the names with the fewest edits, in the order of the table. */
static void append_closest(struct buf *text, const char *name)
{
	size_t best = SIZE_MAX, shown = 0;

	for (size_t i = 0; name_at(i); i++) {
		size_t d = codes_distance(name, name_at(i));

		best = d < best ? d : best;
	}
	for (size_t i = 0; name_at(i) && shown < CLOSEST_SHOWN; i++) {
		if (codes_distance(name, name_at(i)) == best)
			(void)buf_printf(text, "%s%s", shown++ ? ", " : "", name_at(i));
	}
}

static int explain_name(const char *name)
{
	_cleanup_(buf_release) struct buf closest = {0};
	const struct code_row *code = codes_find(name);
	const struct loss_row *loss = losses_find(name);

	if (code)
		print_code(code);
	else if (loss)
		print_loss(loss);
	if (code || loss)
		return 0;
	append_closest(&closest, name);
	return log_coded_err(-EINVAL, "E201", "tmbpf explain lists all of them",
			     "no code or loss '%s'; the closest: %s", name,
			     closest.data ? closest.data : "none");
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct explain_names *asked = state->input;

	(void)arg;
	if (key != ARGP_KEY_ARGS)
		return ARGP_ERR_UNKNOWN;
	asked->names = state->argv + state->next;
	asked->count = state->argc - state->next;
	return 0;
}

int cmd_explain(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_one,
		.args_doc = "[CODE|LOSS...]",
		.doc = "The meaning, cause and fix of a code (E301) or of a reason for losses (ring_full). "
		       "Without one: a list of all.\v"
		       "Exit status: 0 done, 2 usage or no such code, 7 cannot write output.",
	};
	struct explain_names asked = {0};
	char name[] = "tmbpf explain";

	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &asked);
	if (!asked.count)
		print_list();
	for (int i = 0; i < asked.count; i++)
		(void)explain_name(asked.names[i]);
	if (fflush(stdout)) {
		log_coded_err(-errno, "E701", NULL, "cannot write to stdout: %s", strerror(errno));
		return 7;
	}
	return log_exit_status(0);
}
