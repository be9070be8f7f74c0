/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps COUNT sparse files of BYTES as code: each an ELF header and nothing else. READY, then waits. */
#define _GNU_SOURCE
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	size_t bytes = strtoull(argv[2], NULL, 10);
	Elf64_Ehdr eh = {.e_type = ET_DYN,
			 .e_machine = EM_X86_64,
			 .e_phoff = sizeof(eh),
			 .e_phnum = 1,
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_ehsize = sizeof(eh)};
	Elf64_Phdr ph = {.p_type = PT_LOAD,
			 .p_flags = PF_R | PF_X,
			 .p_filesz = bytes,
			 .p_memsz = bytes,
			 .p_align = 4096};

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	for (long i = strtol(argv[1], NULL, 10); i > 0; i--) {
		int fd = memfd_create("sparse", 0);

		if (fd < 0 || pwrite(fd, &eh, sizeof(eh), 0) < 0 ||
		    pwrite(fd, &ph, sizeof(ph), sizeof(eh)) < 0 || ftruncate(fd, (off_t)bytes) ||
		    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			return 1;
		close(fd);
	}
	printf("READY\n");
	fflush(stdout);
	pause();
	return 0;
}
