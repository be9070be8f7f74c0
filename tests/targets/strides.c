/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks that lie a fixed distance apart, all alive: "go COUNT BYTES"; "untouched BYTES"; "quit". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *last;

static __attribute__((noinline)) void keep_blocks(long count, long bytes)
{
	for (long i = 0; i < count; i++) {
		void **block = malloc((size_t)bytes);

		*block = last;
		last = block;
	}
}

static __attribute__((noinline)) void keep_untouched(size_t bytes)
{
	last = malloc(bytes);
}

int main(void)
{
	char line[100];
	long count, bytes;

	setvbuf(stdout, NULL, _IOLBF, 256);
	puts("READY");
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "go %ld %ld", &count, &bytes) == 2)
			keep_blocks(count, bytes);
		else if (sscanf(line, "untouched %ld", &bytes) == 1)
			keep_untouched((size_t)bytes);
		else if (!strncmp(line, "quit", 4))
			return 0;
		puts("done");
	}
	return 0;
}
