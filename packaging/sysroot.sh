#!/usr/bin/env bash
# sysroot.sh DIR ARCH   unpacks the C libraries of another architecture (arm64) into DIR, to link and to run against.
# They come from bookworm, so that the binary runs on bookworm and everything newer. Nothing is installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) dir=$1 arch=$2
[ ! -e "$dir/.done" ] || exit 0
echo "unpacking C libraries for $arch into $dir" >&2
mkdir -p "$dir/debs"
config=$("$here/private-apt.sh" "$dir/apt" bookworm "$arch")
(cd "$dir/debs" && APT_CONFIG=$config apt-get -qq download libc6 libc6-dev libgcc-s1 libjpeg62-turbo libjpeg62-turbo-dev libcrypt1 linux-libc-dev)
for d in "$dir"/debs/*.deb; do dpkg-deb -x "$d" "$dir"; done
rm -rf "$dir/debs" "$dir/apt"
# A linker script with absolute paths would lead out of the folder; the linker is given the folder as --sysroot.
touch "$dir/.done"
