#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Writes vmlinux/x86/vmlinux.h from the BTF inside a Debian kernel image, and its origin beside it.
# usage: scripts/gen-vmlinux.sh PATH/TO/vmlinuz NAME-OF-THE-KERNEL-PACKAGE-AND-VERSION
set -euo pipefail
image=$1 name=$2
top=$(cd "$(dirname "$0")/.." && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# The bzImage holds the kernel as one compressed stream, and the kernel holds its BTF in a section.
python3 - "$image" "$tmp/vmlinux" <<'PY'
import lzma, subprocess, sys, zlib
data = open(sys.argv[1], "rb").read()
def xz(d): return lzma.LZMADecompressor().decompress(d)
def gz(d): return zlib.decompressobj(31).decompress(d)
def zstd(d): return subprocess.run(["zstd", "-dc"], input=d, stdout=subprocess.PIPE).stdout
def lz4(d): return subprocess.run(["lz4", "-dc"], input=d, stdout=subprocess.PIPE).stdout
for magic, fn in ((b"\xfd7zXZ\0", xz), (b"\x1f\x8b\x08", gz), (b"\x28\xb5\x2f\xfd", zstd), (b"\x02\x21\x4c\x18", lz4)):
    at = data.find(magic)
    while at >= 0:
        try:
            out = fn(data[at:])
        except Exception:
            out = b""
        if out[:4] == b"\x7fELF":
            open(sys.argv[2], "wb").write(out)
            sys.exit(0)
        at = data.find(magic, at + 1)
sys.exit("no kernel found in the image")
PY
bpftool btf dump file "$tmp/vmlinux" format c >"$top/vmlinux/x86/vmlinux.h"
printf 'vmlinux.h was generated, never edited.\n\nkernel: %s\ncommand: scripts/gen-vmlinux.sh VMLINUZ NAME\n' "$name" >"$top/vmlinux/README.md"
wc -l "$top/vmlinux/x86/vmlinux.h"
