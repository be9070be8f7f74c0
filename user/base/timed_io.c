/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The helper is a fork that shares one page of arguments, a bounce buffer and the buffers of timed_buffer_new()
 * with us, and is woken by futex. It holds none of our descriptors, so that one which cannot be killed keeps
 * neither probes nor pipes open.
 */
#include "base/timed_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define SPINS		200 /* looks at the other side's word before a sleep: reads come in bursts */
#define REAP_MS		50  /* a killed helper is gone after that, or is stuck */
#define BUFFERS		4
#define BUFFER_BYTES	((size_t)2 << 20)
#define MS_NS		1000000LL
#define SLICE_MS	50  /* between two looks whether the helper lives */
#define RUNNABLE_SLICES 200 /* more for a helper that waits for a CPU */

enum timed_op { OP_VM_READ, OP_OPEN, OP_STAT, OP_PREAD, OP_FILE_FIRST, OP_FILE_NEXT };

struct exchange {			  /* shared with one helper */
	uint32_t asked, answered;	  /* number of the request, of the reply; futex words */
	uint32_t helper_sleeps, we_sleep; /* who must be woken */
	enum timed_op op;
	pid_t pid;
	int64_t result; /* bytes, or -errno */
	uint64_t off;
	size_t len, local_count, remote_count;
	struct stat st;
	uint64_t fs_type;
	char path[PATH_MAX];
	struct iovec local[TIMED_IO_RANGES], remote[TIMED_IO_RANGES];
	uint8_t bounce[TIMED_IO_BYTES];
};

static struct {
	struct exchange *x;
	pid_t owner; /* a fork of ours needs its own helper */
	pid_t pid;   /* 0: none */
	int sock;    /* descriptors travel here */
	uint64_t abandoned;
	uint8_t *buffers; /* BUFFERS of BUFFER_BYTES, shared with every helper */
	bool used[BUFFERS];
} helper = {.sock = -1};

/* ---- both sides ---- */

static void futex_wait(const uint32_t *word, uint32_t seen, const struct timespec *limit)
{
	(void)syscall(SYS_futex, word, FUTEX_WAIT, seen, limit, NULL, 0);
}

static void futex_wake(const uint32_t *word)
{
	(void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static uint32_t load_word(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void store_word(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_SEQ_CST);
}

/* On one CPU the other side cannot run while we look. */
static int spin_count(void)
{
	static int spins = -1;
	cpu_set_t set;

	if (spins < 0)
		spins = !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) > 1 ? SPINS : 0;
	return spins;
}

static bool spin_until(const uint32_t *word, uint32_t value)
{
	for (int i = spin_count(); i > 0; i--) {
		if (load_word(word) == value)
			return true;
		__builtin_ia32_pause();
	}
	return load_word(word) == value;
}

/* fd -1: a message without one, so that each request that brings a descriptor takes one message. */
static int send_descriptor(int sock, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int receive_descriptor(int sock)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	int fd = -1;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EMFILE; /* no room in the table of descriptors */
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* ---- the helper ---- */

static int64_t serve_open(struct exchange *x, int sock)
{
	_cleanup_close_ int fd = open(x->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct statfs fs;

	if (fd < 0 || fstat(fd, &x->st) || fstatfs(fd, &fs))
		return -errno;
	x->fs_type = (unsigned long)fs.f_type;
	return send_descriptor(sock, fd);
}

static int64_t read_fully(int fd, uint8_t *out, size_t len, int64_t off)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
			off < 0 ? read(fd, out + done, len - done)
				: pread(fd, out + done, len - done, (off_t)(off + (int64_t)done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

static int64_t serve_pread(struct exchange *x, int sock)
{
	_cleanup_close_ int fd = receive_descriptor(sock);

	return fd < 0 ? fd : read_fully(fd, x->bounce, x->len, (int64_t)x->off);
}

static int64_t serve_file(struct exchange *x)
{
	static int fd = -1;

	if (x->op == OP_FILE_FIRST) {
		if (fd >= 0)
			close(fd);
		fd = open(x->path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return x->op == OP_FILE_FIRST ? -errno : -EIO;
	int64_t n = read_fully(fd, x->bounce, x->len, -1);

	if (n < (int64_t)x->len) {
		close(fd);
		fd = -1;
	}
	return n;
}

static int64_t serve_request(struct exchange *x, int sock)
{
	ssize_t n;

	switch (x->op) {
	case OP_VM_READ:
		n = process_vm_readv(x->pid, x->local, x->local_count, x->remote, x->remote_count,
				     0);
		return n < 0 ? -errno : n;
	case OP_OPEN:
		return serve_open(x, sock);
	case OP_STAT:
		return stat(x->path, &x->st) ? -errno : 0;
	case OP_PREAD:
		return serve_pread(x, sock);
	case OP_FILE_FIRST:
	case OP_FILE_NEXT:
		return serve_file(x);
	}
	return -EINVAL;
}

/* All but the socket, which becomes 3: 0 to 2 go nowhere. */
static void drop_descriptors(int sock)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; null >= 0 && fd < 3; fd++)
		(void)dup2(null, fd);
	if (sock != 3)
		(void)dup2(sock, 3);
	if (syscall(SYS_close_range, 4u, ~0u, 0u) == 0)
		return;
	for (int fd = 4; fd < (int)sysconf(_SC_OPEN_MAX); fd++) /* Linux before 5.9 */
		(void)close(fd);
}

static _Noreturn void serve_forever(struct exchange *x, int sock, pid_t parent)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
	uint32_t seen = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)prctl(PR_SET_NAME, "tmbpf-read");
	if (getppid() != parent)
		_exit(0);
	/*
	 * Ignore signals of the terminal, because its keys reach the whole group and our parent
	 * decides.
	 */
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	drop_descriptors(sock);
	for (;;) {
		if (!spin_until(&x->asked, seen + 1)) {
			store_word(&x->helper_sleeps, 1);
			while (load_word(&x->asked) == seen)
				futex_wait(&x->asked, seen, NULL);
			store_word(&x->helper_sleeps, 0);
		}
		seen++;
		x->result = serve_request(x, 3);
		store_word(&x->answered, seen);
		if (load_word(&x->we_sleep))
			futex_wake(&x->answered);
	}
}

/* ---- our side ---- */

static void *map_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void forget_helper(void)
{
	if (helper.sock >= 0)
		close(helper.sock);
	helper.sock = -1;
	helper.pid = 0;
	/* Map another buffer, because a stuck helper may still write into this one. */
	if (helper.x)
		munmap(helper.x, sizeof(*helper.x));
	helper.x = NULL;
}

static void kill_helper(void)
{
	(void)kill(helper.pid, SIGKILL);
	for (int i = 0; i < REAP_MS; i++) {
		if (waitpid(helper.pid, NULL, WNOHANG) != 0)
			break;
		(void)poll(NULL, 0, 1);
	}
	forget_helper();
}

static int fork_helper(void)
{
	int pair[2];
	pid_t parent = getpid();

	if (!helper.buffers)
		helper.buffers = map_shared(BUFFERS * BUFFER_BYTES);
	helper.x = map_shared(sizeof(*helper.x));
	if (!helper.x || !helper.buffers)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	pid_t pid = fork();

	if (pid == 0)
		serve_forever(helper.x, pair[1], parent);
	close(pair[1]);
	helper.sock = pair[0];
	helper.owner = parent;
	helper.pid = pid;
	return pid < 0 ? -errno : 0;
}

static int ensure_helper(void)
{
	if (helper.pid > 0 && helper.owner == getpid())
		return 0;
	forget_helper(); /* of our parent: not ours to kill */
	int err = fork_helper();

	if (err)
		forget_helper();
	return err ? -EIO : 0;
}

/* Not blocked, because it waits for a CPU: the machine is busy. */
static bool helper_is_runnable(void)
{
	char path[32], text[128] = "";

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)helper.pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return false;
	const char *name_end = strrchr(text, ')');

	return name_end && !strncmp(name_end, ") R", 3);
}

/*
 * Wait for the reply. The time is counted in slices, so that a stop of us all (Ctrl-Z) costs one.
 * Returns: 0, -ETIMEDOUT, -EIO (the helper died).
 */
static int await_reply(struct exchange *x, uint32_t seq, int limit_ms)
{
	const struct timespec slice = {.tv_nsec = SLICE_MS * MS_NS};
	int slices = limit_ms / SLICE_MS + 1, extended = 0, err = 0;

	if (spin_until(&x->answered, seq))
		return 0;
	store_word(&x->we_sleep, 1);
	while (!err && load_word(&x->answered) != seq) {
		int64_t from = monotonic_ns();

		futex_wait(&x->answered, seq - 1, &slice);
		if (load_word(&x->answered) == seq)
			break;
		if (monotonic_ns() - from < SLICE_MS * MS_NS)
			continue; /* a signal */
		if (waitpid(helper.pid, NULL, WNOHANG) != 0)
			err = -EIO;
		else if (--slices <= 0 && (extended++ >= RUNNABLE_SLICES || !helper_is_runnable()))
			err = -ETIMEDOUT;
	}
	store_word(&x->we_sleep, 0);
	return err;
}

/* The request stands in the exchange, but for the descriptor. Returns: its result, -ETIMEDOUT, -EIO. */
static int64_t ask_helper(enum timed_op op, int fd, int limit_ms)
{
	struct exchange *x = helper.x;
	uint32_t seq = x->asked + 1;
	int err = fd >= 0 ? send_descriptor(helper.sock, fd) : 0;

	if (!err) {
		x->op = op;
		store_word(&x->asked, seq);
		if (load_word(&x->helper_sleeps))
			futex_wake(&x->asked);
		err = await_reply(x, seq, limit_ms);
	}
	if (!err)
		return x->result;
	helper.abandoned += err == -ETIMEDOUT;
	if (err == -EIO)
		forget_helper(); /* killed by another, and reaped */
	else
		kill_helper();
	return err;
}

static bool in_buffers(const struct iovec *v)
{
	const uint8_t *at = v->iov_base;

	return helper.buffers && at >= helper.buffers &&
	       at + v->iov_len <= helper.buffers + BUFFERS * BUFFER_BYTES;
}

/* Copies what the bounce buffer holds to where it belongs. */
static void scatter_bytes(const struct iovec *local, size_t len)
{
	const uint8_t *from = helper.x->bounce;

	for (; len; local++) {
		size_t n = local->iov_len < len ? local->iov_len : len;

		if (n)
			memcpy(local->iov_base, from, n);
		from += n;
		len -= n;
	}
}

ssize_t timed_vm_read(pid_t pid, const struct iovec *local, const struct iovec *remote,
		      size_t count, int limit_ms)
{
	size_t total = 0, n = 0;
	bool direct = true;
	int err = ensure_helper();

	if (err)
		return err;
	struct exchange *x = helper.x;

	for (; n < count && n < TIMED_IO_RANGES && total < TIMED_IO_BYTES; n++) {
		x->remote[n] = remote[n];
		x->local[n] = local[n];
		if (remote[n].iov_len > TIMED_IO_BYTES - total)
			x->remote[n].iov_len = x->local[n].iov_len = TIMED_IO_BYTES - total;
		total += x->remote[n].iov_len;
		direct &= in_buffers(&local[n]);
	}
	x->pid = pid;
	x->local_count = x->remote_count = n;
	if (!direct) {
		x->local[0] = (struct iovec){x->bounce, total};
		x->local_count = 1;
	}
	int64_t got = ask_helper(OP_VM_READ, -1, limit_ms);

	if (got > 0 && !direct)
		scatter_bytes(local, (size_t)got);
	return (ssize_t)got;
}

void *timed_buffer_new(size_t len)
{
	if (len > BUFFER_BYTES || ensure_helper())
		return malloc(len);
	for (size_t i = 0; i < BUFFERS; i++) {
		if (helper.used[i])
			continue;
		helper.used[i] = true;
		return helper.buffers + i * BUFFER_BYTES;
	}
	return malloc(len);
}

void timed_buffer_free(void *buffer)
{
	struct iovec v = {buffer, 1};

	if (!in_buffers(&v)) {
		free(buffer);
		return;
	}
	size_t i = (size_t)((uint8_t *)buffer - helper.buffers) / BUFFER_BYTES;

	(void)madvise(buffer, BUFFER_BYTES, MADV_REMOVE);
	helper.used[i] = false;
}

static int put_path(const char *path)
{
	int err = ensure_helper();

	if (err)
		return err;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(helper.x->path, path, strlen(path) + 1);
	return 0;
}

int timed_open(const char *path, int limit_ms, struct timed_file *out)
{
	int err = put_path(path);

	if (!err)
		err = (int)ask_helper(OP_OPEN, -1, limit_ms);
	if (err)
		return err;
	int fd = receive_descriptor(helper.sock);

	if (fd < 0)
		return fd;
	*out = (struct timed_file){.fd = fd, .st = helper.x->st, .fs_type = helper.x->fs_type};
	return 0;
}

int timed_stat(const char *path, int limit_ms, struct stat *st)
{
	int err = put_path(path);

	if (!err)
		err = (int)ask_helper(OP_STAT, -1, limit_ms);
	if (!err)
		*st = helper.x->st;
	return err;
}

ssize_t timed_pread(int fd, void *out, size_t len, uint64_t off, int limit_ms)
{
	size_t done = 0;

	while (done < len) {
		size_t want = len - done < TIMED_IO_BYTES ? len - done : TIMED_IO_BYTES;
		int err = ensure_helper();

		if (err)
			return err;
		helper.x->len = want;
		helper.x->off = off + done;
		int64_t got = ask_helper(OP_PREAD, fd, limit_ms);

		if (got < 0)
			return (ssize_t)got;
		memcpy((uint8_t *)out + done, helper.x->bounce, (size_t)got);
		done += (size_t)got;
		if ((size_t)got < want)
			break;
	}
	return (ssize_t)done;
}

int timed_read_file(const char *path, size_t max, int limit_ms, struct buf *out)
{
	enum timed_op op = OP_FILE_FIRST;
	size_t left = max;
	int err = put_path(path);

	if (err)
		return err;
	for (;;) {
		size_t want = left < TIMED_IO_BYTES ? left + 1 : TIMED_IO_BYTES;

		helper.x->len = want;
		int64_t got = ask_helper(op, -1, limit_ms);

		if (got < 0)
			return (int)got;
		size_t keep = (size_t)got < left ? (size_t)got : left;

		err = buf_append(out, helper.x->bounce, keep);
		if (err)
			return err;
		left -= keep;
		if (keep < (size_t)got)
			return -EFBIG;
		if ((size_t)got < want)
			return 0;
		op = OP_FILE_NEXT;
	}
}

uint64_t timed_io_abandoned(void)
{
	return helper.abandoned;
}
