#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Format and the rules of the house that a machine can check.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
fail() { echo "$*" >&2; bad=$((bad + 1)); }

# Tracked files and new ones that are not ignored; without git (a tarball) all.
list() {
	if git rev-parse --git-dir >/dev/null 2>&1; then
		git ls-files --cached --others --exclude-standard -- "$@"
	else
		find "${@%%/*}" -type f
	fi | sort -u | while IFS= read -r f; do [ -f "$f" ] && echo "$f"; done
}

mapfile -t c_files < <(list user bpf tests | grep -E '\.[ch]$' | grep -v '^vmlinux/' || true)
mapfile -t scripts < <(list scripts tests .ci | grep -E '\.(sh|py)$|^\.ci/' || true)

# 1. clang-format
if [ ${#c_files[@]} -gt 0 ]; then
	if ! clang-format --dry-run -Werror "${c_files[@]}" 2>/tmp/tmbpf-format.$$; then
		grep -E ': (error|warning):' "/tmp/tmbpf-format.$$" | cut -d: -f1 | sort | uniq -c |
			while read -r n f; do echo "$f: $n places differ from clang-format (make format)" >&2; done
		bad=$((bad + 1))
	fi
	rm -f "/tmp/tmbpf-format.$$"
fi

# 2. licence in the first line (the second, after #!)
for f in "${c_files[@]}" "${scripts[@]}"; do
	[ -s "$f" ] || continue
	head -n 2 "$f" | grep -q 'SPDX-License-Identifier: ' || fail "$f:1: no SPDX-License-Identifier"
done

# 3. functions that have a safe counterpart in base/; comments and strings do not count
strip_c() { # keeps line numbers
	awk '{
		line = $0; out = ""
		while (length(line)) {
			if (incomment) {
				i = index(line, "*/")
				if (!i) { line = ""; break }
				line = substr(line, i + 2); incomment = 0; continue
			}
			if (match(line, /\/\*|\/\/|"([^"\\]|\\.)*"/)) {
				tok = substr(line, RSTART, RLENGTH)
				out = out substr(line, 1, RSTART - 1)
				line = substr(line, RSTART + RLENGTH)
				if (tok == "/*") incomment = 1
				else if (tok == "//") line = ""
				else out = out "\"\""
			} else { out = out line; line = "" }
		}
		print out
	}' "$1"
}
banned='\b(strcpy|strcat|sprintf|vsprintf|atoi|atol|strtok|perror|gets)[[:space:]]*\('
for f in "${c_files[@]}"; do
	stripped=$(strip_c "$f")
	while IFS=: read -r n text; do
		[ -n "$n" ] && fail "$f:$n: banned call:$text"
	done < <(grep -nE "$banned" <<<"$stripped" || true)
	case $f in
	user/base/*) ;;
	user/*)
		while IFS=: read -r n text; do
			[ -n "$n" ] && fail "$f:$n: realloc only in user/base:$text"
		done < <(grep -nE '\b(realloc|reallocarray)[[:space:]]*\(' <<<"$stripped" || true) ;;
	esac
	case $f in
	user/base/log.c) ;;
	user/*)
		while IFS=: read -r n text; do
			[ -n "$n" ] && fail "$f:$n: stderr belongs to user/base/log.c:$text"
		done < <(grep -nE 'f(printf|puts|putc|write)[[:space:]]*\(.*\bstderr\b|f(printf)[[:space:]]*\([[:space:]]*stderr' <<<"$stripped" || true) ;;
	esac
done

# 4. shell scripts
if command -v shellcheck >/dev/null 2>&1; then
	mapfile -t sh_files < <(printf '%s\n' "${scripts[@]}" | grep -vE '\.py$' || true)
	if [ ${#sh_files[@]} -gt 0 ] && ! shellcheck "${sh_files[@]}" >&2; then
		bad=$((bad + 1))
	fi
fi

if [ "$bad" -ne 0 ]; then
	echo "check-format: $bad complaints" >&2
	exit 1
fi
echo "check-format: ${#c_files[@]} C files and ${#scripts[@]} scripts are clean"
