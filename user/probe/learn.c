// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counting alone is not enough: a site that serves a free list as well may see nothing but fresh objects
 * for long, and then re-use. So a site goes only when decoding proves that its objects always come out of
 * an allocation (sites.h: fresh_proven), and counting confirms it.
 *
 * States: WINDOW (all sites attached, marks decide fresh or re-used) and KEPT (without the fresh-only
 * sites; every hit is recorded, because the blocks of detached sites keep their marks).
 */
#include "probe/learn.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"

#define FRESH_ENOUGH 256	   /* fresh hits without one re-use before a site is let go */
#define CHECK_MIN_NS 1000000000LL  /* another window after this, twice as long each time ... */
#define CHECK_MAX_NS 20000000000LL /* ... up to this, as long as the windows show nothing new */
#define WINDOW_NS    200000000LL   /* its length */
#define RELINK_NS    500000000LL   /* not more often than this */
/*
 * A thread preempted between a pop and its new reference when a window opens counts one false re-use;
 * there is one such thread per interpreter lock.
 */
#define REUSE_NOISE 2

struct learn {
	struct probes *probes;
	struct bpf_session *session;
	const struct python_sites *sites;
	uint64_t *fresh_only; /* vaddrs, sorted; capacity: all sites */
	size_t fresh_count;
	struct tm_site_count *base; /* counts when the window opened */
	bool *reuses;		    /* verdict that stays: seen with re-use */
	bool window;
	uint32_t epoch;
	int64_t since_ns; /* of the state */
	int64_t check_ns; /* how long KEPT lasts this time */
};

void learn_free(struct learn *l)
{
	if (!l)
		return;
	free(l->fresh_only);
	free(l->base);
	free(l->reuses);
	free(l);
}

static bool listed(const uint64_t *list, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

/* What was remembered counts only where today's decoding proves it as well. */
static void take_known(struct learn *l, const uint64_t *known, size_t count)
{
	for (size_t i = 0; i < l->sites->newref_count; i++)
		if (l->sites->newrefs[i].fresh_proven &&
		    listed(known, count, l->sites->newrefs[i].vaddr))
			l->fresh_only[l->fresh_count++] = l->sites->newrefs[i].vaddr;
}

int learn_new(struct probes *p, struct bpf_session *s, const struct python_sites *sites,
	      const uint64_t *known, size_t known_count, struct learn **out)
{
	_cleanup_(learn_freep) struct learn *l = calloc(1, sizeof(*l));
	size_t n = sites->newref_count + 1;

	if (!l)
		return -ENOMEM;
	l->probes = p;
	l->session = s;
	l->sites = sites;
	l->fresh_only = calloc(n, sizeof(*l->fresh_only));
	l->base = calloc(n, sizeof(*l->base));
	l->reuses = calloc(n, sizeof(*l->reuses));
	if (!l->fresh_only || !l->base || !l->reuses)
		return -ENOMEM;
	take_known(l, known, known_count);
	l->window = l->fresh_count == 0;
	l->epoch = 1;
	l->check_ns = CHECK_MIN_NS;
	*out = take_ptr(l);
	return 0;
}

const uint64_t *learn_fresh_only(const struct learn *l, size_t *count)
{
	*count = l->fresh_count;
	return l->fresh_only;
}

uint32_t learn_epoch(const struct learn *l)
{
	return l->epoch;
}

/* python_sites are sorted by vaddr, so the list comes out sorted. True when it changed. */
static bool judge(struct learn *l)
{
	size_t kept = 0, before = l->fresh_count, was = 0;
	bool changed = false;

	_cleanup_free_ uint64_t *old = calloc(before + 1, sizeof(*old));

	if (!old)
		return false;
	memcpy(old, l->fresh_only, before * sizeof(*old));
	for (size_t i = 0; i < l->sites->newref_count && i < TM_SITES_MAX; i++) {
		const struct tm_site_count *now = &l->session->site_counts[i];
		uint64_t fresh = now->fresh - l->base[i].fresh,
			 reuse = now->reuse - l->base[i].reuse;
		uint64_t vaddr = l->sites->newrefs[i].vaddr;
		bool known = was < before && old[was] == vaddr;

		was += known;
		if (reuse > REUSE_NOISE)
			l->reuses[i] = true;
		if (l->sites->newrefs[i].fresh_proven && !l->reuses[i] &&
		    (known || (fresh >= FRESH_ENOUGH && !reuse)))
			l->fresh_only[kept++] = vaddr;
		changed |= known != (kept > 0 && l->fresh_only[kept - 1] == vaddr);
	}
	l->fresh_count = kept;
	return changed;
}

static void mark_base(struct learn *l)
{
	memcpy(l->base, l->session->site_counts, l->sites->newref_count * sizeof(*l->base));
}

static int open_window(struct learn *l, int64_t now_ns)
{
	int err = probes_set_newrefs(l->probes, NULL, 0, false);

	if (err)
		return err;
	l->epoch = l->epoch % 15 + 1;
	bpf_session_set_epoch(l->session, l->epoch);
	mark_base(l);
	l->window = true;
	l->since_ns = now_ns;
	return 0;
}

static int close_window(struct learn *l, int64_t now_ns)
{
	int err = probes_set_newrefs(l->probes, l->fresh_only, l->fresh_count, true);

	if (err)
		return err;
	l->window = false;
	l->since_ns = now_ns;
	log_debug("new-reference sites: %zu attached, %zu seen with fresh objects only",
		  probes_newref_count(l->probes), l->fresh_count);
	return 0;
}

int learn_step(struct learn *l, int64_t now_ns, bool *changed)
{
	*changed = false;
	if (!l->since_ns)
		l->since_ns = now_ns;
	if (!l->window)
		return now_ns - l->since_ns < l->check_ns ? 0 : open_window(l, now_ns);
	if (now_ns - l->since_ns < (l->fresh_count ? WINDOW_NS : RELINK_NS))
		return 0;
	*changed = judge(l);
	/* What a program does first, and what an earlier run remembered, may be little of what it does now. */
	l->check_ns = *changed			       ? CHECK_MIN_NS
		      : l->check_ns > CHECK_MAX_NS / 2 ? CHECK_MAX_NS
						       : l->check_ns * 2;
	/* Nothing learned yet: the window stays open, at the cost of a second trap an object. */
	return l->fresh_count ? close_window(l, now_ns) : 0;
}

void learn_log(const struct learn *l)
{
	for (size_t i = 0; i < l->sites->newref_count && i < TM_SITES_MAX; i++) {
		const struct tm_site_count *n = &l->session->site_counts[i];
		uint64_t vaddr = l->sites->newrefs[i].vaddr;

		if (n->fresh || n->reuse)
			log_debug(
				"new-reference site 0x%llx: %llu fresh, %llu re-used in the windows; %s",
				(unsigned long long)vaddr, (unsigned long long)n->fresh,
				(unsigned long long)n->reuse,
				listed(l->fresh_only, l->fresh_count, vaddr) ? "let go" : "kept");
	}
}
