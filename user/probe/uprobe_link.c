// SPDX-License-Identifier: GPL-2.0-or-later
/* uprobe_multi links by raw bpf(2): libbpf 1.1 has no call for them. Perf events through libbpf. */
#include "probe/uprobe_link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "probe/shielded.h"
#include "probe/uprobe_multi_abi.h"

struct uprobe_link {
	int fd;			/* multi; -1 otherwise */
	struct bpf_link **perf; /* owned, one a site */
	size_t perf_count;
	char *path; /* multi: what it was attached to; owned */
	uint64_t *offsets;
	size_t count;
	pid_t pid;
};

struct multi_request {
	int prog_fd;
	const struct uprobe_sites *sites;
};

/* Returns: the link's descriptor, -errno. */
static int link_create_multi(const void *arg)
{
	const struct multi_request *r = arg;
	const struct uprobe_sites *s = r->sites;
	struct uprobe_multi_link_attr attr = {
		.prog_fd = (uint32_t)r->prog_fd,
		.attach_type = TM_BPF_TRACE_UPROBE_MULTI,
		.path = (uintptr_t)s->path,
		.offsets = (uintptr_t)s->offsets,
		.cookies = (uintptr_t)s->cookies,
		.cnt = (uint32_t)s->count,
		.flags = s->ret ? TM_BPF_F_UPROBE_MULTI_RETURN : 0,
		.pid = (uint32_t)s->pid,
	};
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

	return fd < 0 ? -errno : (int)fd;
}

bool uprobe_multi_supported(void)
{
	struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = (enum bpf_attach_type)TM_BPF_TRACE_UPROBE_MULTI);
	const uint64_t offset = 0;
	struct uprobe_sites sites = {.path = "/", .offsets = &offset, .count = 1};
	_cleanup_close_ int prog_fd = -1;
	int err;

	prog_fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "multi_probe", "GPL", insns, ARRAY_LEN(insns),
				&opts);
	if (prog_fd < 0)
		return false;
	/* A kernel that knows the link type gets as far as "/ is not a regular file": EBADF. */
	err = link_create_multi(&(struct multi_request){prog_fd, &sites});
	if (err >= 0)
		close(err);
	return err == -EBADF;
}

/*
 * No helper process: a SIGKILL stops a link that then does not exist, and the others close with our
 * descriptors.
 */
static int attach_perf(const struct bpf_program *prog, const struct uprobe_sites *s,
		       struct uprobe_link *link)
{
	link->perf = calloc(s->count, sizeof(struct bpf_link *));
	if (!link->perf)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = s->cookies ? s->cookies[i] : 0,
			    .retprobe = s->ret);
		struct bpf_link *one;

		one = bpf_program__attach_uprobe_opts(prog, s->pid, s->path, s->offsets[i], &opts);
		if (!one)
			return -errno;
		link->perf[link->perf_count++] = one;
	}
	return 0;
}

static int keep_sites(struct uprobe_link *link, const struct uprobe_sites *s)
{
	link->path = strdup(s->path);
	link->offsets = calloc(s->count, sizeof(*link->offsets));
	if (!link->path || !link->offsets)
		return -ENOMEM;
	memcpy(link->offsets, s->offsets, s->count * sizeof(*link->offsets));
	link->count = s->count;
	link->pid = s->pid;
	return 0;
}

static void release_link(struct uprobe_link *link)
{
	free(link->perf);
	free(link->path);
	free(link->offsets);
	free(link);
}

int uprobe_link_attach(const struct bpf_program *prog, const struct uprobe_sites *sites, bool multi,
		       struct uprobe_link **out)
{
	_cleanup_(uprobe_link_freep) struct uprobe_link *link = calloc(1, sizeof(*link));
	int err;

	if (!link)
		return -ENOMEM;
	link->fd = -1;
	if (multi) {
		struct multi_request r = {bpf_program__fd(prog), sites};

		err = keep_sites(link, sites);
		if (err)
			return err;
		if (!shielded_call(link_create_multi, &r, NULL, &link->fd))
			link->fd = link_create_multi(&r);
		err = link->fd < 0 ? link->fd : 0;
	} else {
		err = attach_perf(prog, sites, link);
	}
	if (err)
		return err;
	*out = take_ptr(link);
	return 0;
}

int uprobe_link_like(const struct uprobe_link *link, const struct bpf_program *prog,
		     struct uprobe_link **out)
{
	struct uprobe_sites sites = {.path = link->path,
				     .offsets = link->offsets,
				     .count = link->count,
				     .pid = link->pid};

	if (link->fd < 0)
		return -EOPNOTSUPP;
	return uprobe_link_attach(prog, &sites, true, out);
}

/* All of a link; the memory is left as it is. */
static int detach_link(const void *arg)
{
	const struct uprobe_link *link = arg;

	if (link->fd >= 0)
		close(link->fd);
	for (size_t i = 0; i < link->perf_count; i++)
		bpf_link__destroy(link->perf[i]);
	return 0;
}

/* Logged once in the life of the process, because what delays one link delays the next, too. */
static void detach_is_slow(void)
{
	static bool logged;

	if (!logged)
		log_coded_warn(
			"W136", NULL,
			"detaching takes longer than a second: the kernel waits until no task "
			"can be on its way through a probe any more; the target runs on");
	logged = true;
}

void uprobe_link_free(struct uprobe_link *link)
{
	int err;

	if (!link)
		return;
	if (shielded_call(detach_link, link, detach_is_slow, &err)) {
		/* Free without closing, because the child closed the descriptors that we share. */
		for (size_t i = 0; i < link->perf_count; i++) {
			bpf_link__disconnect(link->perf[i]);
			bpf_link__destroy(link->perf[i]);
		}
	} else {
		detach_link(link);
	}
	release_link(link);
}

#define CLOSING_MAX 32 /* at the same time; more are closed one after the other */

struct closing {
	struct uprobe_link **links;
	size_t count;
};

/*
 * A child for each link. Only system calls, because another thread of ours may hold a lock of malloc. Nothing is
 * logged.
 */
static int close_all(const void *arg)
{
	const struct closing *c = arg;
	pid_t children[CLOSING_MAX];
	size_t count = 0;

	for (size_t i = 0; i < c->count; i++) {
		long pid = -1;

		if (!c->links[i] || c->links[i]->fd < 0)
			continue;
		if (count < CLOSING_MAX)
			pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
		if (pid > 0) {
			children[count++] = (pid_t)pid;
			continue;
		}
		close(c->links[i]->fd);
		if (!pid)
			syscall(SYS_exit_group, 0);
	}
	for (size_t i = 0; i < count; i++)
		while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
			;
	return 0;
}

void uprobe_links_free(struct uprobe_link **links, size_t count)
{
	struct closing c = {links, count};
	int ignored;

	if (!shielded_call(close_all, &c, NULL, &ignored))
		close_all(&c);
	for (size_t i = 0; i < count; i++) {
		if (!links[i])
			continue;
		if (links[i]->fd >= 0)
			release_link(links[i]);
		else
			uprobe_link_free(links[i]);
		links[i] = NULL;
	}
}
