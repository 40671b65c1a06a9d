#!/usr/bin/env bash
# build.sh IMAGE DIR   builds DIR/extra/labjpeg.ko and v4l2-mem2mem.ko for the kernel of the package IMAGE, such as
# linux-image-6.12.95+deb12-amd64. Debian's amd64 kernels lack the second, which every encoder driver is made with.
# setup.sh calls it with its private apt in APT_CONFIG; DIR keeps the packages (170 MB to download) and the result.
# Nothing to do takes no time.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
image=$1 dir=$2
version=${image#linux-image-}
base=${version%-amd64}

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

stamp=$({ cat "$here"/{build.sh,labjpeg.c,Makefile}; echo "$version"; } | sha256sum)
if [ "$stamp" = "$(cat "$dir/stamp" 2>/dev/null)" ]; then exit 0; fi
rm -rf "$dir/stamp" "$dir/extra"
mkdir -p "$dir/debs" "$dir/extra"

packages=("linux-headers-$version" "linux-headers-$base-common" "linux-kbuild-$base" linux-source-"$(grep -oE '^[0-9]+\.[0-9]+' <<<"$version")")
for p in "${packages[@]}"; do
  # The source package has no version in its name: one of another build of the same series would do.
  [ -z "$(find "$dir/debs" -name "${p}_*.deb" -print -quit)" ] || continue
  say "downloading $p"
  (cd "$dir/debs" && timeout 900 apt-get -qq download "$p") || die "could not download $p"
done
deb() { find "$dir/debs" -name "$1_*.deb" -print -quit; }

tree=$(mktemp -d "$dir/build.XXXXXX")
trap 'rm -rf "$tree"' EXIT
for p in "${packages[@]:0:3}"; do dpkg-deb -x "$(deb "$p")" "$tree"; done
headers=$tree/usr/src/linux-headers-$version
echo "include $tree/usr/src/linux-headers-$base-common/Makefile" >"$headers/Makefile" # the package's own has absolute paths
rm -f "$headers/vmlinux"                                                               # with it the build wants pahole
compiler=$(grep -ohE '\bgcc-[0-9]+' "$headers/.kernelvariables" | head -1) || true
command -v "${compiler:-gcc}" >/dev/null || die "${compiler:-gcc} is missing, which that kernel is built with"

mkdir "$tree/mod"
source=${packages[3]}
dpkg-deb --fsys-tarfile "$(deb "$source")" | tar -xO "./usr/src/$source.tar.xz" |
  tar -xJ -C "$tree/mod" --strip-components=4 "$source/drivers/media/v4l2-core/v4l2-mem2mem.c"
cp "$here"/{labjpeg.c,Makefile} "$tree/mod/"
make -s -C "$headers" M="$tree/mod" modules >&2
cp "$tree"/mod/*.ko "$dir/extra/"
echo "$stamp" >"$dir/stamp"
say "built $(cd "$dir/extra" && echo *.ko)"
