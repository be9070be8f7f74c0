#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# make check: install, build, lint, and run every test. The last line is the sum, alone:
# "N passed, N failed". Non-zero on any failure, and when no test ran.
# shellcheck disable=SC2317 # functions are called by name
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
export OUTPUT=build
passed=0
failed=0
notes=()

finish() {
	local n
	for n in "${notes[@]}"; do
		echo "$n"
	done
	if [ "$passed" -eq 0 ] && [ "$failed" -eq 0 ]; then
		failed=1
	fi
	echo "$passed passed, $failed failed"
	[ "$failed" -eq 0 ]
	exit
}

step() { # name command...: one test by itself
	local name=$1 started=$SECONDS
	shift
	echo "== $name"
	if "$@" </dev/null; then
		passed=$((passed + 1))
		echo "== $name: ok, $((SECONDS - started)) s"
		return 0
	fi
	failed=$((failed + 1))
	notes+=("FAILED: $name ($*)")
	echo "== $name: FAILED, $((SECONDS - started)) s"
	return 1
}

counted() { # name command...: prints "N passed, N failed" as its last line
	local name=$1 started=$SECONDS log rc p f
	shift
	log=$(mktemp)
	echo "== $name"
	"$@" </dev/null 2>&1 | tee "$log"
	rc=${PIPESTATUS[0]}
	p=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, [0-9]* failed$/\1/p')
	f=$(tail -n 1 "$log" | sed -n 's/^[0-9]* passed, \([0-9]*\) failed$/\1/p')
	rm -f "$log"
	p=${p:-0}
	f=${f:-0}
	[ "$rc" -ne 0 ] && [ "$f" -eq 0 ] && f=1
	passed=$((passed + p))
	failed=$((failed + f))
	[ "$f" -gt 0 ] && notes+=("FAILED: $name: $f")
	echo "== $name: $((SECONDS - started)) s"
	[ "$f" -eq 0 ]
}

units() {
	make --no-print-directory -j2 SAN=1 OUTPUT=build/san unit-build >&2
	local rc=$?
	./scripts/run-units.sh build/san || return 1
	return "$rc"
}

integration() {
	# Most of a test is waiting. One file, one worker: what a file shares is made once.
	/usr/bin/python3 -m pytest -p no:cacheprovider -q --timeout 300 --durations 8 -rs -n "$(nproc)" --dist loadfile \
		--junitxml build/integration.xml tests/integration
	local rc=$?
	/usr/bin/python3 - build/integration.xml "$rc" <<-'PY'
		import sys, xml.etree.ElementTree as tree
		passed = failed = skipped = 0
		try:
		    for case in tree.parse(sys.argv[1]).iter("testcase"):
		        kinds = {child.tag for child in case}
		        if kinds & {"failure", "error"}:
		            failed += 1
		        elif "skipped" in kinds:
		            skipped += 1
		        else:
		            passed += 1
		except (OSError, tree.ParseError) as e:
		    print("integration: no result file:", e)
		    failed += 1
		if sys.argv[2] != "0" and not failed:
		    failed = 1
		if skipped:
		    print("integration: %d skipped, reasons above" % skipped)
		print("%d passed, %d failed" % (passed, failed))
		sys.exit(failed != 0)
	PY
}

if [ "$(id -u)" -ne 0 ]; then
	echo "check: tracing needs root. Run: sudo make check" >&2
	failed=1
	finish
fi

mkdir -p build
rm -f build/exactness-*.txt build/integration.xml
step "packages" ./scripts/deps.sh || finish
# Interpreters of other suites, 100 MB, kept outside of the tree. Without them the tests name what they did not test.
echo "== interpreters"
./scripts/interpreters fetch </dev/null || notes+=("NOT TESTED: interpreters that could not be fetched, see above")
built=1
step "build" make --no-print-directory -j2 WERROR=1 all drivers || built=0
step "options: --help, README and man page agree" ./scripts/check-options.py
step "options: the check refuses what is wrong" ./scripts/check-options.py --self-test
step "layers" ./scripts/check-layers.sh
step "format" ./scripts/check-format.sh
step "codes" ./scripts/check-codes.py
step "gates" ./scripts/check-gates.py
step "gates: each refuses what is wrong" ./scripts/check-gates.py --self-test
step "mutations: each finds its text and its tests" ./tests/mutation/run.py --check
step "offsets" ./scripts/gen-py-offsets.py
step "offsets: the comparison refuses a wrong row" ./scripts/gen-py-offsets.py --self-test
step "codes: the check refuses what is wrong" ./scripts/check-codes.py --self-test
counted "unit tests, ASan and UBSan" units
seconds=5
[ "${TMBPF_FULL:-0}" = 1 ] && seconds=60
counted "fuzz, $seconds s each" ./tests/fuzz/run.sh "$seconds"
if [ "$built" -eq 1 ]; then
	counted "integration" integration
	[ "${TMBPF_FULL:-0}" = 1 ] && step "matrix" \
		/usr/bin/python3 tests/integration/matrix.py --configuration default
	[ "${TMBPF_FULL:-0}" = 1 ] && step "mutations: at most 2 that no test notices" ./tests/mutation/run.py
else
	failed=$((failed + 1))
	notes+=("FAILED: integration (no binary)")
fi
finish
