// SPDX-License-Identifier: GPL-2.0-or-later
/* From pid to live probes, and back. */
#include "trace/capture.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "drain/heap_reader.h"
#include "sites/python_slot.h"
#include "target/target_task.h"

#define POOLS_MIN_BYTES \
	1033 /* glibc's tcache serves chunks up to 1032 bytes without the slow path */

#define LATER_LOOK_NS 300000000LL /* between two looks for an interpreter that comes late */

/* How long a process may take to load its libraries. */
#define STARTUP_LOOKS	10
#define STARTUP_LOOK_MS 30

static void say_not_python(const struct capture *c)
{
	char child[96] = "";

	if (!python_target_hint_child(c->target->pid, child, sizeof(child)) && child[0])
		log_coded_warn("W302", child,
			       "%d is %s, not CPython: only native blocks are traced",
			       (int)c->target->pid, c->target->exe);
	else
		log_coded_warn("W302", NULL, "%d is %s, not CPython: only native blocks are traced",
			       (int)c->target->pid, c->target->exe);
}

/* The last versions in which it depends on the patch release. */
#define ALIGN_LAST_MINOR 7

static int settle_alignment(struct capture *c)
{
	uint8_t shift;
	int err;

	if (c->py.minor > ALIGN_LAST_MINOR)
		return 0;
	err = heap_reader_align_shift(c->target, c->py.offsets, &shift);
	if (err == -ENOENT)
		return 0; /* no small object yet: the row's is the rule */
	return err ? err : python_target_set_align(c->target, &c->py, shift);
}

/* Which thread runs what: the place is decoded, the key read. Returns: also -EAGAIN, not initialised. */
static int find_threads(struct target *t, struct python_target *py)
{
	struct py_slot slot = {.kind = PY_SLOT_NONE};
	int err = python_slot_find(py->object->image, py->minor, &slot);

	if (err && err != -ENOENT)
		return log_err(err, "cannot decode %s", py->object->path);
	return python_target_set_slot(t, py, &slot);
}

/* The C allocator is traced meanwhile. */
static int python_not_ready(struct capture *c)
{
	if (!c->opts->native)
		return log_coded_err(-EAGAIN, "E304", "wait until it has started and try again",
				     "CPython %s in process %d is not initialised yet",
				     c->py.version, (int)c->target->pid);
	log_coded_warn("W123", NULL,
		       "CPython %s in process %d is not initialised yet: until it is, only native "
		       "blocks are traced",
		       c->py.version, (int)c->target->pid);
	c->python_later = true;
	return 0;
}

/*
 * The allocator of small objects was not recognised in this build. What goes through malloc still gets its
 * Python line.
 */
static int small_objects_unseen(const struct capture *c)
{
	const char *fix = "tmbpf sites FILE shows what was found; please report the build";

	if (!c->opts->native)
		return log_coded_err(-ENOENT, "E304", fix, "no allocation sites in %s: %s",
				     c->py.object->path, c->py_sites.reason);
	log_coded_warn(
		"W125", fix,
		"no allocation sites in %s: %s. Small objects are not seen; blocks from malloc "
		"are, by their Python line",
		c->py.object->path, c->py_sites.reason);
	return 0;
}

static int open_python(struct capture *c)
{
	int err;

	if (!c->opts->python)
		return 0;
	err = python_target_find(c->target, &c->py);
	if (err == -ENOENT) {
		if (!c->opts->native)
			return log_coded_err(-ENOENT, "E302", "tmbpf -p PID --domains native",
					     "%d is %s, not CPython", (int)c->target->pid,
					     c->target->exe);
		say_not_python(c);
		c->python_later = true;
		return 0;
	}
	if (err)
		return err;
	err = find_threads(c->target, &c->py);
	if (err == -EAGAIN)
		return python_not_ready(c);
	if (err)
		return err;
	err = settle_alignment(c);
	if (err)
		return err;
	err = python_sites_get(c->py.object->image, c->py.minor, c->opts->use_cache, &c->py_sites);
	if (err == -ENOENT)
		err = small_objects_unseen(c);
	else if (err)
		return log_err(err, "cannot decode %s", c->py.object->path);
	c->has_python = !err;
	return err;
}

static int open_native(struct capture *c)
{
	int err = libc_target_find(c->target, &c->libc);

	if (!err)
		err = libc_sites_find(c->libc.object->image, &c->libc_sites);
	if (!err) {
		c->has_native = true;
		return 0;
	}
	if (c->has_python) {
		log_coded_warn("W121", NULL,
			       "no malloc found to probe: blocks above 512 bytes are not seen");
		return 0;
	}
	return log_coded_err(err, "E302", NULL,
			     "%d (%s) has no allocator that we know: neither CPython nor malloc",
			     (int)c->target->pid, c->target->exe);
}

/* What each hook means for the numbers. */
static void add_hooks(const struct python_target *py, struct buf *text)
{
	const struct py_hooks *h = &py->hooks;
	const char *sep = "";

	if (h->debug_bytes) {
		(void)buf_printf(text, "debug (every block is %u bytes larger", h->debug_bytes);
		/* pymalloc takes these from the raw domain, which has the hooks as well. */
		if (py->allocator == PY_ALLOC_PYMALLOC)
			(void)buf_printf(text, ", above 512 bytes %u", 2u * h->debug_bytes);
		(void)buf_append_str(text, ")");
		sep = ", ";
	}
	if (h->tracemalloc) {
		(void)buf_printf(text,
				 "%stracemalloc (its own tables are in the numbers, %s for each "
				 "block that it follows)",
				 sep, py->minor < 9 ? "a block" : "two blocks");
		sep = ", ";
	}
	if (*h->file)
		(void)buf_printf(
			text,
			"%s%s (its own blocks are in the numbers; what it takes from malloc "
			"for the interpreter counts as native, with its Python line)",
			sep, h->file);
}

/* Hooks change the numbers, not what is seen. */
static void say_hooks(const struct python_target *py)
{
	const char *behind = py->allocator == PY_ALLOC_UNKNOWN
				     ? "; what stands behind them is not known, taken for pymalloc"
				     : "";
	struct buf text = {0};

	add_hooks(py, &text);
	if (text.len)
		log_coded_warn("W122",
			       py->hooks.tracemalloc ? "--blocks N, if blocks are lost" : NULL,
			       "the interpreter's allocator is called through hooks: %s%s",
			       text.data, behind);
	else if (py->allocator == PY_ALLOC_UNKNOWN)
		log_info("which allocator serves Python objects is not known: taken for pymalloc");
	buf_release(&text);
}

/* Blocks of mimalloc, large ones too, come from no place that we know. */
static int without_interpreter_blocks(struct capture *c, const char *why)
{
	if (!c->has_native)
		return log_coded_err(-ENOTSUP, "E303", NULL,
				     "the interpreter's blocks come from mimalloc (%s), which "
				     "cannot be followed: %s; and there is no malloc to probe",
				     why, c->mi_sites.reason);
	log_coded_warn(
		"W126", NULL,
		"the interpreter's blocks come from mimalloc (%s), which cannot be followed: "
		"%s. Only what C code takes from malloc is seen, with its Python line",
		why, c->mi_sites.reason);
	python_sites_release(&c->py_sites);
	return 0;
}

/* The interpreter's blocks come from its mimalloc: other sites, and frees that are probed. */
static int open_mimalloc(struct capture *c)
{
	const char *why = c->py.free_threaded ? "a free-threaded build" : "PYTHONMALLOC=mimalloc";
	uint64_t frees[ARRAY_LEN(c->py.mi_free)];
	int err;

	for (size_t i = 0; i < ARRAY_LEN(frees); i++)
		frees[i] = c->py.mi_free[i] - c->py.object->bias;
	err = mimalloc_sites_find(c->py.object->image, c->py.minor, frees, ARRAY_LEN(frees),
				  &c->mi_sites);
	if (err == -ENOENT)
		return without_interpreter_blocks(c, why);
	if (err)
		return log_err(err, "cannot decode %s", c->py.object->path);
	c->mimalloc = true;
	log_coded_warn(
		"W127", NULL,
		"the interpreter's blocks come from mimalloc (%s): every block is seen, with "
		"the size class it occupies; how many were missed is not measured",
		why);
	return 0;
}

/* How the allocator configuration limits what can be seen. */
static int check_allocator(struct capture *c)
{
	if (!c->has_python)
		return 0;
	say_hooks(&c->py);
	switch (c->py.allocator) {
	case PY_ALLOC_MALLOC:
		log_coded_warn(
			"W120", NULL,
			"the interpreter runs with PYTHONMALLOC=malloc: all its blocks are seen in malloc; "
			"one that is re-used from a free list stays with the line that it was made for");
		return 0;
	case PY_ALLOC_MIMALLOC:
		return open_mimalloc(c);
	case PY_ALLOC_PYMALLOC:
	case PY_ALLOC_UNKNOWN:
		break;
	}
	return 0;
}

static int on_record(void *ctx, void *data, size_t len)
{
	const struct tm_rec_hdr *hdr = data;
	struct capture *c = ctx;
	int err;

	if (len >= sizeof(*hdr) && hdr->type == TM_REC_PROCESS) /* it only wakes us up */
		return 0;
	err = stack_cache_feed(c->stacks, data, len);
	/* A record we cannot read must not stop the ones behind it. */
	if (err == -EBADMSG && log_ratelimit(3))
		log_err(err, "unreadable ring record");
	return err == -ENOMEM ? err : 0;
}

static int consume_ring(void *ctx)
{
	struct capture *c = ctx;
	int n = bpf_session_ring_consume(c->session);

	return n < 0 ? n : 0;
}

static int open_session(struct capture *c)
{
	struct session_opts so = {
		.frames = c->opts->frames,
		.blocks = c->opts->blocks,
		.mimalloc = c->mimalloc ? &c->mi_sites : NULL,
		.malloc_serves_all = c->mimalloc || c->py.allocator == PY_ALLOC_MALLOC ||
				     c->py.hooks.tracemalloc,
		.threads = c->opts->threads,
		.perf_links = c->opts->perf_links || target_main_thread_ended(c->target)};
	struct probe_plan plan = {.target = c->target};
	int err;

	if (c->has_native) {
		so.libc = &c->libc_sites;
		so.libc_bias = c->libc.object->bias;
	}
	(void)target_rss(c->target, &so.rss_bytes);
	err = bpf_session_open(c->target, c->has_python ? &c->py : NULL, &so, &c->session);
	if (err)
		return err;
	/* From here on the kernel tells of an exec; one that came before it would go unseen. */
	if (!target_same_image(c->target) && target_is_alive(c->target))
		return log_coded_err(-ESRCH, "E301", "try again",
				     "process %d started another program while tmbpf attached",
				     (int)c->target->pid);
	c->strings = intern_new();
	if (!c->strings)
		return -ENOMEM;
	err = stack_cache_new(c->target, c->has_python ? &c->py : NULL, c->strings, c->opts->frames,
			      &c->stacks);
	if (!err)
		err = bpf_session_ring_open(c->session, on_record, c);
	if (err)
		return err;
	plan.session = c->session;
	if (c->has_python) {
		uint64_t vaddr = c->py.code_dealloc_addr - c->py.object->bias;

		plan.py_object = c->py.object;
		plan.py_sites = &c->py_sites;
		plan.mimalloc = c->mimalloc ? &c->mi_sites : NULL;
		if (!elf_image_file_off(c->py.object->image, vaddr, &plan.code_dealloc_off))
			return log_coded_err(-EBADMSG, "E304", "--domains native still works",
					     "code_dealloc is not in %s", c->py.object->path);
	}
	if (c->has_native) {
		plan.libc_object = c->libc.object;
		plan.libc_sites = &c->libc_sites;
	}
	return probes_new(&plan, &c->probes);
}

static int attach_exact(struct capture *c)
{
	_cleanup_free_ uint64_t *known = NULL;
	const uint64_t *skip = NULL;
	size_t count = 0, skip_count = 0;

	/* Of mimalloc's blocks it is not known whether a new reference is to a fresh one. */
	if (c->py_sites.newref_count && !c->mimalloc) {
		int err;

		if (c->opts->use_cache && learned_sites_load(c->py.object->image, &known, &count))
			count = 0;
		err = learn_new(c->probes, c->session, &c->py_sites, known, count, &c->learn);
		if (err)
			return err;
		skip = learn_fresh_only(c->learn, &skip_count);
	}
	bpf_session_set_stop(c->session, c->opts->stop);
	return probes_attach_exact(c->probes, skip, skip_count);
}

static int attach_all(struct capture *c)
{
	int err;

	c->trap_ns = -1;
	err = calibrate_trap(c->session, &c->trap_ns, &c->trap_spread);
	if (err)
		log_info("the cost of a trap could not be measured: %s", strerror(-err));
	err = guard_judge(c, &c->guard);
	if (err)
		return err;
	c->pools_mode = c->guard.pools;
	if (c->pools_mode) {
		bpf_session_set_pools_mode(c->session, true, POOLS_MIN_BYTES);
		err = probes_attach_pools(c->probes);
		/* Only now: the pop sites of the trial have gone. */
		bpf_session_set_stop(c->session, c->opts->stop);
		return err;
	}
	return attach_exact(c);
}

/*
 * A process that has just started has nothing mapped but itself and its linker: give it the moment that
 * the linker takes. A static program without malloc pays it in vain.
 */
static void wait_for_libraries(struct capture *c)
{
	struct libc_target libc;

	for (int i = 0; i < STARTUP_LOOKS; i++) {
		if (libc_target_find(c->target, &libc) != -ENOENT)
			return;
		(void)poll(NULL, 0, STARTUP_LOOK_MS);
		if (target_refresh_maps(c->target))
			return;
	}
}

static int open_all(struct capture *c)
{
	struct drain_opts drain = {0};
	int err = target_open(c->opts->pid, &c->target);

	if (err)
		return err;
	wait_for_libraries(c);
	err = open_python(c);
	if (!err)
		err = open_native(c);
	if (!err)
		err = check_allocator(c);
	if (!err)
		err = open_session(c);
	if (!err)
		err = attach_all(c);
	if (err)
		return err;
	c->start_ns = c->last_snapshot_ns = monotonic_ns();
	drain.pools_mode = c->pools_mode;
	drain.python = c->py_sites.pop_count > 0 && !c->mimalloc;
	err = drain_new(c->session, c->target, &c->py, &drain, &c->drain);
	if (!err)
		err = drain_census(c->drain);
	if (!err)
		err = bpf_session_stats(c->session, &c->stats_before);
	return err;
}

int capture_open(const struct options *opts, struct capture *c)
{
	int err;

	memset(c, 0, sizeof(*c));
	c->opts = opts;
	err = open_all(c);
	if (!err)
		return 0;
	/* Whatever failed first, failed because of that. */
	if ((c->target && !target_is_alive(c->target)) || (err == -ESRCH && !log_exit_status(0)))
		return log_coded_err(-ESRCH, "E301", NULL, "process %d ended while tmbpf attached",
				     (int)opts->pid);
	return err;
}

void capture_detach(struct capture *c)
{
	if (c->learn)
		learn_log(c->learn);
	probes_free(c->probes);
	c->probes = NULL;
	learn_free(c->learn); /* it moves probes */
	c->learn = NULL;
}

void capture_close(struct capture *c)
{
	capture_detach(c);
	drain_free(c->drain);
	bpf_session_close(c->session);
	stack_cache_free(c->stacks);
	intern_free(c->strings);
	python_sites_release(&c->py_sites);
	mimalloc_sites_release(&c->mi_sites);
	target_free(c->target);
	memset(c, 0, sizeof(*c));
}

/* Ended and initialised again, up to 3.14 an interpreter may have another thread key than before. */
static bool python_moved(const struct capture *c)
{
	struct python_target py = c->py;
	const struct py_tstate_path *was = &c->py.tstate, *is = &py.tstate;

	if (!c->has_python || find_threads(c->target, &py))
		return false;
	return is->hops != was->hops || is->off[0] != was->off[0] || is->off[1] != was->off[1];
}

bool capture_python_appeared(struct capture *c)
{
	int64_t now = monotonic_ns();
	struct python_target py;
	int err;

	if (now - c->python_look_ns < LATER_LOOK_NS)
		return false;
	c->python_look_ns = now;
	if (!c->python_later)
		return python_moved(c);
	if (target_refresh_maps(c->target) || !python_target_mapped(c->target))
		return false;
	err = python_target_find(c->target, &py);
	if (!err)
		err = find_threads(c->target, &py);
	/* Ready, or of no use, which has been said: either way there is nothing more to wait for. */
	c->python_later = err == -EAGAIN;
	return !err;
}

int capture_step(struct capture *c)
{
	bool changed = false;
	int err;

	(void)bpf_session_maintain(c->session);
	err = consume_ring(c);
	if (!err)
		err = stack_cache_resolve(c->stacks, consume_ring, c);
	if (!err && c->learn)
		err = learn_step(c->learn, monotonic_ns(), &changed);
	if (changed && c->opts->use_cache) {
		size_t count;
		const uint64_t *list = learn_fresh_only(c->learn, &count);

		(void)learned_sites_save(c->py.object->image, list, count);
	}
	return err;
}
