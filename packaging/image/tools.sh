#!/usr/bin/env bash
# tools.sh   prints the path of a folder with Debian 13's programs for ext4, for this machine; nothing is installed. Older
# ones put the time of the build into the file system, and other versions lay it out otherwise.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/image
dir=$cache/tools-trixie
exec 9>"$cache/lock-tools"
flock 9
if [ ! -e "$dir/.done" ]; then
  echo "tools.sh: unpacking Debian's e2fsprogs" >&2
  rm -rf "$dir"
  mkdir -p "$dir/debs"
  config=$("$here/../private-apt.sh" "$dir/apt" trixie "$(dpkg --print-architecture)")
  (cd "$dir/debs" && APT_CONFIG=$config apt-get -qq download e2fsprogs libext2fs2t64 libcom-err2 libss2 libblkid1 libuuid1 libc6)
  for d in "$dir"/debs/*.deb; do dpkg-deb -x "$d" "$dir"; done
  for p in mke2fs e2fsck dumpe2fs debugfs; do
    # They bring their own C library, newer than this machine's.
    # shellcheck disable=SC2016 # expanded when it runs
    printf '#!/bin/sh\nMKE2FS_CONFIG=%s/etc/mke2fs.conf\nexport MKE2FS_CONFIG\nexec "%s"/usr/lib*/ld-linux-*.so.* --library-path "$(echo "%s"/usr/lib/*-linux-gnu)" "%s/usr/sbin/%s" "$@"\n' \
      "$dir" "$dir" "$dir" "$dir" "$p" >"$dir/$p"
    chmod +x "$dir/$p"
  done
  rm -rf "$dir/debs" "$dir/apt"
  touch "$dir/.done"
fi
echo "$dir"
