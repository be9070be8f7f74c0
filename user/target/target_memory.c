/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of a target, read with process_vm_readv, which needs fewer capabilities than /proc/PID/mem. A page can
 * block its reader for ever (userfaultfd, a mapped file on a dead mount): reads have a time limit, and a range that
 * blocked one is not read again.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timed_io.h"
#include "target/target.h"
#include "target/target_task.h"

#define RETRY_MS   250 /* for a target that has blocked a read before */
#define BLOCKS_MAX 8   /* reads that a target may block before none is tried any more */

struct blocked_reads {
	unsigned count; /* given up, of files too */
	bool suspect;	/* one was: from here on the short limit */
	unsigned range_count;
	struct {
		uint64_t from, to;
	} ranges[BLOCKS_MAX];
};

int target_reads_new(struct target *t)
{
	t->blocked = calloc(1, sizeof(*t->blocked));
	return t->blocked ? 0 : -ENOMEM;
}

int target_limit_ms(const struct target *t)
{
	return t->blocked && t->blocked->suspect ? RETRY_MS : TIMED_IO_MS;
}

bool target_is_unreadable(const struct target *t)
{
	return t->blocked && t->blocked->count >= BLOCKS_MAX;
}

void target_note_blocked(const struct target *t, const char *what)
{
	if (!t->blocked || t->blocked->count >= BLOCKS_MAX)
		return;
	t->blocked->suspect = true;
	if (!t->blocked->count++)
		log_coded_warn(
			"W131", NULL,
			"reading %s of process %d blocked and was given up after %d ms: what "
			"it holds is not in the numbers",
			what, (int)t->pid, TIMED_IO_MS);
	else
		log_info("reading %s of process %d blocked and was given up", what, (int)t->pid);
	if (t->blocked->count == BLOCKS_MAX)
		log_coded_warn("W132", NULL,
			       "process %d blocked %d reads, the maximum: nothing "
			       "more is read from it",
			       (int)t->pid, BLOCKS_MAX);
}

static bool is_blocked(const struct target *t, const struct iovec *remote)
{
	const struct blocked_reads *b = t->blocked;
	uint64_t from = (uintptr_t)remote->iov_base, to = from + remote->iov_len;

	for (unsigned i = 0; b && i < b->range_count; i++) {
		if (from < b->ranges[i].to && to > b->ranges[i].from)
			return true;
	}
	return false;
}

/* Remember the pages of a range, after it blocked a read of its own. */
static void block_range(const struct target *t, const struct iovec *remote)
{
	struct blocked_reads *b = t->blocked;
	uint64_t mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	uint64_t from = (uintptr_t)remote->iov_base;
	char what[64];

	snprintf(what, sizeof(what), "memory at 0x%" PRIx64, from);
	if (b && b->range_count < BLOCKS_MAX) {
		b->ranges[b->range_count].from = from & ~mask;
		b->ranges[b->range_count++].to = (from + remote->iov_len + mask) & ~mask;
	}
	target_note_blocked(t, what);
}

static ssize_t read_ranges(const struct target *t, const struct iovec *local,
			   const struct iovec *remote, size_t count)
{
	if (t->pid != getpid())
		return timed_vm_read(target_task(t), local, remote, count, target_limit_ms(t));
	ssize_t n = process_vm_readv(t->pid, local, count, remote, count, 0); /* a unit test */

	return n < 0 ? -errno : n;
}

/*
 * A batch whose first range is read up to off blocked. Reads its ranges one at a time, up to the one that blocks.
 * Returns: bytes, 0 when the first one blocks, -errno.
 */
static ssize_t find_blocked(const struct target *t, const struct iovec *local,
			    const struct iovec *remote, size_t count)
{
	size_t total = 0;

	if (t->blocked)
		t->blocked->suspect = true;
	for (size_t i = 0; i < count; i++) {
		/* A range by itself has blocked already. */
		ssize_t got = count > 1 ? read_ranges(t, &local[i], &remote[i], 1) : -ETIMEDOUT;

		if (got == -ETIMEDOUT)
			block_range(t, &remote[i]);
		if (got < 0)
			return total ? (ssize_t)total : got == -ETIMEDOUT ? 0 : got;
		total += (size_t)got;
		if ((size_t)got < remote[i].iov_len)
			break;
	}
	return (ssize_t)total;
}

/* Fills a batch, whose first range is already read up to off, until a blocked range. Returns: its ranges. */
static size_t fill_batch(const struct target *t, struct iovec *l, struct iovec *r,
			 const struct iovec *local, const struct iovec *remote, size_t count,
			 size_t off)
{
	size_t n = 0;

	for (; n < count && n < IOV_MAX && !is_blocked(t, &remote[n]); n++) {
		l[n] = local[n];
		r[n] = remote[n];
	}
	if (!n)
		return 0;
	l[0].iov_base = (char *)l[0].iov_base + off;
	l[0].iov_len -= off;
	/*
	 * The address stays an integer, because it is the target's: pointer arithmetic would be
	 * undefined.
	 */
	r[0].iov_base = (void *)((uintptr_t)r[0].iov_base + off);
	r[0].iov_len -= off;
	return n;
}

/* Returns: as target_readv(); 0 at a range that cannot be read. */
static ssize_t read_batch(const struct target *t, const struct iovec *local,
			  const struct iovec *remote, size_t count, size_t off)
{
	struct iovec l[IOV_MAX], r[IOV_MAX]; /* 2 x 16 KiB */

	if (target_is_unreadable(t))
		return -EFAULT;
	size_t n = fill_batch(t, l, r, local, remote, count, off);

	if (!n)
		return 0;
	ssize_t got = read_ranges(t, l, r, n);

	return got == -ETIMEDOUT ? find_blocked(t, l, r, n) : got;
}

ssize_t target_readv(const struct target *t, const struct iovec *local, const struct iovec *remote,
		     size_t count)
{
	size_t idx = 0, off = 0, total = 0;

	for (size_t i = 0; i < count; i++) {
		if (local[i].iov_len != remote[i].iov_len)
			return -EINVAL;
	}
	while (idx < count) {
		if (off == local[idx].iov_len) {
			idx++;
			off = 0;
			continue;
		}
		ssize_t got = read_batch(t, local + idx, remote + idx, count - idx, off);

		if (got == -ESRCH && target_task_next(t))
			continue;
		if (got <= 0)
			return total ? (ssize_t)total : got ? got : -EFAULT;
		total += (size_t)got;
		/*
		 * Read again from the end of the last part, because the kernel stops at the first
		 * bad page, the helper at the size of its buffer.
		 */
		for (size_t left = (size_t)got; left;) {
			size_t here = local[idx].iov_len - off;

			if (left < here) {
				off += left;
				break;
			}
			left -= here;
			off = 0;
			idx++;
		}
	}
	return (ssize_t)total;
}

int target_read(const struct target *t, uint64_t addr, void *out, size_t len)
{
	struct iovec local = {.iov_base = out, .iov_len = len};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)addr, .iov_len = len};
	ssize_t n = target_readv(t, &local, &remote, 1);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -EFAULT;
}

int target_read_u64(const struct target *t, uint64_t addr, uint64_t *out)
{
	uint64_t v = 0;
	int err = target_read(t, addr, &v, sizeof(v));

	if (!err)
		*out = v;
	return err;
}
