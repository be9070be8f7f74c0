// SPDX-License-Identifier: GPL-2.0-or-later
/* Opens, configures and loads the BPF object, and keeps its tables ahead of use. */
#include "probe/bpf_session.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/command.h"
#include "base/log.h"
#include "base/process_setup.h"
#include "probe/session_priv.h"
#include "probe/uprobe_link.h"
#include "probe/uprobe_multi_abi.h"

#define INITIAL_PID_NS 4026531836u /* Linux include/linux/proc_ns.h: PROC_PID_INIT_INO 0xEFFFFFFC */

/* Forward libbpf messages (incl. the verifier log) to log_debug(), without LIBBPF_DEBUG. */
static int libbpf_print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	_cleanup_free_ char *text = NULL;
	char *save = NULL;

	if (log_get_level() < LOG_DEBUG || level == LIBBPF_DEBUG || vasprintf(&text, fmt, args) < 0)
		return 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		log_debug("%s", line);
	return 0;
}

/* Number the target as bpf_get_current_pid_tgid() or, in a nested namespace, relative to its own. */
static int configure_pid(struct tmbpf_bpf *skel, const struct target *t)
{
	struct stat self, ns;
	char path[64];

	if (stat("/proc/self/ns/pid", &self))
		return -errno;
	skel->rodata->cfg_tgid = (uint32_t)t->pid;
	if (self.st_ino == INITIAL_PID_NS)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)t->pid);
	if (stat(path, &ns))
		return -errno;
	skel->rodata->cfg_pidns_dev = ns.st_dev;
	skel->rodata->cfg_pidns_ino = ns.st_ino;
	skel->rodata->cfg_tgid = (uint32_t)t->ns_pid;
	return 0;
}

static int size_maps(struct bpf_session *s)
{
	s->cpus = libbpf_num_possible_cpus();
	if (s->cpus < 0)
		return s->cpus;
	return bpf_map__set_max_entries(s->skel->maps.scratch, (uint32_t)s->cpus * 2);
}

int bpf_session_few_files(void)
{
	return log_coded_err(-EMFILE, "E602", "ulimit -n 65536, as root",
			     "at most %llu files may be open at once: too few for the BPF maps",
			     process_open_files_max());
}

static int load_failed(int err)
{
	char fix[512];

	switch (-err) {
	case EPERM: /* EACCES is the verifier's word */
		return log_coded_err(
			err, "E401",
			geteuid()
				? command_as_root()
				: "in a container: cap_bpf,cap_perfmon,cap_sys_ptrace and a seccomp profile that allows bpf()",
			"the kernel does not permit loading BPF programs");
	case EMFILE:
		return bpf_session_few_files();
	case ENOMEM:
		return log_coded_err(err, "E601", "raise the memory limit of tmbpf's own cgroup",
				     "no memory for BPF maps");
	case ENOSYS:
		return log_coded_err(err, "E502", "a kernel with CONFIG_BPF_SYSCALL",
				     "this kernel has no BPF");
	default:
		snprintf(fix, sizeof(fix), "report the verifier log, which this prints: %s",
			 command_with("-vv", NULL));
		return log_coded_err(err, "E502", fix, "the kernel refused the BPF programs: %s",
				     strerror(-err));
	}
}

static int map_views(struct bpf_session *s)
{
	s->site_counts = session_map_view(bpf_map__fd(s->skel->maps.site_counts),
					  TM_SITES_MAX * sizeof(*s->site_counts));
	if (!s->site_counts)
		return log_err(-errno, "cannot map the BPF tables");
	return 0;
}

/* Load programs for one kind of link only. Refill and alloc_return sit at returns. */
static void choose_attach_type(struct bpf_session *s, bool perf_links)
{
	struct bpf_program *prog;

	s->multi = !perf_links && uprobe_multi_supported();
	if (!s->multi)
		return;
	bpf_object__for_each_program(prog, s->skel->obj)
	{
		if (bpf_program__type(prog) == BPF_PROG_TYPE_KPROBE)
			bpf_program__set_expected_attach_type(
				prog, (enum bpf_attach_type)TM_BPF_TRACE_UPROBE_MULTI);
	}
}

/*
 * Before any probe: an exec must not let records of another program in. Without these the end is read from
 * /proc, which neither knows a status nor sees an exec of the same file.
 */
static void watch_process(struct bpf_session *s)
{
	struct tmbpf_bpf *k = s->skel;

	k->links.process_exit = bpf_program__attach(k->progs.process_exit);
	k->links.process_exec = bpf_program__attach(k->progs.process_exec);
	k->links.process_oom = bpf_program__attach(k->progs.process_oom);
	s->sees_end = k->links.process_exit && k->links.process_exec;
	if (!s->sees_end || !k->links.process_oom)
		log_info("this kernel does not report how the process ends (%s)", strerror(errno));
}

/* Optional: without it processes that share the target's memory later are not reported. */
static void choose_share_watch(struct bpf_session *s)
{
	if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, BPF_FUNC_task_pt_regs, NULL) != 1)
		(void)bpf_program__set_autoload(s->skel->progs.memory_share, false);
}

static void attach_share_watch(struct bpf_session *s)
{
	if (bpf_program__fd(s->skel->progs.memory_share) < 0)
		return;
	s->skel->links.memory_share = bpf_program__attach(s->skel->progs.memory_share);
	if (!s->skel->links.memory_share)
		log_info("processes that share the target's memory are not reported: %s",
			 strerror(errno));
}

static int check_kernel(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK) == 0)
		return 0;
	return log_coded_err(
		-ENOTSUP, "E501",
		"use a kernel with CONFIG_DEBUG_INFO_BTF=y, or mount sysfs in this container",
		"/sys/kernel/btf/vmlinux is missing: no type information of this kernel");
}

int bpf_session_open(const struct target *t, const struct session_opts *opts,
		     struct bpf_session **out)
{
	_cleanup_(bpf_session_closep) struct bpf_session *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	libbpf_set_print(libbpf_print);
	err = check_kernel();
	if (err)
		return err;
	s->skel = tmbpf_bpf__open();
	if (!s->skel)
		return load_failed(-errno);
	err = configure_pid(s->skel, t);
	if (err)
		return log_err(err, "cannot read the pid namespace of %d", (int)t->pid);
	alloc_configure(opts->alloc, s->skel);
	s->skel->rodata->cfg_frames = opts->frames;
	s->skel->rodata->cfg_threads = opts->threads;
	err = session_tables_size(s, opts);
	if (!err)
		err = size_maps(s);
	if (err)
		return log_err(err, "cannot size the BPF tables");
	choose_attach_type(s, opts->perf_links);
	choose_share_watch(s);
	err = tmbpf_bpf__load(s->skel);
	if (err)
		return load_failed(err);
	err = map_views(s);
	if (!err)
		err = session_tables_open(s, opts);
	if (err)
		return load_failed(err);
	watch_process(s);
	attach_share_watch(s);
	*out = take_ptr(s);
	return 0;
}

void bpf_session_close(struct bpf_session *s)
{
	if (!s)
		return;
	session_ring_close(s);
	session_tables_close(s);
	if (s->site_counts)
		munmap(s->site_counts, TM_SITES_MAX * sizeof(*s->site_counts));
	if (s->skel)
		tmbpf_bpf__destroy(s->skel);
	free(s);
}
