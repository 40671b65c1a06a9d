#!/usr/bin/env bash
# build.sh OUT [FLAVOUR]   makes the image for the card in the folder OUT: webgear-VERSION-FLAVOUR.img.xz, .img.bmap,
# SHA256SUMS, the list of what is in it (.spdx.json), and the entry for Raspberry Pi Imager (os_list.json). The same commit
# and the same packages give the same bytes. Runs as root, or as a user with /etc/subuid; needs no loop device.
#   FLAVOUR              debian or raspios, see base.sh
#   IMAGE_DEB=FILE       this package of webgear, instead of one of the present tree
#   IMAGE_EXTRA=FOLDER   laid over the root file system at last, for images with something of your own
#   IMAGE_BARE=1         the base alone, without webgear and what makes an appliance, to compare times with
#   IMAGE_URL=URL        where the files are going to be, for os_list.json
#   IMAGE_EPOCH=SECONDS  the time of its files, instead of that of the commit
#   IMAGE_KEEP_RAW=1     keep the .img itself, too
#   IMAGE_COMPRESS=no    only the .img
set -euo pipefail
umask 022 # of whoever builds, files of the image are to have no trace
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}/image
began=$SECONDS
say() { printf 'image: %4d s  %s\n' $((SECONDS - began)) "$*" >&2; }
die() { say "$*"; exit 1; }
[ $# -ge 1 ] || { echo "usage: build.sh OUT [debian|raspios]" >&2; exit 2; }
flavour=${2:-debian}
mkdir -p "$1" "$cache"
out=$(cd "$1" && pwd)

# Sizes in MiB, all at 8 MiB, the unit in which cards erase. The boot partition holds two kernels with all they need, the
# second root has the size of the first, and data is last, so that it can become as large as the card.
BOOT=512 ROOT=1024 DATA=128 FIRST=8
# Names of the disk and its file systems. They are the same on all cards, which never are in one computer.
DISK=7eb9ea02
ROOT_UUID=7eb9ea02-0000-4000-8000-000000000002 DATA_UUID=7eb9ea02-0000-4000-8000-000000000004

# A user who is not root gets a name space in which they are, with the owners of all files.
if [ -z "${IMAGE_PREPARED:-}" ]; then
  IMAGE_BASE=$("$here/base.sh" "$flavour")
  [ -n "${IMAGE_DEB:-}" ] || IMAGE_DEB=$("$top/packaging/deb/build.sh" arm64 "$top/bin/deb" | tail -n1)
  IMAGE_TOOLS=$("$here/tools.sh")
  IMAGE_EPOCH=${IMAGE_EPOCH:-$(git -C "$top" log -1 --format=%ct)}
  export IMAGE_BASE IMAGE_DEB IMAGE_TOOLS IMAGE_EPOCH IMAGE_PREPARED=1
  [ "$(id -u)" = 0 ] || exec mmdebstrap --unshare-helper "$here/build.sh" "$@"
fi
base=$IMAGE_BASE deb=$IMAGE_DEB tools=$IMAGE_TOOLS
export SOURCE_DATE_EPOCH=$IMAGE_EPOCH LC_ALL=C TZ=UTC QEMU_CPU=cortex-a53 MTOOLS_SKIP_CHECK=1
version=$(dpkg-deb -f "$deb" Version)
name=webgear-$version-$flavour
say "webgear $version on $(basename "$base")"

work=$(mktemp -d "${TMPDIR:-/var/tmp}/webgear-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir "$root"

# in_root CMD...   runs a program of the image, by emulation, with processes of its own.
in_root() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  unshare --mount --pid --fork sh -eu -c '
    mount -t proc proc "$1/proc"
    for d in null zero full random urandom tty; do : >"$1/dev/$d"; mount -o bind "/dev/$d" "$1/dev/$d"; done
    mount -o bind "$1/boot/firmware" "$1/boot/firmware" # where packages look for a mounted partition
    root=$1; shift
    exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
      SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" QEMU_CPU=cortex-a53 "$@"' sh "$root" "$@"
}

# appliance   puts webgear into the root, and all that makes a camera of it.
appliance() {
  say "installing webgear"
  cp "$deb" "$root/webgear.deb"
  in_root dpkg -i /webgear.deb >"$work/log" 2>&1 || { cat "$work/log" >&2; die "installing webgear failed"; }
  rm -f "$root/webgear.deb"
  # Modes of a checkout depend on the umask.
  tar -C "$here/overlay" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' -c . | tar -C "$root" -xp --no-overwrite-dir
  [ -z "${IMAGE_EXTRA:-}" ] || tar -C "$IMAGE_EXTRA" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' -c . |
    tar -C "$root" -xp --no-overwrite-dir
  sed -i "s/@DISK@/$DISK/g" "$root/etc/fstab"
  mkdir -p "$root/data" "$root/boot/firmware"
  echo webgear >"$root/etc/hostname"
  printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\twebgear\n' >"$root/etc/hosts"
  ln -sfn /run/NetworkManager/resolv.conf "$root/etc/resolv.conf"
  # avahi 0.8 takes its own words for those of another when an IPv6 address changes while it asks whether its name is free,
  # as it does at each start, and calls itself webgear-2: so only IPv4 addresses are told. Asking name servers of the
  # internet opens ports for nothing.
  sed -i -E 's/^#?use-ipv6=.*/use-ipv6=no/; s/^#?publish-aaaa-on-ipv4=.*/publish-aaaa-on-ipv4=no/; s/^#?enable-wide-area=.*/enable-wide-area=no/' \
    "$root/etc/avahi/avahi-daemon.conf"
  [ "$(grep -cE '^(use-ipv6|publish-aaaa-on-ipv4|enable-wide-area)=no' "$root/etc/avahi/avahi-daemon.conf")" = 3 ] ||
    die "avahi's settings look different now"
  # The time is never earlier than that of the image.
  touch -d "@$SOURCE_DATE_EPOCH" "$root/usr/lib/clock-epoch"

  # Programs that run, or do not: ssh only with a key, no logging in at screen or serial port, no upgrades at times that
  # nobody chose, nothing that wants to write to the root.
  in_root systemctl -q enable webgear.service webgear-firstboot.service webgear-show.service webgear-log.timer webgear-log-stop.service \
    webgear-hostkey.service NetworkManager.service avahi-daemon.service systemd-timesyncd.service
  in_root systemctl -q disable ssh.service apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    NetworkManager-wait-online.service
  in_root systemctl -q mask ssh.socket sshd-keygen.service getty@tty1.service NetworkManager-dispatcher.service \
    systemd-firstboot.service systemd-machine-id-commit.service systemd-update-done.service
  mkdir -p "$root/etc/systemd/system-generators"
  ln -sfn /dev/null "$root/etc/systemd/system-generators/systemd-getty-generator"
  ln -sfn /dev/null "$root/etc/systemd/system-generators/systemd-ssh-generator"
}

# --- the root file system ----------------------------------------------------------------------------------------------
tar -C "$root" --numeric-owner --xattrs --xattrs-include='*' -xpf "$base" --exclude='./dev/*'
if [ -z "${IMAGE_BARE:-}" ]; then
  appliance
else
  name=bare-$flavour
  printf "PARTUUID=%s-02 / ext4 rw,noatime 0 1\nPARTUUID=%s-01 /boot/firmware vfat rw,nofail 0 2\n" "$DISK" "$DISK" >"$root/etc/fstab"
fi

# The initial RAM disk takes a minute by emulation, and rarely changes.
key=$({ basename "$base"; echo "${IMAGE_BARE:-}"; tar -C "$here/overlay/usr/share/initramfs-tools" --sort=name --mtime=@0 -c . ; } | sha256sum | cut -c1-12)
if [ ! -e "$cache/initrd-$key.tar" ]; then
  say "making the initial RAM disk"
  # Kept for other commits, so its times are those of the base.
  SOURCE_DATE_EPOCH=$(cat "$here/epoch") in_root update-initramfs -c -k all >"$work/log" 2>&1 || { cat "$work/log" >&2; die "making the initial RAM disk failed"; }
  (cd "$root/boot" && tar -cf "$cache/initrd-$key.tar.new" initrd.img-*)
  mv "$cache/initrd-$key.tar.new" "$cache/initrd-$key.tar"
else
  tar -C "$root/boot" -xf "$cache/initrd-$key.tar"
fi

# --- the boot partition ------------------------------------------------------------------------------------------------
say "filling the boot partition"
# A kernel that gives up starts again. What systemd would make anew because /usr changed, dpkg has made.
words='ro loglevel=4 panic=10 systemd.condition_needs_update=0'
cp "$top/pkg/firstboot/webgear-setup.yaml" "$root/boot/firmware/"
case $flavour in
  debian)
    # Also for kernels that come later. There is no picture memory to set aside, and where there was, a Pi 4 would not start.
    sed -i "s/^#ROOTPART=.*/ROOTPART=PARTUUID=$DISK-02/; s/^#CMA=.*/CMA=0/; s/^#CONSOLES=.*/CONSOLES=\"ttyS1,115200 tty0\"/" \
      "$root/etc/default/raspi-firmware"
    # What is said last counts: the package itself says rw.
    [ -n "${IMAGE_BARE:-}" ] || echo "$words" >"$root/etc/default/raspi-extra-cmdline"
    in_root env DEB_MAINT_PARAMS=configure /etc/kernel/postinst.d/z50-raspi-firmware >"$work/log" 2>&1 ||
      { cat "$work/log" >&2; die "filling the boot partition failed"; }
    ;;
  raspios)
    # Its kernel packages put kernels and initial RAM disks here by themselves; the files of settings come with an image.
    for kernel in "$root"/boot/vmlinuz-*; do
      in_root env DEB_MAINT_PARAMS=configure /etc/kernel/postinst.d/z50-raspi-firmware "${kernel##*/vmlinuz-}" "${kernel#"$root"}" >"$work/log" 2>&1 ||
        { cat "$work/log" >&2; die "filling the boot partition failed"; }
    done
    printf 'arm_64bit=1\nauto_initramfs=1\ncamera_auto_detect=1\ndisable_overscan=1\n' >"$root/boot/firmware/config.txt"
    echo "console=serial0,115200 console=tty0 root=PARTUUID=$DISK-02 fsck.repair=yes net.ifnames=0 rootwait $words" \
      >"$root/boot/firmware/cmdline.txt"
    ;;
esac
grep -q "root=PARTUUID=$DISK-02" "$root/boot/firmware/cmdline.txt" || die "cmdline.txt does not name the root"

# --- nothing of the build, nothing that has to differ from card to card ------------------------------------------------
rm -rf "${root:?}"/etc/ssh/ssh_host_* "$root"/var/lib/systemd/random-seed "$root"/var/lib/systemd/credential.secret "$root"/root/.??* \
  "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/* "$root"/var/cache/ldconfig/* \
  "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old "$root"/var/log/* "$root"/tmp/* "$root"/var/tmp/* "$root"/run/* \
  "$root"/etc/*- "$root"/etc/.pwd.lock "$root"/etc/.updated "$root"/var/.updated "$root"/etc/apt/apt.conf.d/99mmdebstrap \
  "$root"/var/lib/NetworkManager/* "$root"/var/backups/* "${root:?}"/dev/*
echo uninitialized >"$root/etc/machine-id"
ln -sfn /etc/machine-id "$root/var/lib/dbus/machine-id"
# What keeps the image small also holds for upgrades. What made the build quick would lose files when the power fails.
printf 'force-confdef\nforce-confold\n' >>"$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
sed -i '/force-unsafe-io/d' "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
mv "$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap" "$root/etc/dpkg/dpkg.cfg.d/webgear-image"
printf 'Acquire::Languages "none";\nAPT::Install-Recommends "false";\n' >"$root/etc/apt/apt.conf.d/81webgear-image"
touch -d "@$SOURCE_DATE_EPOCH" "$root/tmp" "$root/var/tmp" # used while the initial RAM disk is made, which is not always
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

# --- file systems ------------------------------------------------------------------------------------------------------
say "making the file systems"
truncate -s "${BOOT}M" "$work/boot.vfat"
mkfs.vfat -F 32 -n WEBGEAR --invariant -i "$DISK" "$work/boot.vfat" >/dev/null
(
  cd "$root/boot/firmware"
  find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  # In an order that does not depend on this machine's file system.
  find . -mindepth 1 -type d | sort | while read -r d; do mmd -i "$work/boot.vfat" "::${d#.}"; done
  find . -type f | sort | while read -r f; do mcopy -m -i "$work/boot.vfat" "$f" "::${f#.}"; done
)
fsck.vfat -n "$work/boot.vfat" >/dev/null
cp "$root"/boot/firmware/{config.txt,cmdline.txt} "$work/"
find "$root/boot/firmware" -mindepth 1 -delete
mkdir "$work/data"
touch -d "@$SOURCE_DATE_EPOCH" "$work/data" "$root/boot/firmware"
# make_ext4 NAME UUID MIB FOLDER [OPTION]   The time of everything in it is that of the commit.
make_ext4() {
  E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH "$tools/mke2fs" -q -t ext4 -b 4096 -i 16384 -I 256 -F -L "$1" -U "$2" -m 1 -J size=16 -d "$4" -O ^metadata_csum_seed,^orphan_file \
    -E "hash_seed=$2,lazy_itable_init=0,lazy_journal_init=0,nodiscard,root_owner=0:0${5:-}" "$work/$1.ext4" "${3}M"
  "$tools/e2fsck" -fn "$work/$1.ext4" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "the file system $1 is wrong"; }
  "$tools/dumpe2fs" "$work/$1.ext4" >"$work/$1.dump" 2>/dev/null
}
make_ext4 root "$ROOT_UUID" "$ROOT" "$root"
# So that it can grow to 512 GiB while it is in use.
make_ext4 data "$DATA_UUID" "$DATA" "$work/data" ",resize=134217728"

# --- the image ---------------------------------------------------------------------------------------------------------
# MBR: the Pi 3 and Zero 2 W start from nothing else.
img=$out/$name.img
p1=$FIRST p2=$((FIRST + BOOT)) p3=$((FIRST + BOOT + ROOT)) p4=$((FIRST + BOOT + 2 * ROOT))
rm -f "$img"
truncate -s "$((p4 + DATA))M" "$img"
sfdisk -q "$img" <<TABLE
label: dos
label-id: 0x$DISK
start=${p1}MiB, size=${BOOT}MiB, type=c, bootable
start=${p2}MiB, size=${ROOT}MiB, type=83
start=${p3}MiB, size=${ROOT}MiB, type=83
start=${p4}MiB, size=${DATA}MiB, type=83
TABLE
dd if="$work/boot.vfat" of="$img" bs=1M seek=$p1 conv=notrunc,sparse status=none
dd if="$work/root.ext4" of="$img" bs=1M seek=$p2 conv=notrunc,sparse status=none
dd if="$work/data.ext4" of="$img" bs=1M seek=$p4 conv=notrunc,sparse status=none
say "$name.img: boot $BOOT, root $ROOT and once more as much, data $DATA MiB; $(du -m "$img" | cut -f1) MiB hold something"
say "root: $(du -sm --apparent-size "$root" | cut -f1) MiB in $(find "$root" | wc -l) files; kernel modules $(du -sm "$root/usr/lib/modules" | cut -f1) MiB"
[ "${IMAGE_COMPRESS:-}" != no ] || exit 0

# --- what is published -------------------------------------------------------------------------------------------------
say "compressing"
# Blocks of a fixed size give the same bytes on any number of processors.
xz -T0 --block-size=16MiB "-${IMAGE_XZ:-6}" -k -f "$img"
dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' >"$work/packages"
go version -m "$root/usr/bin/webgear" >"$work/modules"
(cd "$top" && GOFLAGS='' go run ./packaging/image/release -out "$out" -name "$name" -version "$version" -flavour "$flavour" \
  -epoch "$SOURCE_DATE_EPOCH" -url "${IMAGE_URL:-https://example.org/webgear}" -icon web/data/static/img/favicon-32x32.png -packages "$work/packages" -modules "$work/modules" \
  -fat "$((p1 * 1048576)):$work/boot.vfat" -ext4 "$((p2 * 1048576)):$work/root.dump" -ext4 "$((p4 * 1048576)):$work/data.dump")
[ -n "${IMAGE_KEEP_RAW:-}" ] || rm -f "$img"
say "done: $(cd "$out" && du -m "$name".img.xz | cut -f1) MiB compressed, in $out"
