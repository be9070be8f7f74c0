#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make bench: see bench.py. Arguments are passed on (--python, --rounds, --items, --row).
set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" -eq 0 ] || { echo "bench: needs root. Run: sudo make bench" >&2; exit 1; }
[ -x build/tmbpf ] || { echo "bench: build/tmbpf is missing. Run: make" >&2; exit 1; }
exec /usr/bin/python3 tests/bench/bench.py --row "trap only=--mode exact --stop-after trap" --row "trap+read=--mode exact --stop-after read" --row "trap+read+walk=--mode exact --stop-after walk" "$@"
