#!/usr/bin/env bash
# setup.sh [-f] [-a ARCH]   makes the virtual machine that the camera tests boot: a Debian kernel and an initramfs.
#   -f        make it anew even if it is up to date
#   -a ARCH   amd64 or arm64 (default: LAB_ARCH, else amd64)
# Result: ${WEBGEAR_CACHE:-<repository>/.cache}/lab/{vmlinuz,initramfs.cpio}; for arm64 in lab-arm64/, with a small
# Debian root file system for the guest in root/ beside them. Nothing to do takes no time.
#
# Needs Debian 12 (bookworm) or newer on amd64. Root is needed only when host packages are missing; nothing of
# another architecture is installed, only unpacked.
# EXTRA_MODULES=DIR adds the *.ko files of DIR, built for the same kernel, to the guest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
arch=${LAB_ARCH:-amd64}
force=
while getopts fa: o; do case $o in
  f) force=1 ;;
  a) arch=$OPTARG ;;
  *) exit 2 ;;
esac; done

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

host=$(dpkg --print-architecture 2>/dev/null) || die "this needs Debian: dpkg is not here"
[ "$host" = amd64 ] || die "only amd64 hosts are supported, this one is $host"
case $arch in
  amd64) out=lab emulator=qemu-system-x86 ;;
  arm64) out=lab-arm64 emulator=qemu-system-arm ;;
  *) die "no machine of architecture $arch: use amd64 or arm64" ;;
esac
out=${WEBGEAR_CACHE:-$root/.cache}/$out
# shellcheck source=/dev/null
. /etc/os-release
codename=${VERSION_CODENAME:-}
if [ "${ID:-}" != debian ] || [ -z "$codename" ]; then die "this needs Debian 12 or newer, not ${PRETTY_NAME:-this system}"; fi

# Modules of the guest. The first line is what /init itself needs; the second what tests load by name.
modules="virtio_pci virtio_console virtio_net virtio_rng 9p 9pnet_virtio overlay
         uvcvideo vivid vhci-hcd"
# The arm64 guest cannot use the host's programs. These are what its init and the tests call; C libraries come along
# as dependencies. No FFmpeg: it would be 120 MB more, and what it says of pictures does not depend on the processor.
guest="bash coreutils sed grep kmod udev v4l-utils libjpeg62-turbo base-files base-passwd busybox-static"

# --- host packages: the emulator, what packs the guest, and the tools that tests run in it -----------------
need=()
for p in $emulator busybox-static cpio kmod xz-utils zstd udev v4l-utils ffmpeg make gcc; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || need+=("$p")
done
if [ ${#need[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || die "run this once as root: the packages ${need[*]} are missing"
  say "installing ${need[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" >/dev/null
fi

# --- anything to do? ---------------------------------------------------------------------------------------
mkdir -p "$out"
exec 9>"$out/lock"
flock 9 # two test runs may ask for the machine at once
stamp=$({ cat "$here"/setup.sh "$here"/mk-initramfs.sh "$here"/init "$here"/labjpeg/{build.sh,labjpeg.c,Makefile}; echo "$codename $arch $modules $guest"
          for f in "${EXTRA_MODULES:-/nonexistent}"/*.ko; do [ ! -e "$f" ] || cat "$f"; done; } | sha256sum)
if [ -z "$force" ] && [ "$stamp" = "$(cat "$out/stamp" 2>/dev/null)" ]; then
  exit 0
fi
rm -f "$out/stamp"

# --- the kernel: bookworm's own 6.1 is older than the series Raspberry Pi OS ships, backports has 6.12 -------
suite=$codename
[ "$codename" = bookworm ] && suite=bookworm-backports

# A private apt root, so that no source is added to the host. The mirror is the one the host already uses, in
# whatever syntax its sources are written; proxies and the like in apt.conf.d stay in force.
# shellcheck disable=SC2016 # these are apt's variables
uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
  awk -v r="$codename" '$2 == "main" && ($1 == r || $1 == "stable" || $1 == "testing" || $1 == "unstable") {print $3; exit}')
[ -n "$uri" ] || die "found no apt source for $codename main on this machine"
key=/usr/share/keyrings/debian-archive-keyring.gpg
if [ -e "$key" ]; then key=" signed-by=$key"; else key=; fi # without it apt uses the keys it trusts for all sources

# apt_root DIR SUITE makes apt work in DIR, on packages of the guest's architecture, from here on.
apt_root() {
  local dir=$1
  mkdir -p "$dir"/{state/lists/partial,cache/archives/partial,debs}
  : >"$dir/status"
  echo "deb [arch=$arch$key] $uri $2 main" >"$dir/sources.list"
  cat >"$dir/apt.conf" <<CONF
APT::Architecture "$arch"; APT::Architectures { "$arch"; };
Dir::State "$dir/state"; Dir::State::status "$dir/status"; Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list"; Dir::Etc::sourceparts "/nonexistent";
APT::Sandbox::User "root"; Acquire::Languages "none"; Acquire::Retries "2";
CONF
  export APT_CONFIG=$dir/apt.conf
  say "reading the package list of $2 for $arch"
  timeout 180 apt-get -qq update >&2
}

apt=$out/apt
apt_root "$apt" "$suite"
image=$(apt-cache depends "linux-image-$arch" | awk '/Depends: linux-image-[0-9]/{print $2; exit}')
[ -n "$image" ] || die "$suite has no linux-image-$arch"
deb=$(find "$apt/debs" -name "${image}_*.deb" -print -quit)
if [ -z "$deb" ]; then
  say "downloading $image (about 100 MB)"
  rm -f "$apt/debs"/*.deb
  (cd "$apt/debs" && timeout 600 apt-get -qq download "$image")
  deb=$(find "$apt/debs" -name "${image}_*.deb" -print -quit)
fi
# The JPEG encoder is built for that kernel, with the host's compiler.
if [ "$arch" = "$host" ]; then "$here/labjpeg/build.sh" "$image" "$out/labjpeg"; fi

# --- the root file system of a guest that is not of the host's kind ------------------------------------------
tree=$(mktemp -d "$out/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
busybox=/bin/busybox
if [ "$arch" != "$host" ]; then
  apt_root "$out/apt-root" "$codename"
  say "downloading the guest's programs (about 20 MB)"
  # shellcheck disable=SC2086 # a list of words
  timeout 600 apt-get -qq -y --no-install-recommends --download-only install $guest >/dev/null
  # Programs are found whether packages say /bin or /usr/bin. Maintainer scripts do not run: they are for another
  # processor, and nothing here needs them but the tables of users, which udevd reads.
  mkdir -p "$tree/root/usr"/{bin,sbin,lib}
  for d in bin sbin lib; do ln -s "usr/$d" "$tree/root/$d"; done
  for d in "$out/apt-root/cache/archives"/*.deb; do
    dpkg-deb --fsys-tarfile "$d" | tar -x -C "$tree/root" --keep-directory-symlink --no-same-owner
  done
  for t in passwd group; do cp "$tree/root/usr/share/base-passwd/$t.master" "$tree/root/etc/$t"; done
  rm -rf "$out/root" "$out/apt-root/cache/archives"
  mv "$tree/root" "$out/root"
  busybox=$out/root/bin/busybox
fi
unset APT_CONFIG

# --- unpack, pick, pack ------------------------------------------------------------------------------------
say "packing $image"
dpkg-deb -x "$deb" "$tree"
mkdir -p "$tree/extra"
for d in "$out/labjpeg/extra" "${EXTRA_MODULES:-/nonexistent}"; do [ ! -d "$d" ] || cp "$d"/*.ko "$tree/extra/"; done
# shellcheck disable=SC2086 # a list of words
EXTRA_MODULES=$tree/extra "$here/mk-initramfs.sh" "$tree" "$out" "$busybox" $modules
echo "$stamp" >"$out/stamp"
say "ready: $out"
