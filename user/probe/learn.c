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

/* While some sites are gone, blocks born there keep their marks: the others must not trust them. */
#define KEEP_BITS TM_COOKIE(0, 0, TM_NEWREF_KEEP, 0)

struct choice {
	const struct probe_spec *spec;
	struct tm_site_count base; /* counts when the window opened */
	bool reuses;		   /* verdict that stays: seen with re-use */
};

struct learn {
	struct probes *probes;
	struct bpf_session *session;
	struct choice *choices; /* index: spec->choice - 1 */
	bool *gone;		/* the same: the fresh-only ones */
	size_t count, gone_count;
	uint64_t *fresh_only; /* vaddrs of those that are gone, sorted; capacity: count */
	bool window;
	uint32_t epoch;
	int64_t since_ns; /* of the state */
	int64_t check_ns; /* how long KEPT lasts this time */
};

void learn_free(struct learn *l)
{
	if (!l)
		return;
	free(l->choices);
	free(l->gone);
	free(l->fresh_only);
	free(l);
}

static bool is_listed(const uint64_t *list, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

/* Use a remembered site only where today's decoding proves it as well. */
static void take_known(struct learn *l, const uint64_t *known, size_t count)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct probe_spec *s = l->choices[i].spec;

		l->gone[i] = s->may_go && is_listed(known, count, s->vaddr);
		l->gone_count += l->gone[i];
	}
}

static int take_choices(struct learn *l, const struct probe_list *list)
{
	l->count = probe_list_choices(list);
	l->choices = calloc(l->count + 1, sizeof(*l->choices));
	l->gone = calloc(l->count + 1, sizeof(*l->gone));
	l->fresh_only = calloc(l->count + 1, sizeof(*l->fresh_only));
	if (!l->choices || !l->gone || !l->fresh_only)
		return -ENOMEM;
	for (size_t i = 0; i < list->count; i++)
		if (list->specs[i].choice)
			l->choices[list->specs[i].choice - 1].spec = &list->specs[i];
	return 0;
}

int learn_new(struct probes *p, struct bpf_session *s, const struct probe_list *list,
	      const uint64_t *known, size_t known_count, struct learn **out)
{
	_cleanup_(learn_freep) struct learn *l = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->probes = p;
	l->session = s;
	err = take_choices(l, list);
	if (err)
		return err;
	take_known(l, known, known_count);
	l->window = l->gone_count == 0;
	l->epoch = 1;
	l->check_ns = CHECK_MIN_NS;
	err = probes_let_go(p, l->gone, l->count, KEEP_BITS);
	if (err)
		return err;
	*out = take_ptr(l);
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

const uint64_t *learn_fresh_only(struct learn *l, size_t *count)
{
	size_t n = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->gone[i])
			l->fresh_only[n++] = l->choices[i].spec->vaddr;
	qsort(l->fresh_only, n, sizeof(*l->fresh_only), by_value);
	*count = n;
	return l->fresh_only;
}

uint32_t learn_epoch(const struct learn *l)
{
	return l->epoch;
}

/* Evaluate the window. Returns: true when the fresh-only set changed. */
static bool judge_window(struct learn *l)
{
	bool changed = false;

	l->gone_count = 0;
	for (size_t i = 0; i < l->count; i++) {
		const struct tm_site_count *now = &l->session->site_counts[i];
		struct choice *c = &l->choices[i];
		uint64_t fresh = now->fresh - c->base.fresh, reuse = now->reuse - c->base.reuse;
		bool known = l->gone[i];

		c->reuses |= reuse > REUSE_NOISE;
		l->gone[i] = c->spec->may_go && !c->reuses &&
			     (known || (fresh >= FRESH_ENOUGH && !reuse));
		l->gone_count += l->gone[i];
		changed |= known != l->gone[i];
	}
	return changed;
}

static void mark_base(struct learn *l)
{
	for (size_t i = 0; i < l->count; i++)
		l->choices[i].base = l->session->site_counts[i];
}

static int open_window(struct learn *l, int64_t now_ns)
{
	int err = probes_let_go(l->probes, NULL, 0, 0);

	if (err)
		return err;
	l->epoch = l->epoch % 15 + 1;
	bpf_session_set_epoch(l->session, l->epoch);
	mark_base(l);
	l->window = true;
	l->since_ns = now_ns;
	return 0;
}

void learn_resume(struct learn *l, int64_t now_ns)
{
	l->epoch = l->epoch % 15 + 1;
	bpf_session_set_epoch(l->session, l->epoch);
	mark_base(l);
	l->since_ns = now_ns;
}

static int close_window(struct learn *l, int64_t now_ns)
{
	int err = probes_let_go(l->probes, l->gone, l->count, KEEP_BITS);

	if (err)
		return err;
	l->window = false;
	l->since_ns = now_ns;
	log_debug("new-reference sites: %zu attached, %zu seen with fresh objects only",
		  probes_count(l->probes, TM_PROG_NEWREF), l->gone_count);
	return 0;
}

int learn_step(struct learn *l, int64_t now_ns, bool *changed)
{
	*changed = false;
	if (!l->since_ns)
		l->since_ns = now_ns;
	if (!l->window)
		return now_ns - l->since_ns < l->check_ns ? 0 : open_window(l, now_ns);
	if (now_ns - l->since_ns < (l->gone_count ? WINDOW_NS : RELINK_NS))
		return 0;
	*changed = judge_window(l);
	/* Repeat: the start of a program and an earlier run may not represent its present load. */
	l->check_ns = *changed			       ? CHECK_MIN_NS
		      : l->check_ns > CHECK_MAX_NS / 2 ? CHECK_MAX_NS
						       : l->check_ns * 2;
	/*
	 * Keep the window open, at the cost of a second trap an object, because nothing is learned
	 * yet.
	 */
	return l->gone_count ? close_window(l, now_ns) : 0;
}

void learn_log(const struct learn *l)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct tm_site_count *n = &l->session->site_counts[i];

		if (n->fresh || n->reuse)
			log_debug(
				"new-reference site 0x%llx: %llu fresh, %llu re-used in the windows; %s",
				(unsigned long long)l->choices[i].spec->vaddr,
				(unsigned long long)n->fresh, (unsigned long long)n->reuse,
				l->gone[i] ? "let go" : "kept");
	}
}
