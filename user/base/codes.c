/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One row per code, in order. The hundreds digit is the exit status of an error: 2 usage, 3 target or input,
 * 4 permission, 5 kernel, 6 too much lost, 7 output. Run scripts/check-codes.py --write after a change.
 */
#include "base/codes.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"

#define NAME_MAX_LEN 31 /* of a code or loss, as far as they are compared */

static const struct code_row code_rows[] = {
	{"E201", "wrong usage",
	 "An option, a file or the time after @ is not of the form that the command takes.",
	 "The message names the argument; `tmbpf VERB --help` lists what is accepted."},
	{"E301", "no such process, or it ended",
	 "The process does not exist, is not visible in this PID namespace, is a kernel thread, or ended "
	 "before anything was measured. For `tmbpf sites FILE`: the file cannot be read.",
	 "List the processes that can be traced with `tmbpf ls`. In a container, use the process number "
	 "that `ps` prints on the host."},
	{"E302", "no supported program in the target",
	 "The process maps neither a CPython that can be traced nor a malloc that can be probed, or the "
	 "file is neither of them.",
	 "`--domains native` traces a program without Python. If the process only starts the "
	 "interpreter (sh, sudo, docker), trace its child."},
	{"E303", "interpreter or C library not supported",
	 "The interpreter (PyPy, CPython 2 or before 3.6), its C library (not glibc), or its allocator "
	 "is not supported.",
	 "`--domains native` still traces malloc. `docs/interpreters.md` lists what was tested."},
	{"E304", "the interpreter's data could not be read",
	 "CPython was found, but its version, threads, allocator or debug offsets are not as expected: "
	 "it is still starting, damaged, or was built in an unknown way.",
	 "Wait until it has started and try again. `--domains native` still works. `tmbpf sites FILE` "
	 "prints what was found: please report the build."},
	{"E305", "the process has exited and waits for its parent",
	 "A zombie has no memory of its own any more.", "Trace another process."},
	{"E306", "needed instructions cannot be probed",
	 "A debugger's breakpoint, or other code than in the file, stands where the end of blocks or of "
	 "code objects is probed, and nothing would be left to trace.",
	 "Delete the breakpoints in the debugger, or detach it, then try again."},
	{"E311", "the file cannot be opened or read",
	 "It does not exist, or an I/O error occurred.",
	 "Check the name. `tmbpf record` and `tmbpf snap` write such files."},
	{"E312", "the file is of another kind",
	 "It is a directory, a device, empty, or in another format; the message names the format when "
	 "it is known.",
	 "Give a file of `tmbpf record` or `tmbpf snap`, or a tracemalloc pickle where one is accepted."},
	{"E313", "the file was written by a newer tmbpf",
	 "Its format version is higher than this program knows.",
	 "Read it with the tmbpf that wrote it, or a newer one."},
	{"E314", "the file is damaged",
	 "It was cut off, bits have changed (the checksum differs), or its contents contradict each "
	 "other. For a pickle: it holds what a tracemalloc snapshot does not.",
	 "Copy the file again from where it was recorded."},
	{"E315", "no snapshot at that time",
	 "The file has no snapshot yet, none at or before the time after @, or it was thinned out "
	 "meanwhile.",
	 "Name one of those in the file: @first, @last, @-2, a number, or a time. Times without a zone "
	 "are local; printed ones are UTC."},
	{"E316", "the file stays locked", "Another program writes to it for long.", "Try again."},
	{"E317", "no copy could be made to repair the file",
	 "The recorder was killed in the middle of a write. The journal is applied to a copy in TMPDIR, "
	 "which cannot be made.",
	 "Set TMPDIR to a directory with room for a copy."},
	{"E321", "the suppressions cannot be read",
	 "The file of --suppressions does not exist, is no regular file, or has more than 1 MiB.",
	 "Check the name."},
	{"E322", "a line of the suppressions is malformed", "It is not of the form leak:PATTERN.",
	 "Write one pattern a line, like leak:lru_cache; # starts a comment."},
	{"E331", "too few snapshots for a verdict",
	 "A verdict needs three snapshots of one tracing session.",
	 "Record for longer, or more often: `tmbpf record -p PID --every 10s`."},
	{"E332", "the files are of different processes",
	 "Growth can be followed only within one process.", "Give the files of one process."},
	{"E401", "not permitted",
	 "Tracing needs CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, before Linux 6.6 CAP_SYS_ADMIN; in a "
	 "container also a seccomp profile that allows bpf().",
	 "Run the command with sudo."},
	{"E402", "perf events are not permitted",
	 "Before Linux 6.6 every probe is a perf event, which needs CAP_SYS_ADMIN or a lower "
	 "kernel.perf_event_paranoid.",
	 "Run the command with sudo."},
	{"E411", "no permission to read the file",
	 "The file, its journal or the suppressions belong to another user. A recording has mode 0600.",
	 "Read it as its owner, or change the owner with chown."},
	{"E501", "the kernel has no BTF",
	 "/sys/kernel/btf/vmlinux is missing: the BPF programs cannot be adapted to this kernel.",
	 "Use a kernel with CONFIG_DEBUG_INFO_BTF=y, or mount sysfs in this container."},
	{"E502", "the kernel refused BPF or a probe",
	 "The kernel has no BPF, the verifier rejected a program, or a site could not be probed.",
	 "Run the command again with -vv and report the verifier log; for a probe, the output of "
	 "`tmbpf sites -p PID`."},
	{"E601", "no memory for the BPF maps",
	 "The memory limit of tmbpf's own cgroup (or RLIMIT_MEMLOCK) is too low for the tables.",
	 "Raise the limit, lower --blocks, or use --mode pools."},
	{"E602", "too few open files are allowed",
	 "BPF maps and probes are descriptors; the limit of open files (already raised to what is "
	 "allowed) is too low for them.",
	 "Raise it as root: `ulimit -n 65536`, or `LimitNOFILE=` of the service."},
	{"E610", "more is missing than --max-lost allows",
	 "Blocks without a record or lost events exceed the limit that was asked for.",
	 "The completeness line of the report names the losses; `tmbpf explain LOSS` has the remedy."},
	{"E701", "stdout cannot be written", "The disk is full or the stream is closed.",
	 "Free space, or write elsewhere."},
	{"E702", "the output file exists", "Nothing is overwritten unasked.",
	 "Add --force, or choose another name with -o."},
	{"E703", "the output file cannot be created or written",
	 "It is a directory, a symbolic link or no regular file, the directory is missing or not "
	 "writable, or an I/O error occurred.",
	 "Choose another place with -o."},
	{"E704", "no space left for the output",
	 "The disk or quota is full. Complete snapshots stay in the file.",
	 "Free space, or record to another place with -o."},
	{"E705", "another tmbpf records to the file", "The file is locked by a running recorder.",
	 "Record to another file with -o."},
	{"E706", "binary output would go to a terminal", "The format is not text.",
	 "Give a file with -o, or pipe it."},
	{"E707", "a reader kept the file locked", "Snapshots could not be written until the end.",
	 "End the program that reads the file for so long."},
	{"E708", "the file was moved, deleted or replaced while it was recorded to",
	 "Writing on would go to a file without a name.",
	 "Leave the file where it is until the recording has ended."},
	{"W103", "the tables cannot grow any more",
	 "The kernel has no memory for a larger table (memory limit, RLIMIT_MEMLOCK). Blocks that do "
	 "not fit are counted as lost.",
	 "Raise the memory limit of tmbpf, or use --mode pools."},
	{"W104", "more small objects alive than the process holds",
	 "A check of tmbpf on itself: live small objects are resident or swapped. The numbers are too "
	 "high.",
	 "Please report it, with the output of -j -vv."},
	{"W105", "more blocks of malloc alive than the process holds",
	 "Pages of a block become resident when they are written to: the rest was allocated and not "
	 "used so far. The numbers are right.",
	 "Nothing to do."},
	{"W106", "the stack table is full",
	 "The process has more distinct stacks with live blocks than the table has room for. Blocks of "
	 "the others count as <lost>.",
	 "Attach again with a larger --stacks, or with a lower --frames."},
	{"W120", "the interpreter runs with PYTHONMALLOC=malloc",
	 "All its blocks are seen in malloc. One that is re-used from a free list keeps the line that "
	 "it was allocated for.",
	 "Nothing to do."},
	{"W121", "no malloc to probe",
	 "The C library's malloc was not found: blocks above 512 bytes are not seen.",
	 "`tmbpf sites -p PID` prints what was found."},
	{"W122", "the interpreter allocates through hooks",
	 "Debug hooks, tracemalloc or another profiler wrap the allocator. Their own memory is in the "
	 "numbers.",
	 "For numbers without them, run the target without the tool named in the message. Raise "
	 "--blocks if blocks are lost."},
	{"W123", "the interpreter is not initialised yet",
	 "Only native blocks are traced until it is.",
	 "Nothing to do: tracing restarts when it has started."},
	{"W124", "an interpreter has started in the process",
	 "Probes were chosen without it, so tracing restarts. Numbers begin at zero again.",
	 "Nothing to do."},
	{"W125", "the small-object allocator was not recognised",
	 "This build inlines it in an unknown way. Blocks from malloc are seen, with their Python line; "
	 "small objects are not.",
	 "`tmbpf sites FILE` prints what was found: please report the build."},
	{"W126", "the interpreter's mimalloc cannot be followed",
	 "Its code was not recognised. Only what C code takes from malloc is seen.",
	 "`tmbpf sites -p PID` prints what was found: please report the build."},
	{"W127", "the interpreter's blocks come from mimalloc",
	 "Every block is seen, with the size class that it occupies. Coverage is not measured.",
	 "Nothing to do."},
	{"W128", "some allocation functions are not probed",
	 "They can only be seen by a return probe, and on kernels 6.11 to 6.13 a process under a seccomp "
	 "filter would be killed by it. Blocks from the functions in the message are not seen.",
	 "Use kernel 6.14 or later, or run the target without a seccomp filter."},
	{"W130", "the program's file was replaced on disk",
	 "The process runs a deleted file (an upgrade). It is read through /proc instead.",
	 "Nothing to do."},
	{"W131", "a read of the target blocked and was given up",
	 "A page of its memory (userfaultfd, a mapped file on a dead mount) or a mapped file did not answer within "
	 "a second. It is not read again; its content is not in the numbers.",
	 "Look at what the process maps: cat /proc/PID/maps. A mount that hangs is found by df."},
	{"W132", "nothing more is read from the target",
	 "It blocked eight reads, each for as long as is waited. Names and liveness of blocks are not known from then "
	 "on.",
	 "As for W131."},
	{"W133", "the mapped files are too large",
	 "Symbols and code of the files that the process maps are kept up to 512 MiB. Functions of the others have no "
	 "names.",
	 "Strip the largest of them, or leave out native blocks with --domains python."},
	{"W134", "too many mapped files",
	 "More than 4,096 files are mapped as code. Functions of the others have no names.",
	 "Nothing to do for a program that means it."},
	{"W135", "too many names",
	 "The target has more code objects, names, line tables or frames than are kept; the message names the limit. "
	 "What comes on top is <unknown> or at line 0, and is counted as the loss name_limit.",
	 "Lower --frames. Code that is created without end (exec, eval) is itself a leak to look at."},
	{"W136", "detaching takes longer than a second",
	 "The kernel waits until no task can be on its way through a probe any more (RCU), longer on a "
	 "loaded machine. The target keeps running.",
	 "Nothing to do."},
	{"W140", "exact by request costs more than the budget",
	 "--mode exact traces every block whatever it costs, and the target allocates much for the CPU time that it uses.",
	 "Run with --mode pools, or give --overhead to have the budget held."},
	{"W141", "a debugger is attached to the target",
	 "Its breakpoints on probed instructions do not stop the process, and when it removes them, the "
	 "probes go with them.",
	 "Nothing, or detach it. See docs/safety.md."},
	{"W142", "sites are left out",
	 "The target's memory differs from its file there, the page was made writable, or a debugger's "
	 "breakpoint stands there. Blocks that pass there are not seen; coverage shows how many.",
	 "Delete the debugger's breakpoints, then start tmbpf again."},
	{"W143", "breakpoints stay until the debugger has left",
	 "A debugger may have taken them for the program's code; removed before, they would come back with "
	 "no handler for them, and end the target with SIGTRAP.",
	 "Detach the debugger. The process that the message names then ends by itself."},
	{"W144", "breakpoints are gone",
	 "A debugger wrote over them, or the main thread of the target has ended and another tool left the "
	 "same file. Blocks that pass there are no longer seen.",
	 "Start tmbpf again."},
	{"W145", "another process runs in the target's memory",
	 "It was started with CLONE_VM and without CLONE_THREAD. Blocks that it allocates are not seen, "
	 "those that it frees stay in the numbers.",
	 "None: probes follow one process."},
	{"W146", "probes were taken away to hold --overhead",
	 "The traps cost more than the target had earned: a share of the CPU time that it uses itself.",
	 "Raise --overhead, or run with --mode exact, which traces on at that cost. Until the probes are back nothing is recorded, and what was recorded before is an upper bound: blocks may have been freed since."},
	{"W147", "tracing goes on after it was paused",
	 "The target has earned what another departure of the probes would cost.",
	 "Nothing to do. Blocks made in between are missing; those from before stay marked in every report."},
	{"W148", "forked children paid for copied breakpoints",
	 "fork() copies the program text with the breakpoints in it; tmbpf removes them from the child within about 100 ms.",
	 "Nothing to do: the cost counts as cost of tracing. Where the target forks all the time, --mode pools costs less."},
	{"W149", "the budget is not held",
	 "A debugger is attached. It may have taken breakpoints of tmbpf for the program's code; if they were removed now, it would put them back when it leaves, and the target would die of SIGTRAP.",
	 "Detach the debugger, or stop tmbpf."},
	{"W150", "the process has ended: how old the last numbers are",
	 "It exited, was ended by a signal or for lack of memory, or started another program. Blocks of "
	 "malloc are in tables of tmbpf and as of the end, unless it exited by itself; small objects are "
	 "as of the last look at the heap.",
	 "Nothing to do: the message names the age. A shorter interval, or `tmbpf record --every`, "
	 "makes it smaller."},
	{"W151", "reports or snapshots were skipped",
	 "One took longer than the interval: a large heap, many stacks, or an output that is read slowly.",
	 "Use a longer interval, or fewer lines (`-T`)."},
	{"W152", "the output was not written to its end",
	 "tmbpf got a signal to end while the reader of its output did not read.",
	 "Read the output to its end; a second signal ends tmbpf at once."},
	{"W153", "the output holds only what came after the interpreter started",
	 "A recording to stdout is one file, and starting again with the interpreter begins another.",
	 "Record to a directory with `-o DIR`: both parts are kept."},
	{"W204", "the two sides of a diff do not compare",
	 "They differ in mode, process, attach, interpreter or number of frames, as the message lists.",
	 "Compare snapshots of one recording."},
	{"W302", "not CPython: only native blocks are traced",
	 "No interpreter is mapped in the process.",
	 "If it only starts the interpreter, trace its child. Add --domains native if this is meant."},
	{"W701", "snapshots wait in memory for a reader",
	 "Another program keeps the file locked. SIGKILL would lose what waits.",
	 "End what reads it; `fuser FILE` names it."},
	{"W702", "a snapshot was lost: another program writes to the file",
	 "Only the recorder may write to a recording.", "End what writes to the file."},
	{"W711", "an exported pickle has scaled counts",
	 "Python reads more than 2,000,000 elements slowly, so counts (not sizes) are scaled down.",
	 "`--max-blocks 0` writes one element for each block."},
	{"W712", "allocated is not known, live is written instead",
	 "The snapshot does not count what was freed again; the format cannot express \"not known\".",
	 "Use --value of what is alive, or the ndjson or csv format."},
};

static const struct loss_row loss_rows[TM_DROP_COUNT] = {
#define X(id, k, t, r) [TM_DROP_##id] = {#k, t, r},
	TM_DROP_LIST(X)
#undef X
};

const struct code_row *codes_all(size_t *count)
{
	*count = ARRAY_LEN(code_rows);
	return code_rows;
}

const struct code_row *codes_find(const char *code)
{
	for (size_t i = 0; i < ARRAY_LEN(code_rows); i++) {
		if (!strcasecmp(code_rows[i].code, code))
			return &code_rows[i];
	}
	return NULL;
}

const struct loss_row *losses_get(enum tm_drop reason)
{
	return &loss_rows[reason];
}

const struct loss_row *losses_find(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(loss_rows); i++) {
		if (!strcmp(loss_rows[i].key, key))
			return &loss_rows[i];
	}
	return NULL;
}

int codes_exit_status(const char *code)
{
	if (code[0] == 'W')
		return 0;
	return code[0] == 'E' && code[1] >= '2' && code[1] <= '7' ? code[1] - '0' : 1;
}

static bool same_letter(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Levenshtein's distance, one row at a time. */
size_t codes_distance(const char *a, const char *b)
{
	size_t alen = strnlen(a, NAME_MAX_LEN), blen = strnlen(b, NAME_MAX_LEN);
	size_t row[NAME_MAX_LEN + 1];

	for (size_t j = 0; j <= blen; j++)
		row[j] = j;
	for (size_t i = 1; i <= alen; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= blen; j++) {
			size_t best = diagonal + !same_letter(a[i - 1], b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[blen];
}
