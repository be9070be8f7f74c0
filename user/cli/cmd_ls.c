// SPDX-License-Identifier: GPL-2.0-or-later
/* `tmbpf ls`: the Python processes that can be seen from here, and whether tmbpf can trace them. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/log.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "target/proc_fs.h"
#include "target/process_info.h"
#include "target/python_process.h"
#include "target/python_target.h"

struct row {
	pid_t pid, ns_pid; /* ns_pid: its number inside its container; 0 when it is the same */
	char comm[16], python[40];
	char container[CONTAINER_ID_LEN + 1];
	char command[256];
	uint64_t rss_bytes;
	enum { SUPPORTED_NO, SUPPORTED_YES, SUPPORTED_UNKNOWN } supported;
	char reason[256]; /* when it is not */
};

struct listing {
	struct row *rows;
	size_t count, cap;
	bool json, oom;
	unsigned hidden; /* processes whose files we may not see, with an undecided name */
};

static void on_reason(void *ctx, enum log_level level, const char *code, const char *message,
		      const char *fix)
{
	struct row *r = ctx;

	(void)fix;
	if (level == LOG_ERROR && !r->reason[0])
		snprintf(r->reason, sizeof(r->reason), "%s%s%s", code, *code ? ": " : "", message);
}

static void judge_row(struct row *r, struct target *t)
{
	struct python_target py;
	int err = python_target_find(t, &py);

	r->supported = SUPPORTED_NO;
	if (err == -ENOENT) {
		snprintf(r->reason, sizeof(r->reason), "no CPython is mapped");
	} else if (err == -EAGAIN) {
		snprintf(r->reason, sizeof(r->reason), "the interpreter is not initialised yet");
	} else if (err) {
		if (!r->reason[0])
			snprintf(r->reason, sizeof(r->reason), "%s", strerror(-err));
	} else {
		snprintf(r->python, sizeof(r->python), "%s%s", py.version,
			 py.free_threaded ? "t" : "");
		r->supported = SUPPORTED_YES;
	}
}

static void look_closer(struct row *r)
{
	_cleanup_(target_freep) struct target *t = NULL;
	int err;

	log_divert(on_reason, r);
	err = target_open(r->pid, &t);
	if (!err)
		judge_row(r, t);
	log_divert(NULL, NULL);
	if (!err && t->ns_pid != r->pid)
		r->ns_pid = t->ns_pid;
	if (err == -EACCES || err == -EPERM) {
		r->supported = SUPPORTED_UNKNOWN;
		snprintf(r->reason, sizeof(r->reason), "not permitted; run as root");
	} else if (err) {
		r->supported = SUPPORTED_NO;
	}
}

static bool add_process(pid_t pid, void *ctx)
{
	struct listing *l = ctx;
	struct row r = {.pid = pid}, *rows;
	struct proc_stat st;
	char version[PYTHON_NAME_VERSION] = "";
	int kind;

	if (pid == getpid() || proc_stat_read(pid, &st) || st.state == 'Z')
		return false;
	process_command(pid, r.command, sizeof(r.command));
	if (!r.command[0])
		return false; /* a kernel thread */
	kind = python_process_kind(pid, version);
	if (kind < 0)
		l->hidden++;
	if (kind <= PYTHON_NONE)
		return false;
	memcpy(r.comm, st.comm, sizeof(r.comm));
	snprintf(r.python, sizeof(r.python), "%s", version);
	r.rss_bytes = process_rss(pid);
	(void)process_container(pid, r.container);
	look_closer(&r);
	rows = array_grow(l->rows, &l->cap, l->count + 1, sizeof(*rows));
	l->oom = !rows;
	if (rows) {
		l->rows = rows;
		rows[l->count++] = r;
	}
	return l->oom;
}

static int by_rss(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->rss_bytes != y->rss_bytes)
		return x->rss_bytes < y->rss_bytes ? 1 : -1;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* ---- output ---- */

static void write_json(const struct row *r, struct buf *out)
{
	struct json_writer w = {.out = out};

	json_object_begin(&w, NULL);
	json_str(&w, "schema", "tmbpf/1");
	json_str(&w, "type", "process");
	json_i64(&w, "pid", r->pid);
	json_i64(&w, "ns_pid", r->ns_pid ? r->ns_pid : r->pid);
	json_str(&w, "comm", r->comm);
	json_str(&w, "command", r->command);
	json_str(&w, "python", r->python[0] ? r->python : NULL);
	json_u64(&w, "rss_bytes", r->rss_bytes);
	json_str(&w, "container", r->container[0] ? r->container : NULL);
	if (r->supported == SUPPORTED_UNKNOWN)
		json_null(&w, "supported");
	else
		json_bool(&w, "supported", r->supported == SUPPORTED_YES);
	json_str(&w, "reason", r->reason[0] ? r->reason : NULL);
	json_object_end(&w);
	(void)buf_append_str(out, "\n");
}

static void write_text(const struct row *r, bool containers, struct buf *out)
{
	char rss[UNITS_LEN], where[48] = "-";

	if (r->container[0])
		snprintf(where, sizeof(where), "%.*s", CONTAINER_SHORT, r->container);
	if (r->ns_pid)
		snprintf(where + strlen(where), sizeof(where) - strlen(where), " (%d)", r->ns_pid);
	units_format_size(rss, (int64_t)r->rss_bytes, false);
	buf_printf(out, "%7d  %-8s %9s  ", r->pid, r->python[0] ? r->python : "?", rss);
	if (containers)
		buf_printf(out, "%-20s  ", where);
	buf_printf(out, "%-9s  ",
		   r->supported == SUPPORTED_YES  ? "yes"
		   : r->supported == SUPPORTED_NO ? "no"
						  : "?");
	text_append_clean(out, r->command);
	if (r->reason[0]) {
		(void)buf_append_str(out, "   [");
		text_append_clean(out, r->reason);
		(void)buf_append_str(out, "]");
	}
	(void)buf_append_str(out, "\n");
}

static int write_rows(const struct listing *l)
{
	_cleanup_(buf_release) struct buf out = {0};
	bool containers = false;

	for (size_t i = 0; i < l->count; i++)
		containers |= l->rows[i].container[0] || l->rows[i].ns_pid;
	if (!l->json && l->count)
		buf_printf(&out, "    PID  PYTHON         RSS  %s%s",
			   containers ? "CONTAINER             " : "", "SUPPORTED  COMMAND\n");
	for (size_t i = 0; i < l->count; i++) {
		if (l->json)
			write_json(&l->rows[i], &out);
		else
			write_text(&l->rows[i], containers, &out);
	}
	if (out.oom)
		return -ENOMEM;
	if (out.len && fwrite(out.data, 1, out.len, stdout) != out.len)
		return -errno;
	return fflush(stdout) ? -errno : 0;
}

static void say_next(const struct listing *l)
{
	const struct row *first = NULL;
	unsigned unknown = 0;

	for (size_t i = 0; i < l->count; i++) {
		unknown += l->rows[i].supported == SUPPORTED_UNKNOWN;
		if (!first && l->rows[i].supported == SUPPORTED_YES)
			first = &l->rows[i];
	}
	if (!l->count)
		log_talk("no Python process is visible here");
	if (unknown || (l->hidden && geteuid() != 0))
		log_talk("Next: sudo tmbpf ls      (%u processes not accessible)",
			 unknown + l->hidden);
	else if (first)
		log_talk("Next: %stmbpf -p %d      or: %stmbpf record -p %d",
			 geteuid() ? "sudo " : "", first->pid, geteuid() ? "sudo " : "",
			 first->pid);
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
	struct listing *l = state->input;

	switch (key) {
	case 'j':
		l->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many arguments: %s", arg);
		return EINVAL;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int cmd_ls(int argc, char **argv)
{
	static const struct argp_option table[] = {
		{"json", 'j', NULL, 0, "one JSON object a line (schema tmbpf/1)", 0},
		{0},
	};
	static const struct argp argp = {
		.options = table,
		.parser = parse_one,
		.doc = "The Python processes that can be seen from here, the biggest first, and whether tmbpf "
		       "can trace them. Found by the names of their program and libraries, and by what their program exports.\v"
		       "Exit status: 0 done, 2 usage, 3 there is none, 7 cannot write output.",
	};
	struct listing l = {0};
	char name[] = "tmbpf ls";
	int err;

	argp_err_exit_status = 2;
	argv[0] = name; /* in argp's messages */
	argp_parse(&argp, argc, argv, 0, NULL, &l);
	(void)proc_for_each(add_process, &l);
	qsort(l.rows, l.count, sizeof(*l.rows), by_rss);
	err = l.oom ? -ENOMEM : write_rows(&l);
	if (!err)
		say_next(&l);
	free(l.rows);
	if (err && err != -EPIPE) {
		log_coded_err(err, "E701", NULL, "cannot write to stdout: %s", strerror(-err));
		return 7;
	}
	return !err && !l.count ? 3 : 0;
}
