#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Run every unit test binary below DIR/tests/unit; one line each; the last line is the sum.
set -uo pipefail
dir=${1:?usage: run-units.sh DIR}
here=$(cd "$(dirname "$0")/.." && pwd)

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0:exitcode=99}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export CMOCKA_MESSAGE_OUTPUT=stdout

passed=0
failed=0
binaries=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

count() { # word: the sum of "[  WORD  ] N test(s)"
	sed -n "s/^\[ *$1 *\] \([0-9][0-9]*\) test(s).*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'
}

while IFS= read -r bin; do
	src=$here/tests/unit/${bin#"$dir"/tests/unit/}.c
	[ -f "$src" ] || continue # left over from an older tree
	binaries=$((binaries + 1))
	(cd "$here" && timeout 120 "$(realpath --relative-to="$here" "$bin")" </dev/null) >"$log" 2>&1
	rc=$?
	p=$(count PASSED)
	f=$(count FAILED)
	s=$(count SKIPPED)
	why=
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
		why=" (exit status $rc)"
	elif [ $((p + f)) -eq 0 ]; then
		f=1
		why=" (no test ran)"
	fi
	[ "$s" -gt 0 ] && why="$why, $s skipped"
	echo "unit ${bin#"$dir"/tests/unit/}: $p passed, $f failed$why"
	[ "$f" -gt 0 ] && sed 's/^/    /' "$log"
	passed=$((passed + p))
	failed=$((failed + f))
done < <(find "$dir/tests/unit" -type f -name 'test_*' -executable 2>/dev/null | sort)

# A test that does not compile must not vanish: every source has a binary.
for src in "$here"/tests/unit/*/test_*.c; do
	[ -f "$src" ] || continue
	rel=${src#"$here"/}
	if [ ! -x "$dir/${rel%.c}" ]; then
		echo "unit ${rel%.c}: not built"
		failed=$((failed + 1))
	fi
done

if [ $((passed + failed)) -eq 0 ]; then
	echo "run-units: no test found below $dir/tests/unit" >&2
	failed=1
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
