/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The list of the dynamic linker leads to a page that blocks who reads it: it is registered with a userfaultfd that
 * is never served. READY, then waits.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern ElfW(Dyn) _DYNAMIC[];

int main(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	char *page =
		mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.range = {(unsigned long)page, 1 << 20},
				      .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &reg))
		return 1;
	for (ElfW(Dyn) *d = _DYNAMIC; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_DEBUG)
			((struct r_debug *)d->d_un.d_ptr)->r_map = (struct link_map *)(page + 4096);
	}
	printf("READY\n");
	fflush(stdout);
	pause();
	return 0;
}
