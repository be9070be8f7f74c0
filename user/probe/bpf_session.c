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
#define STACK_BUCKETS  (1u << 15)  /* 262,144 distinct stacks, 2 MiB */
#define DIR_MIN	       (1u << 15)  /* buckets: 131,072 pools, 2 GiB of small objects, 2 MiB */
#define DIR_MAX	       (1u << 20)
#define LIVE_MIN       (1u << 15) /* buckets of the first level: 131,072 blocks, 2 MiB */
#define LIVE_MAX       (1u << 24)
#define SEG_HEADROOM   4 /* segments kept ahead: 4 MiB, over a second of the fastest loop */

/* libbpf's words, the verifier's log among them, line by line; its own debug chatter is left out. */
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

static uint32_t pow2_between(uint64_t want, uint32_t lo, uint32_t hi)
{
	uint32_t n = lo;

	while (n < want && n < hi)
		n <<= 1;
	return n;
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

/* Of the first level. Most blocks are small objects, which are elsewhere, unless malloc serves them all. */
static uint32_t live_buckets(const struct session_opts *opts)
{
	if (!alloc_facts(opts->alloc).objects_in_live_table)
		return pow2_between(opts->blocks / 16, LIVE_MIN, LIVE_MAX);
	return pow2_between(opts->blocks / TM_LIVE_WAYS, LIVE_MIN * 8, LIVE_MAX);
}

/* Sizes of the fixed tables. Live levels and slot segments grow later. */
static int size_maps(struct bpf_session *s, const struct session_opts *opts)
{
	struct tmbpf_bpf *skel = s->skel;
	uint64_t pool_bytes = skel->rodata->cfg_pool_bytes;
	/* Room for four times today's heap, or for --blocks of 64 bytes, at a load of three quarters. */
	uint64_t heap = opts->blocks ? opts->blocks * 64 : opts->rss_bytes * 4;
	uint64_t pools = heap / pool_bytes;
	int err;

	s->dir_buckets = pow2_between(pools * 4 / 3 / TM_DIR_WAYS, DIR_MIN, DIR_MAX);
	s->stack_buckets = STACK_BUCKETS;
	skel->rodata->cfg_dir_mask = s->dir_buckets - 1;
	skel->rodata->cfg_stack_mask = s->stack_buckets - 1;
	s->cpus = libbpf_num_possible_cpus();
	if (s->cpus < 0)
		return s->cpus;
	s->stack_ids = TM_STACK_FIRST + s->stack_buckets * TM_STACK_WAYS;
	err = bpf_map__set_max_entries(skel->maps.pool_dir, s->dir_buckets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.stack_allocs, s->stack_ids);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.stack_table, s->stack_buckets);
	if (!err)
		err = bpf_map__set_max_entries(skel->maps.scratch, (uint32_t)s->cpus * 2);
	return err;
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
		return log_coded_err(
			err, "E602", "ulimit -n 65536, as root",
			"at most %llu files may be open at once: too few for the BPF maps",
			process_open_files_max());
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

static void *map_view(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int map_views(struct bpf_session *s)
{
	s->dir = map_view(bpf_map__fd(s->skel->maps.pool_dir), s->dir_buckets * sizeof(*s->dir));
	s->stacks = map_view(bpf_map__fd(s->skel->maps.stack_table),
			     s->stack_buckets * sizeof(*s->stacks));
	s->site_counts = map_view(bpf_map__fd(s->skel->maps.site_counts),
				  TM_SITES_MAX * sizeof(*s->site_counts));
	s->stack_allocs = map_view(bpf_map__fd(s->skel->maps.stack_allocs),
				   s->stack_ids * sizeof(*s->stack_allocs));
	if (!s->dir || !s->stacks || !s->site_counts || !s->stack_allocs)
		return log_err(-errno, "cannot map the BPF tables");
	return 0;
}

static int add_inner(struct bpf_map *outer, const char *name, uint32_t key, uint32_t value_bytes,
		     uint32_t entries, uint32_t extra_flags, void **view)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | extra_flags);
	_cleanup_close_ int fd = -1;

	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), value_bytes, entries,
			    &opts);
	if (fd < 0)
		return fd;
	*view = map_view(fd, (size_t)entries * value_bytes);
	if (!*view)
		return -errno;
	/* The outer map and the mapping hold it from here on. */
	if (bpf_map_update_elem(bpf_map__fd(outer), &key, &fd, BPF_ANY)) {
		int err = -errno;

		munmap(*view, (size_t)entries * value_bytes);
		return err;
	}
	return 0;
}

static int add_segment(struct bpf_session *s)
{
	void *view;
	int err;

	if (s->segment_count >= TM_SEGS_MAX)
		return -ENOSPC;
	err = add_inner(s->skel->maps.slot_segs, "slot_segment", s->segment_count,
			sizeof(struct tm_chunk), TM_SEG_CHUNKS, 0, &view);
	if (err)
		return err;
	s->segments[s->segment_count++] = view;
	/* Only now may BPF take chunks from it. */
	__atomic_store_n(&s->skel->bss->run_chunks_avail, s->segment_count << TM_SEG_SHIFT,
			 __ATOMIC_RELEASE);
	return 0;
}

static int add_level(struct bpf_session *s, uint32_t buckets)
{
	uint32_t level = s->level_count;
	void *view;
	int err;

	if (level >= TM_LIVE_LEVELS || buckets > LIVE_MAX)
		return -ENOSPC;
	err = add_inner(s->skel->maps.live_levels, "live_level", level,
			sizeof(struct tm_live_bucket), buckets, BPF_F_INNER_MAP, &view);
	if (err)
		return err;
	s->levels[level] = view;
	s->level_buckets[level] = buckets;
	s->skel->bss->run_live_mask[level] = buckets - 1;
	s->level_count++;
	__atomic_store_n(&s->skel->data->run_live_levels, s->level_count, __ATOMIC_RELEASE);
	return 0;
}

int bpf_session_maintain(struct bpf_session *s)
{
	uint32_t used = __atomic_load_n(&s->skel->bss->chunks_used, __ATOMIC_RELAXED);
	uint32_t top = s->level_count - 1;
	uint64_t taken = __atomic_load_n(&s->skel->bss->live_used[top], __ATOMIC_RELAXED);
	int err = 0;

	while (!err && (used >> TM_SEG_SHIFT) + SEG_HEADROOM > s->segment_count)
		err = add_segment(s);
	/* Buckets of 4 with two choices start to overflow above 0.65 (0.66 % at 0.75). */
	if (!err && taken > (uint64_t)s->level_buckets[top] * TM_LIVE_WAYS * 6 / 10)
		err = add_level(s, s->level_buckets[top] * 2);
	if (err && log_ratelimit(1))
		log_coded_warn(
			"W103", command_with("--mode", "pools"),
			"tables cannot grow any more: %s. Blocks that do not fit are counted as lost",
			strerror(-err));
	return err;
}

/* Programs are loaded for one kind of link; refill and alloc_return sit at returns. */
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
		log_info("how the process ends is not told by this kernel (%s)", strerror(errno));
}

/* Of use, not needed: without it processes that share the target's memory later are not reported. */
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
	err = size_maps(s, opts);
	if (err)
		return log_err(err, "cannot size the BPF tables");
	choose_attach_type(s, opts->perf_links);
	choose_share_watch(s);
	err = tmbpf_bpf__load(s->skel);
	if (err)
		return load_failed(err);
	err = map_views(s);
	if (!err)
		err = add_level(s, live_buckets(opts));
	if (!err)
		err = bpf_session_maintain(s);
	if (err)
		return load_failed(err);
	watch_process(s);
	attach_share_watch(s);
	*out = take_ptr(s);
	return 0;
}

static void unmap_views(struct bpf_session *s)
{
	if (s->dir)
		munmap(s->dir, s->dir_buckets * sizeof(*s->dir));
	if (s->stacks)
		munmap(s->stacks, s->stack_buckets * sizeof(*s->stacks));
	if (s->stack_allocs)
		munmap(s->stack_allocs, s->stack_ids * sizeof(*s->stack_allocs));
	if (s->site_counts)
		munmap(s->site_counts, TM_SITES_MAX * sizeof(*s->site_counts));
	for (uint32_t i = 0; i < s->segment_count; i++)
		munmap(s->segments[i], TM_SEG_CHUNKS * sizeof(struct tm_chunk));
	for (uint32_t i = 0; i < s->level_count; i++)
		munmap(s->levels[i], s->level_buckets[i] * sizeof(struct tm_live_bucket));
}

void bpf_session_close(struct bpf_session *s)
{
	if (!s)
		return;
	session_ring_close(s);
	unmap_views(s);
	if (s->skel)
		tmbpf_bpf__destroy(s->skel);
	free(s);
}
