#!/usr/bin/env bash
# setup.sh [-f]   makes the virtual machine that the camera tests boot: a Debian kernel and an initramfs.
#   -f   make it anew even if it is up to date
# Result: ${WEBGEAR_CACHE:-<repository>/.cache}/lab/{vmlinuz,initramfs.cpio}. Nothing to do takes no time.
#
# Needs Debian 12 (bookworm) or newer on amd64. Root is needed only when host packages are missing.
# EXTRA_MODULES=DIR adds the *.ko files of DIR, built for the same kernel, to the guest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${WEBGEAR_CACHE:-$root/.cache}/lab
force=
while getopts f o; do case $o in
  f) force=1 ;;
  *) exit 2 ;;
esac; done

say() { echo "lab: $*" >&2; }
die() { say "$*"; exit 1; }

arch=$(dpkg --print-architecture 2>/dev/null) || die "this needs Debian: dpkg is not here"
[ "$arch" = amd64 ] || die "only amd64 hosts are supported, this one is $arch"
# shellcheck source=/dev/null
. /etc/os-release
codename=${VERSION_CODENAME:-}
if [ "${ID:-}" != debian ] || [ -z "$codename" ]; then die "this needs Debian 12 or newer, not ${PRETTY_NAME:-this system}"; fi

# Modules of the guest. The first line is what /init itself needs; the second what tests load by name.
modules="virtio_pci virtio_console virtio_net virtio_rng 9p 9pnet_virtio overlay
         uvcvideo vivid vhci-hcd"

# --- host packages: the emulator, what packs the guest, and the tools that tests run in it -----------------
need=()
for p in qemu-system-x86 busybox-static cpio kmod xz-utils zstd udev v4l-utils ffmpeg; do
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
stamp=$({ cat "$here"/setup.sh "$here"/mk-initramfs.sh "$here"/init; echo "$codename $modules"
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
apt=$out/apt
mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,debs}
: >"$apt/status"
# shellcheck disable=SC2016 # these are apt's variables
uri=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
  awk -v r="$codename" '$2 == "main" && ($1 == r || $1 == "stable" || $1 == "testing" || $1 == "unstable") {print $3; exit}')
[ -n "$uri" ] || die "found no apt source for $codename main on this machine"
key=/usr/share/keyrings/debian-archive-keyring.gpg
if [ -e "$key" ]; then key=" signed-by=$key"; else key=; fi # without it apt uses the keys it trusts for all sources
echo "deb [arch=$arch$key] $uri $suite main" >"$apt/sources.list"
cat >"$apt/apt.conf" <<CONF
APT::Architecture "$arch"; APT::Architectures { "$arch"; };
Dir::State "$apt/state"; Dir::State::status "$apt/status"; Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list"; Dir::Etc::sourceparts "/nonexistent";
APT::Sandbox::User "root"; Acquire::Languages "none";
CONF
export APT_CONFIG=$apt/apt.conf
say "reading the package list of $suite"
timeout 180 apt-get -qq update >&2
image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/{print $2; exit}')
[ -n "$image" ] || die "$suite has no linux-image-amd64"
deb=$(find "$apt/debs" -name "${image}_*.deb" -print -quit)
if [ -z "$deb" ]; then
  say "downloading $image (about 100 MB)"
  rm -f "$apt/debs"/*.deb
  (cd "$apt/debs" && timeout 600 apt-get -qq download "$image")
  deb=$(find "$apt/debs" -name "${image}_*.deb" -print -quit)
fi
unset APT_CONFIG

# --- unpack, pick, pack ------------------------------------------------------------------------------------
say "packing $image"
tree=$(mktemp -d "$out/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
dpkg-deb -x "$deb" "$tree"
# shellcheck disable=SC2086 # a list of words
"$here/mk-initramfs.sh" "$tree" "$out" /bin/busybox $modules
echo "$stamp" >"$out/stamp"
say "ready: $out"
