// SPDX-License-Identifier: GPL-2.0-or-later
/* Specs -> links. */
#include "probe/probes.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/command.h"
#include "base/log.h"
#include "base/search.h"
#include "probe/session_priv.h"
#include "probe/uprobe_link.h"
#include "target/target_task.h"

struct probe_link {
	const struct probe_spec *like; /* the first of its specs */
	const struct bpf_program *prog;
	/* Guarded by probes.lock. */
	struct uprobe_link *link; /* NULL: nothing is attached */
	struct probe_batch now;	  /* what is attached */
};

struct probes {
	struct bpf_session *session;
	const struct target *target;
	const struct probe_list *list;
	struct probe_link *links; /* in the order of the list */
	size_t count, cap;
	enum probe_role role;
	struct probe_choice choice;
	pthread_mutex_t lock; /* a watchdog takes links away from a thread of its own */
	unsigned away;	      /* of enum probe_part; guarded by lock */
};

static bool has_link_for(const struct probes *p, const struct probe_spec *spec)
{
	for (size_t i = 0; i < p->count; i++)
		if (probe_spec_shares_link(p->links[i].like, spec))
			return true;
	return false;
}

static int add_link(struct probes *p, const struct probe_spec *spec)
{
	struct probe_link *grown = array_grow(p->links, &p->cap, p->count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	p->links = grown;
	p->links[p->count] = (struct probe_link){
		.like = spec,
		.prog = bpf_object__find_program_by_name(p->session->skel->obj, spec->program)};
	if (!p->links[p->count].prog)
		return log_err(-EINVAL, "no BPF program %s", spec->program);
	p->count++;
	return 0;
}

int probes_new(struct bpf_session *s, const struct target *t, const struct probe_list *list,
	       struct probes **out)
{
	_cleanup_(probes_freep) struct probes *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return -ENOMEM;
	p->session = s;
	p->target = t;
	p->list = list;
	pthread_mutex_init(&p->lock, NULL);
	p->choice.count = probe_list_choices(list);
	p->choice.gone = calloc(p->choice.count + 1, sizeof(*p->choice.gone));
	if (!p->choice.gone)
		return -ENOMEM;
	for (size_t i = 0; !err && i < list->count; i++)
		if (!has_link_for(p, &list->specs[i]))
			err = add_link(p, &list->specs[i]);
	if (err)
		return err;
	*out = take_ptr(p);
	return 0;
}

/* Log the error unless the target has just ended, since the caller then logs that instead. */
static int attach_failed(const struct probes *p, int err, const struct bpf_program *prog,
			 const struct uprobe_sites *s)
{
	bool multi = p->session->multi;
	char file[PATH_MAX] = "";

	/* Keep the attached links, because uprobe_multi finds a process by its main thread only. */
	if (!target_is_alive(p->target) || target_main_thread_ended(p->target))
		return -ESRCH;
	if (readlink(s->path, file, sizeof(file) - 1) < 0) /* the name of /proc/self/fd/N */
		*file = '\0';
	if (err == -EPERM || err == -EACCES)
		return log_coded_err(err, multi ? "E401" : "E402",
				     geteuid() ? command_as_root()
				     : multi   ? "add cap_bpf,cap_perfmon,cap_sys_ptrace"
					       : "add CAP_SYS_ADMIN, or use a kernel >= 6.6",
				     "not permitted to attach %s to %zu sites of %s",
				     bpf_program__name(prog), s->count, file);
	return log_coded_err(err, "E502", command_other("sites -p %d", (int)p->target->pid),
			     "cannot attach %s to %zu sites of %s: %s", bpf_program__name(prog),
			     s->count, file, strerror(-err));
}

static int attach_batch(const struct probes *p, const struct probe_link *l,
			const struct probe_batch *b, struct uprobe_link **out)
{
	struct uprobe_sites sites = {.path = l->like->object->attach_path,
				     .offsets = b->offsets,
				     .cookies = b->cookies,
				     .count = b->count,
				     .ret = l->like->at_return};
	int err;

	if (!b->count)
		return 0;
	(void)target_task_next(p->target);
	sites.pid = target_task(p->target);
	err = uprobe_link_attach(l->prog, &sites, p->session->multi, out);
	return err ? attach_failed(p, err, l->prog, &sites) : 0;
}

/*
 * Put a link and its sites in place of the ones that were there; a link whose part was taken away meanwhile is
 * dropped at once. Takes both over.
 */
static void exchange_link(struct probes *p, struct probe_link *l, struct uprobe_link *link,
			  struct probe_batch *batch)
{
	struct uprobe_link *old = link;

	pthread_mutex_lock(&p->lock);
	if (!link || !(p->away & l->like->part)) {
		old = l->link;
		l->link = link;
		probe_batch_release(&l->now);
		l->now = *batch;
		*batch = (struct probe_batch){0};
	}
	pthread_mutex_unlock(&p->lock);
	uprobe_link_free(old);
	probe_batch_release(batch);
}

static void drop_link(struct probes *p, struct probe_link *l)
{
	exchange_link(p, l, NULL, &(struct probe_batch){0});
}

static bool has_sites(struct probes *p, const struct probe_link *l, const struct probe_batch *b)
{
	bool same;

	pthread_mutex_lock(&p->lock);
	same = probe_batch_equal(&l->now, b);
	pthread_mutex_unlock(&p->lock);
	return same;
}

/* The new link is attached before the former one goes. */
static int update_link(struct probes *p, struct probe_link *l)
{
	struct uprobe_link *link = NULL;
	struct probe_batch want;
	int err = probe_list_select(p->list, l->like, p->role, probes_away(p), &p->choice, &want);

	if (err)
		return err;
	if (!has_sites(p, l, &want))
		err = attach_batch(p, l, &want, &link);
	if (link || (!err && !want.count))
		exchange_link(p, l, link, &want);
	else
		probe_batch_release(&want);
	return err;
}

static bool is_selected(const struct probes *p, const struct probe_link *l)
{
	for (size_t i = 0; i < p->list->count; i++)
		if ((p->list->specs[i].roles & p->role) &&
		    probe_spec_shares_link(&p->list->specs[i], l->like))
			return true;
	return false;
}

int probes_set_role(struct probes *p, enum probe_role role)
{
	int err = 0;

	p->role = role;
	for (size_t i = p->count; i-- > 0;)
		if (!is_selected(p, &p->links[i]))
			drop_link(p, &p->links[i]);
	for (size_t i = 0; !err && i < p->count; i++)
		err = update_link(p, &p->links[i]);
	return err;
}

enum probe_role probes_role(const struct probes *p)
{
	return p->role;
}

int probes_let_go(struct probes *p, const bool *gone, size_t count, uint64_t cookie_bits)
{
	struct probe_choice *c = &p->choice;
	int err = 0;

	c->any_gone = false;
	c->cookie_bits = cookie_bits;
	for (size_t i = 0; i < c->count; i++) {
		c->gone[i] = i < count && gone[i];
		c->any_gone |= c->gone[i];
	}
	for (size_t i = 0; !err && i < p->count; i++)
		if (p->links[i].like->choice)
			err = update_link(p, &p->links[i]);
	return err;
}

#define LINKS_MAX 32 /* of all providers together; more would be handled one after the other */

/* Detach all links at the same time, because each waits for a grace period. */
void probes_take_away(struct probes *p, unsigned parts)
{
	struct uprobe_link *links[LINKS_MAX];
	size_t n = 0;

	pthread_mutex_lock(&p->lock);
	p->away |= parts;
	for (size_t i = p->count; i-- > 0 && n < LINKS_MAX;) {
		struct probe_link *l = &p->links[i];

		if (!(l->like->part & parts) || !l->link)
			continue;
		links[n++] = l->link;
		l->link = NULL;
		probe_batch_release(&l->now);
		l->now = (struct probe_batch){0};
	}
	pthread_mutex_unlock(&p->lock);
	uprobe_links_free(links, n);
	for (size_t i = p->count; i-- > 0;)
		if (p->links[i].like->part & parts)
			drop_link(p, &p->links[i]);
}

int probes_sweep_children(struct probes *p)
{
	struct uprobe_link *sweeps[LINKS_MAX] = {0};
	size_t n = 0;
	int err = 0;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->count && n < LINKS_MAX && !err; i++)
		if (p->links[i].link)
			err = uprobe_link_like(p->links[i].link, p->session->skel->progs.sweep_site,
					       &sweeps[n++]);
	pthread_mutex_unlock(&p->lock);
	uprobe_links_free(sweeps, n);
	return err;
}

unsigned probes_away(struct probes *p)
{
	unsigned away;

	pthread_mutex_lock(&p->lock);
	away = p->away;
	pthread_mutex_unlock(&p->lock);
	return away;
}

unsigned probes_readmit(struct probes *p)
{
	unsigned away;

	pthread_mutex_lock(&p->lock);
	away = p->away;
	p->away = 0;
	pthread_mutex_unlock(&p->lock);
	return away;
}

size_t probes_count(struct probes *p, enum tm_prog_kind kind)
{
	size_t count = 0;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->count; i++)
		count += p->links[i].now.of_kind[kind];
	pthread_mutex_unlock(&p->lock);
	return count;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	/* Where blocks are born first, so that no block is seen born and not seen freed. */
	for (size_t i = p->count; i-- > 0;)
		drop_link(p, &p->links[i]);
	pthread_mutex_destroy(&p->lock);
	free(p->links);
	free(p->choice.gone);
	free(p);
}
