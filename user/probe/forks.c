/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bpf/forks.bpf.h notes the children; their CPU clocks tell what they have used. */
#include "probe/forks.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>

#include "probe/session_priv.h"
#include "target/process_cpu.h"

#define SETTLE_MAX 4096 /* bpf/forks.bpf.h: as many entries as the map has */

int forks_watch(struct bpf_session *s)
{
	if (!s->multi)
		return 0;
	/* Their ends and execs come with those of the target (bpf_session.c). */
	s->skel->links.process_fork = bpf_program__attach(s->skel->progs.process_fork);
	return s->skel->links.process_fork ? 0 : -errno;
}

uint64_t forks_count(const struct bpf_session *s)
{
	return __atomic_load_n(&s->skel->bss->children_forked, __ATOMIC_RELAXED);
}

uint64_t forks_settle(struct bpf_session *s)
{
	int fd = bpf_map__fd(s->skel->maps.children);
	uint64_t ns = __sync_lock_test_and_set(&s->skel->bss->children_ns, 0);
	uint32_t key, pid;

	for (int i = 0; i < SETTLE_MAX && !bpf_map_get_next_key(fd, NULL, &key); i++) {
		/* BPF has deleted and counted a child that ended meanwhile. */
		if (!bpf_map_lookup_elem(fd, &key, &pid) && !bpf_map_delete_elem(fd, &key))
			ns += process_cpu_ns((pid_t)pid);
	}
	return ns;
}
