#!/usr/bin/env bash
# disk.sh SUITE ARCH   makes the disk of an emulated computer with systemd and cameras, once, and prints the folder
# that holds disk.qcow2, vmlinuz and initramfs.cpio. SUITE is bookworm or trixie, ARCH amd64 or arm64. The kernel is that
# of device/lab, with its virtual cameras; the file system is that of root.sh. Needs root.
set -euo pipefail
suite=$1 arch=$2
here=$(cd "$(dirname "$0")" && pwd)
base=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}
lab=$here/../../device/lab
WEBGEAR_CACHE=$base LAB_ARCH=$arch "$lab/setup.sh" >&2
tar=$("$here/root.sh" "$suite" "$arch")
case $arch in
  amd64) debs=$base/lab busybox=/bin/busybox ;;
  arm64) debs=$base/lab-arm64 busybox=$base/lab-arm64/root/bin/busybox ;;
esac
dir=$base/machine/disk-$suite-$arch
mkdir -p "$dir"
exec 9>"$dir/lock"
flock 9
stamp=$({ cat "$here"/disk.sh "$here"/init "$debs/stamp"; echo "$tar"; } | sha256sum)
if [ "$stamp" = "$(cat "$dir/stamp" 2>/dev/null)" ]; then
  echo "$dir"
  exit 0
fi
echo "disk.sh: making the disk of a computer with Debian $suite $arch, once" >&2
rm -f "$dir/stamp"
work=$(mktemp -d "$base/machine/work.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

# The kernel, and what it needs to find its disk; later archives in an initramfs win, so /init is ours.
deb=$(find "$debs/apt/debs" -name 'linux-image-*.deb' -print -quit)
[ -n "$deb" ] || { echo "disk.sh: device/lab/setup.sh left no kernel package in $debs/apt/debs" >&2; exit 1; }
mkdir "$work/tree"
dpkg-deb -x "$deb" "$work/tree"
"$lab/mk-initramfs.sh" "$work/tree" "$dir" "$busybox" virtio_pci virtio_blk virtio_rng ext4 crc32c_generic 9p 9pnet_virtio \
  uvcvideo vivid vhci-hcd dummy
mkdir "$work/own"
install -m 755 "$here/init" "$work/own/init"
(cd "$work/own" && echo init | cpio -o -H newc -R 0:0 --quiet) >>"$dir/initramfs.cpio"

# The disk. A computer that is switched on for the first time has no machine-id.
root=$work/root
mkdir "$root"
tar -xf "$tar" -C "$root" --exclude='./dev/*'
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
echo camera >"$root/etc/hostname"
echo '/dev/vda / ext4 defaults 0 0' >"$root/etc/fstab"
# What a test has no use for, and an emulated computer spends minutes with.
for u in apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer \
  getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyAMA0.service systemd-firstboot.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$u"
done
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
cat >"$root/etc/systemd/system/job.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'mkdir -p /run/job && mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 job /run/job && exec /bin/bash /run/job/start.sh'
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=infinity
U
ln -s ../job.service "$root/etc/systemd/system/multi-user.target.wants/job.service"
# There is no other user of the file system, so one with everything that a Pi's has.
truncate -s 3G "$work/disk.ext4"
mke2fs -q -t ext4 -L root -d "$root" "$work/disk.ext4"
qemu-img convert -O qcow2 "$work/disk.ext4" "$dir/disk.qcow2"
echo "$stamp" >"$dir/stamp"
echo "$dir"
