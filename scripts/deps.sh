#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Install what the build and the tests need, from Debian packages. Does nothing (and needs no network)
# when everything is there already.
set -euo pipefail

packages=(
	gcc make pkgconf clang llvm bpftool linux-libc-dev libc6-dev
	libbpf-dev libelf-dev zlib1g-dev libzydis-dev libzycore-dev libsqlite3-dev sqlite3 nettle-dev
	libcmocka-dev libclang-rt-14-dev clang-format clang-tidy codespell git util-linux procps libcap2-bin musl-tools
	python3 python3-pytest python3-pytest-timeout python3-pytest-xdist python3-flask libpython3.11-testsuite
	gdb strace uwsgi-core uwsgi-plugin-python3 python3-greenlet python3-uvloop libpython3.11-dev pypy3
	protobuf-compiler golang-go # for the tests of export formats: protoc, go tool pprof
)

# The sanitizer and fuzzer runtime follows the version of the default clang.
if command -v clang >/dev/null 2>&1; then
	major=$(clang -dumpversion | cut -d. -f1)
	if [ -n "$major" ] && [ "$major" != 14 ]; then
		packages=("${packages[@]/libclang-rt-14-dev/libclang-rt-$major-dev}")
	fi
fi

# So does the interpreter's own test suite.
if [ -x /usr/bin/python3 ]; then
	version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
	packages=("${packages[@]/libpython3.11-testsuite/libpython$version-testsuite}")
	packages=("${packages[@]/libpython3.11-dev/libpython$version-dev}")
fi

# speedscope's own importer reads an export in a test; npm installs it below build/.
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || packages+=(nodejs npm)

is_installed() {
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for p in "${packages[@]}"; do
	is_installed "$p" || missing+=("$p")
done
if [ ${#missing[@]} -eq 0 ]; then
	echo "deps: all ${#packages[@]} packages are installed"
	exit 0
fi

echo "deps: missing: ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: installing needs root. Run: sudo make deps" >&2
	exit 1
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq)
"${apt[@]}" update </dev/null
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null

for p in "${missing[@]}"; do
	if ! is_installed "$p"; then
		echo "deps: $p is still missing after apt-get install" >&2
		exit 1
	fi
done
echo "deps: installed ${#missing[@]} packages"
