#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make demo: build, start a small leaking Python program, let tmbpf name the line.
set -euo pipefail
cd "$(dirname "$0")/.."
python=/usr/bin/python3
program=tests/targets/leaky_cache.py

[ "$(id -u)" -eq 0 ] || { echo "demo: tracing needs root. Run: sudo make demo" >&2; exit 1; }
./scripts/deps.sh
make -j2 --no-print-directory

work=$(mktemp -d)
child=
# shellcheck disable=SC2317 # called by the trap
clean() {
	if [ -n "$child" ]; then
		kill "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

"$python" "$program" 120 >"$work/ready" </dev/null &
child=$!
for _ in $(seq 100); do
	[ -s "$work/ready" ] && break
	sleep 0.05
done
if ! kill -0 "$child" 2>/dev/null; then
	echo "demo: $program did not start" >&2
	exit 1
fi

echo
echo "A Python program runs as pid $child, started without any preparation:"
echo "    $python $program"
echo
echo "\$ sudo build/tmbpf -p $child 3 3"
start=$(date +%s%N)
build/tmbpf -p "$child" 3 3 | tee "$work/report"
took=$((($(date +%s%N) - start) / 1000000))

number=$(grep -n '# the leak' "$program" | cut -d: -f1)
echo
if ! grep -qE "leaky_cache\.py:$number\b" "$work/report"; then
	echo "demo: the report does not name leaky_cache.py:$number, the line that leaks" >&2
	exit 1
fi
first=$(grep -E '^ +\+' "$work/report" | tail -n 200 | grep -nE "leaky_cache\.py:$number\b" | head -n 1 | cut -d: -f1)
echo "The leak is leaky_cache.py:$number (entry ${first:-?} of the report):"
sed -n "${number}p" "$program" | sed 's/^ */    /'
echo "The program is still running and was not changed; the whole run took $((took / 1000)).$((took % 1000 / 100)) s."
kill -0 "$child"
echo
echo "Next: take the pid of a process of your own and run"
echo "    sudo build/tmbpf -p PID            a report every 10 s, Ctrl-C ends it with a suspect"
echo "    sudo build/tmbpf -p PID -v         the full traceback of the first line as well"
