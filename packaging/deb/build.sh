#!/usr/bin/env bash
# build.sh ARCH OUT   builds the Debian package for amd64, arm64 or armhf into the folder OUT and prints its path.
# The same commit gives the same bytes, wherever and whenever it is built. Everything is linked against bookworm's
# libraries, so that it runs on bookworm and everything newer.
#   DEB_VERSION=V   another version than that of the commit
# armhf holds two programs, because Debian's compiler makes code for ARMv7 only: one with libjpeg-turbo for the Pi 2
# and later, and one without C for the Pi 1, Zero and Zero W. /usr/bin/webgear chooses.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}
[ $# = 2 ] || { echo "usage: build.sh amd64|arm64|armhf OUT" >&2; exit 2; }
arch=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
cd "$root"

export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
# v1.2.3 is 1.2.3; what comes after it is 1.2.3+git…, and before the first tag it is that of the changelog~git…
version() {
  local tag changelog stamp
  changelog=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$here/changelog")
  stamp=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(git rev-parse --short=8 HEAD)
  if tag=$(git describe --tags --exact-match --match 'v[0-9]*' 2>/dev/null); then
    echo "${tag#v}"
  elif tag=$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null); then
    echo "${tag#v}+git$stamp"
  else
    echo "$changelog~git$stamp"
  fi
}
version=${DEB_VERSION:-$(version)}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/tree

# compile FILE [NAME=VALUE...]   builds the program with more variables of the environment.
compile() {
  local to=$1
  shift
  local pie='-buildmode=pie'
  case " $* " in *CGO_ENABLED=0*) pie= ;; esac # Go links that without C, which cannot make it position independent on ARM
  # shellcheck disable=SC2086 # no flag at all where there is none
  env GOOS=linux GOFLAGS= CGO_ENABLED=1 "$@" go build -trimpath -buildvcs=false $pie \
    -ldflags "-s -w -buildid= -X main.version=$version -extldflags '-Wl,-z,relro,-z,now'" -o "$to" ./cmd/webgear
}
# cross ARCH TRIPLE NAME=VALUE...   are the variables for another architecture. The compiler is told of its libraries
# by a script of a fixed name, so that no path of this machine gets into the program.
cross() {
  local sysroot=$cache/sysroot-$1
  "$root/packaging/sysroot.sh" "$sysroot" "$1" >&2
  mkdir -p "$stage/bin"
  printf '#!/bin/sh\nexec %s-gcc --sysroot=%s -isystem %s/usr/include/%s -L%s/usr/lib/%s "$@"\n' \
    "$2" "$sysroot" "$sysroot" "$2" "$sysroot" "$2" >"$stage/bin/cc-$1"
  chmod +x "$stage/bin/cc-$1"
  PATH=$stage/bin:$PATH
}
mkdir -p "$tree"
cp -R rootfs-overlay/. "$tree/"
mkdir -p "$tree/usr/bin"
depends='libc6 (>= 2.34), libjpeg62-turbo (>= 1:1.5)'
case $arch in
  amd64) compile "$tree/usr/bin/webgear" GOARCH=amd64 ;;
  arm64)
    cross arm64 aarch64-linux-gnu
    compile "$tree/usr/bin/webgear" GOARCH=arm64 CC=cc-arm64
    ;;
  armhf)
    cross armhf arm-linux-gnueabihf
    mkdir -p "$tree/usr/libexec/webgear"
    compile "$tree/usr/libexec/webgear/webgear-armv7" GOARCH=arm GOARM=7 CC=cc-armhf
    compile "$tree/usr/libexec/webgear/webgear-armv6" GOARCH=arm GOARM=6 CGO_ENABLED=0
    install -m 755 "$here/choose-arm.sh" "$tree/usr/bin/webgear"
    ;;
  *) echo "build.sh: unknown architecture $arch: use amd64, arm64 or armhf" >&2; exit 2 ;;
esac

# The package has to say what the program is linked with; these are all it may be.
"$here/check-binary.sh" "$arch" "$tree" >&2

# Manuals, changelog, licences.
install -D -m 644 "$here/webgear.1" "$tree/usr/share/man/man1/webgear.1"
install -D -m 644 "$here/webgear.yaml.5" "$tree/usr/share/man/man5/webgear.yaml.5"
doc=$tree/usr/share/doc/webgear
mkdir -p "$doc"
{
  if [ "$version" != "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$here/changelog")" ]; then
    printf 'webgear (%s) bookworm; urgency=medium\n\n  * Built from commit %s.\n\n -- The webgear developers <webgear@users.noreply.github.com>  %s\n\n' \
      "$version" "$(git rev-parse HEAD)" "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
  fi
  cat "$here/changelog"
} >"$doc/changelog"
gzip -9n "$doc/changelog" "$tree"/usr/share/man/man*/*
install -m 644 "$here/copyright" "$doc/copyright"
if [ -e "$here/lintian-$arch" ]; then
  install -D -m 644 "$here/lintian-$arch" "$tree/usr/share/lintian/overrides/webgear"
fi

# What dpkg reads.
mkdir "$tree/DEBIAN"
(cd "$tree" && find etc -type f -printf '/%p\n' | sort) >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
size=$(($(find "$tree" -type f ! -path '*/DEBIAN/*' -printf '%s\n' | awk '{s += int(($1 + 1023) / 1024)} END {print s}') +
  $(find "$tree" -type d ! -path '*/DEBIAN*' | wc -l)))
sed "s|@VERSION@|$version|; s|@ARCH@|$arch|; s|@SIZE@|$size|; s|@DEPENDS@|$depends|" "$here/control.in" >"$tree/DEBIAN/control"
sums=$(cd web/data && find . -type f -print0 | sort -z | xargs -0 sha256sum | cut -d' ' -f1)
awk -v sums="$sums" '/^@DEFAULTS@$/ {print sums; next} {print}' "$here/postrm.in" >"$tree/DEBIAN/postrm"
install -m 755 "$here/preinst" "$here/postinst" "$here/prerm" "$tree/DEBIAN/"

# Modes do not depend on the umask of who builds, times not on when.
find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f ! -perm /100 -exec chmod 644 {} +
find "$tree" -type f -perm /100 -exec chmod 755 {} +
chmod 755 "$tree/DEBIAN/postrm"
find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
deb=$out/webgear_${version}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$deb" >&2
echo "$deb"
