#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Build every fuzz target tests/fuzz/fuzz_*.c (or tests/fuzz/ROOM/fuzz_*.c) with libFuzzer, ASan and UBSan
# and run each for SECONDS (default 5). A target sees all rooms but probe, trace and cli. Corpora:
# tests/fuzz/corpus/NAME/, dictionaries: tests/fuzz/NAME.dict. The last line is the sum.
set -uo pipefail
seconds=${1:-5}
cd "$(dirname "$0")/../.." || exit 1
out=${OUTPUT:-build}/fuzz
clang=${CLANG:-clang}
mapfile -t rooms < <(sed -n 's/^\([a-z]*\):.*/\1/p' user/rooms | grep -vx -e probe -e trace -e cli)
cflags=(-std=gnu11 -D_GNU_SOURCE '-DTMBPF_VERSION="fuzz"' -I. -Iuser -I"${OUTPUT:-build}" -O1 -g -fno-omit-frame-pointer
	-fno-sanitize-recover=undefined)

mapfile -t targets < <(find tests/fuzz -name 'fuzz_*.c' | sort)
if [ ${#targets[@]} -eq 0 ]; then
	echo "fuzz: no target in tests/fuzz" >&2
	echo "0 passed, 0 failed"
	exit 0
fi
mkdir -p "$out"
# Room alloc sets constants of the programs: it needs their generated face.
make --no-print-directory "${OUTPUT:-build}/tmbpf.skel.h" || exit 1

objs=()
for room in "${rooms[@]}"; do
	for src in user/"$room"/*.c; do
		[ -f "$src" ] || continue
		obj=$out/${src%.c}.o
		mkdir -p "$(dirname "$obj")"
		objs+=("$obj")
		[ "$obj" -nt "$src" ] && [ -z "$(find user bpf/tmbpf.h -name '*.h' -newer "$obj" -print -quit)" ] &&
			continue
		if ! "$clang" "${cflags[@]}" -fsanitize=fuzzer-no-link,address,undefined -c -o "$obj" "$src"; then
			echo "fuzz: $src does not compile with $clang"
			echo "0 passed, ${#targets[@]} failed"
			exit 1
		fi
	done
done
rm -f "$out/rooms.a"
llvm-ar rcs "$out/rooms.a" "${objs[@]}"

fuzz_one() { # source: build and run; says how it went, and counts in NAME.result
	local src=$1 name bin log work seeds=()
	name=$(basename "$src" .c)
	bin=$out/$name
	log=$out/$name.log
	work=$out/corpus-$name
	mkdir -p "$work"
	echo failed >"$out/$name.result"
	if ! "$clang" "${cflags[@]}" -fsanitize=fuzzer,address,undefined -o "$bin" "$src" "$out/rooms.a" \
		-lelf -lZydis -lZycore -lz -lbpf -lsqlite3 -lnettle >"$log" 2>&1; then
		echo "fuzz $name: does not build"
		sed 's/^/    /' "$log"
		return
	fi
	[ -d "tests/fuzz/corpus/$name" ] && seeds=("tests/fuzz/corpus/$name")
	[ -f "tests/fuzz/$name.dict" ] && seeds+=("-dict=tests/fuzz/$name.dict")
	if timeout $((seconds + 60)) "$bin" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
		-artifact_prefix="$out/$name-" "$work" "${seeds[@]}" >"$log" 2>&1 </dev/null; then
		echo "fuzz $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $seconds s, no crash"
		echo passed >"$out/$name.result"
	else
		echo "fuzz $name: FAILED, input kept as $out/$name-*"
		tail -n 60 "$log" | sed 's/^/    /'
	fi
}

# One for each core; each output in one piece.
rm -f "$out"/*.result
for src in "${targets[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do
		wait -n
	done
	{ text=$(fuzz_one "$src") && echo "$text"; } &
done
wait
passed=$(grep -lx passed "$out"/*.result | wc -l)
failed=$((${#targets[@]} - passed))
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
