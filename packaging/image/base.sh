#!/usr/bin/env bash
# base.sh FLAVOUR   makes the Debian system below the image, once, and prints the path of its tar archive. webgear is not
# in it, nor what makes the image an appliance: build.sh adds both. Runs as root, or as a user with /etc/subuid.
#   debian    everything from Debian: USB cameras on the Pi 3, Zero 2 W and 4
#   raspios   kernel, firmware and camera programs of Raspberry Pi OS: ribbon cable cameras and the Pi 5, too
#   IMAGE_SOURCES=FILE   where packages come from, as a deb822 .sources file with keys. It is also what the image itself
#                        updates from. Default: this machine's own Debian mirror, with SUITE. raspios needs it.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/image
flavour=${1:-debian}
SUITE=${SUITE:-trixie}
say() { echo "base.sh: $*" >&2; }
die() { say "$*"; exit 1; }

# What both flavours have. Each line says why.
packages=(
  systemd-sysv dbus udev kmod          # the system
  initramfs-tools busybox zstd         # the start, where the card is made ready (initramfs/)
  e2fsprogs dosfstools fdisk           # checking and growing it
  systemd-timesyncd tzdata             # time, as the Pi has no clock
  network-manager wpasupplicant        # Wi-Fi and cable, as Raspberry Pi OS has them
  iproute2 iw rfkill wireless-regdb    # Wi-Fi by the country's rules
  avahi-daemon                         # webgear.local
  openssh-server                       # only started when a key was given
  ca-certificates libjpeg62-turbo      # what webgear needs
)
case $flavour in
  debian) packages+=(linux-image-arm64 raspi-firmware firmware-brcm80211) ;;
  raspios) packages+=(linux-image-rpi-v8 linux-image-rpi-2712 raspi-firmware firmware-brcm80211 rpicam-apps-core rpi-eeprom) ;;
  *) die "unknown flavour $flavour: use debian or raspios" ;;
esac

# own_sources   is this machine's mirror of Debian, for SUITE.
own_sources() {
  local own=/etc/apt/sources.list.d/debian.sources codename
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  [ -e "$own" ] || die "found no $own; name a file with IMAGE_SOURCES"
  # A suite that has no security updates of that name is refused by apt, which is right.
  sed -E "/^#/d; s/\b$codename\b/$SUITE/g; s/^Components:.*/Components: main non-free-firmware/" "$own"
}

mkdir -p "$cache"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sources=$scratch/webgear.sources # the image has it by this name
if [ -n "${IMAGE_SOURCES:-}" ]; then
  cat "$IMAGE_SOURCES" >"$sources"
else
  [ "$flavour" = debian ] || die "$flavour needs IMAGE_SOURCES=FILE: its packages are not Debian's"
  own_sources >"$sources"
fi

# The base changes when its recipe does. Delete it, or set IMAGE_FRESH=1, for today's packages.
key=$(cat "$here/base.sh" "$here/initramfs-modules" "$here/epoch" "$sources" | sha256sum | cut -c1-12)
tar=$cache/base-$flavour-$key.tar
exec 9>"$cache/lock-base"
flock 9
if [ -e "$tar" ] && [ -z "${IMAGE_FRESH:-}" ]; then
  echo "$tar"
  exit 0
fi

# Programs of the Pi run here by emulation. Debian's arm64 signs return addresses, which older emulators compute so
# slowly that everything takes fifteen times as long; a Cortex-A53 has none of that.
export QEMU_CPU=cortex-a53
if [ "$(dpkg --print-architecture)" != arm64 ]; then
  [ -e /proc/sys/fs/binfmt_misc/status ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc ||
    die "cannot mount binfmt_misc, which runs programs of the Pi; run this once as root"
  [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --import qemu-aarch64 ||
    die "cannot register the emulator qemu-aarch64; run this once as root"
fi
say "making a Debian $SUITE for arm64 ($flavour); about 8 minutes, once"
# No file is newer than this, so that two machines make the same base.
SOURCE_DATE_EPOCH=$(cat "$here/epoch")
export SOURCE_DATE_EPOCH
# The initial RAM disk is made by build.sh, once, with our scripts in it: under emulation it takes a minute each time.
export INITRD=No
began=$SECONDS
# shellcheck disable=SC2016 # the hooks expand $1 themselves
mmdebstrap --mode=auto --arch=arm64 --variant=minbase --format=tar \
  --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "3"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --include="$(IFS=,; echo "${packages[*]}")" \
  --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
  --essential-hook='printf "MODULES=list\nCOMPRESS=zstd\n" >"$1/etc/initramfs-tools/conf.d/webgear-image"' \
  --essential-hook="copy-in '$here/initramfs-modules' /etc/initramfs-tools" \
  --essential-hook='mv "$1/etc/initramfs-tools/initramfs-modules" "$1/etc/initramfs-tools/modules"' \
  --customize-hook='rm -f "$1"/etc/ssh/ssh_host_*' \
  "$SUITE" "$tar.new" "$sources" >"$tar.log" 2>&1 || { tail -n 30 "$tar.log" >&2; die "making the base failed, see $tar.log"; }
mv "$tar.new" "$tar"
say "done in $((SECONDS - began)) s, $(du -m "$tar" | cut -f1) MB"
echo "$tar"
