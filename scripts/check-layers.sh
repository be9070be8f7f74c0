#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The rooms of user/ and who may know whom: a room includes itself, the rooms listed for it in user/rooms,
# base/ and bpf/tmbpf.h. Nothing else of the project.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may
while IFS=: read -r room others; do
	may[$room]=$others
done < <(grep -v '^#' user/rooms)
# The skeleton is the generated face of bpf/.
skeleton_rooms=" alloc probe drain trace cli "

bad=0
complain() { # file line message
	echo "$1:$2: $3" >&2
	bad=$((bad + 1))
}

files=0
while IFS= read -r file; do
	files=$((files + 1))
	rest=${file#user/}
	room=${rest%%/*}
	[ "$room" = "$rest" ] && room=cli # user/main.c
	if [ -z "${may[$room]+set}" ]; then
		complain "$file" 1 "unknown room '$room': add it to user/rooms"
		continue
	fi
	while IFS=: read -r line text; do
		inc=$(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"\([^"]*\)".*/\1/p' <<<"$text")
		[ -z "$inc" ] && continue
		case $inc in
		bpf/tmbpf.h | base/*) continue ;;
		*..*) complain "$file" "$line" "\"$inc\": name the room, not a relative path"; continue ;;
		tmbpf.skel.h)
			[[ $skeleton_rooms == *" $room "* ]] ||
				complain "$file" "$line" "room $room may not know the BPF skeleton"
			continue ;;
		bpf/*) complain "$file" "$line" "\"$inc\": only bpf/tmbpf.h is shared"; continue ;;
		esac
		other=${inc%%/*}
		if [ "$other" = "$inc" ]; then
			complain "$file" "$line" "\"$inc\": write \"$room/$inc\""
		elif [ "$other" != "$room" ] && [[ " ${may[$room]} " != *" $other "* ]]; then
			complain "$file" "$line" "room $room may not include $inc"
		fi
	done < <(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$file" || true)
done < <(find user -name '*.[ch]' | sort)

while IFS= read -r hit; do
	echo "$hit: bpf/ may include only bpf/ and vmlinux.h" >&2
	bad=$((bad + 1))
done < <(grep -rnE '#[[:space:]]*include[[:space:]]*"user/' bpf 2>/dev/null || true)

if [ "$bad" -ne 0 ]; then
	echo "check-layers: $bad violations in $files files" >&2
	exit 1
fi
echo "check-layers: $files files, no violation"
