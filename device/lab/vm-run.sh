#!/usr/bin/env bash
# vm-run.sh [options] [--] CMD...   boots the lab machine, runs CMD in it as root in the current folder, exits with
# its code. Run setup.sh first.
#   -m "LINE"   modprobe line, such as "vivid n_devs=1", repeatable
#   -s DIR      host folder shared read-write at the same path (default: the current folder)
#   -f SPEC     port forwarded into the guest, such as tcp:127.0.0.1:18080-:8080, repeatable
#   -e NAME=V   environment variable of CMD, repeatable
#   -t SECONDS  power off after this long (default 300)
#   -u          start udevd in the guest, for /dev/v4l/by-id
#   -c N        processors (default 2)
#   -M MIB      memory (default 1536)
#   -x FILE     gets the exit code of CMD; without the file the guest did not come that far
# Exit code: that of CMD; 124 when time ran out, 125 when the guest died or could not be started.
#
# The guest sees the host's whole root file system, read-only under a RAM overlay: every program installed on the
# host runs in the guest, and what the guest writes outside the share is lost.
# LAB_ACCEL=kvm or tcg chooses hardware virtualisation or emulation; the default is kvm where it works. The guest
# finds the choice in the same variable. LAB_LOG=FILE keeps the guest's kernel log.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
kernel=${WEBGEAR_CACHE:-$here/../../.cache}/lab
share=$PWD limit=300 cores=2 mem=1536 mods='' fwd='' udev='' codefile='' env=()
while getopts m:s:f:e:t:c:M:x:u o; do case $o in
  m) mods+="$OPTARG"$'\n' ;;
  s) share=$OPTARG ;;
  f) fwd+=",hostfwd=$OPTARG" ;;
  e) env+=("$OPTARG") ;;
  t) limit=$OPTARG ;;
  c) cores=$OPTARG ;;
  M) mem=$OPTARG ;;
  x) codefile=$OPTARG ;;
  u) udev=1 ;;
  *) exit 125 ;;
esac; done
shift $((OPTIND - 1))

die() { echo "vm-run: $*" >&2; exit 125; }
[ $# -gt 0 ] || die "no command given"
[ -e "$kernel/stamp" ] || die "there is no machine yet: run $here/setup.sh"
qemu='qemu-system-x86_64'

# tsc=reliable no_timer_check: on a busy host the kernel's own checks misjudge emulated timers.
append="quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on rcupdate.rcu_expedited=1"
append+=" console=ttyS0 tsc=reliable no_timer_check"

# /dev/kvm may exist and open and still be unable to run a stock kernel (seen: KVM without hardware support, on
# which the boot code stops in "KVM internal error"). Only a boot tells, so one is made, and its verdict kept until
# the host restarts. It takes 2 s where KVM works.
kvm_works() {
  [ -w /dev/kvm ] || return 1
  local verdict probe
  verdict=$kernel/kvm-$(cat /proc/sys/kernel/random/boot_id)
  if [ ! -s "$verdict" ]; then
    probe=$(mktemp)
    timeout -k 1 10 $qemu -machine q35 -cpu max,-la57 -accel kvm -m 512 -nodefaults -no-user-config -display none \
      -no-reboot -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs.cpio" -append "$append lab.probe" \
      -serial file:"$probe" </dev/null >/dev/null 2>&1 || true
    rm -f "$kernel"/kvm-*
    if grep -q 'lab probe passed' "$probe"; then echo yes >"$verdict"; else echo no >"$verdict"; fi
    rm -f "$probe"
  fi
  [ "$(cat "$verdict")" = yes ]
}
accel=${LAB_ACCEL:-}
if [ -z "$accel" ]; then if kvm_works; then accel=kvm; else accel=tcg; fi; fi
case $accel in
  kvm) flags=(-accel kvm) ;;
  tcg) flags=(-accel "tcg,thread=multi,tb-size=512") ;;
  *) die "LAB_ACCEL=$accel: use kvm or tcg" ;;
esac

share=$(realpath "$share")
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT
log=${LAB_LOG:-$job/console.log}
printf %s "$share" >"$job/share"
printf %s "$mods" >"$job/mods"
{
  echo 'export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  echo "export LAB_VM=1 LAB_ACCEL=$accel"
  if [ -n "$udev" ]; then
    # udevd does nothing in what looks like a chroot unless told; -N never: the host's rules name its users.
    cat <<'UDEV'
export SYSTEMD_IGNORE_CHROOT=1
mkdir -p /run/udev
for u in /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd; do
  if [ -x $u ]; then $u --daemon 2>/dev/null; break; fi
done
udevadm trigger --action=add --subsystem-match=video4linux --subsystem-match=media
udevadm settle -t 20
UDEV
  fi
  for v in ${env[@]+"${env[@]}"}; do printf 'export %q\n' "$v"; done
  printf 'cd %q || exit 125\n' "$PWD"
  if [ $# = 1 ]; then printf '%s\n' "$1"; else printf '%q ' "$@"; echo; fi
} >"$job/cmd"

# boot runs the machine once; rc tells how that ended.
boot() {
  # A FIFO, because a chardev on stdio whose stdin is at its end blocks the guest's writes. The virtio port is for
  # speed: an emulated UART takes a trap for each byte.
  rm -f "$job/out"
  mkfifo "$job/out"
  cat "$job/out" &
  reader=$!
  timeout -k 5 "$limit" $qemu -machine q35 -cpu max,-la57 "${flags[@]}" -smp "$cores" -m "$mem" \
    -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs.cpio" -append "$append ${LAB_APPEND:-}" \
    -serial file:"$log" -device virtio-serial-pci -chardev file,id=o,path="$job/out" -device virtserialport,chardev=o,name=o \
    -fsdev local,id=r,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=r,mount_tag=root \
    -fsdev local,id=j,path="$job",security_model=none -device virtio-9p-pci,fsdev=j,mount_tag=job \
    -fsdev local,id=s,path="$share",security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=s,mount_tag=share \
    -netdev user,id=n,restrict=on"$fwd" -device virtio-net-pci,netdev=n,romfile= -device virtio-rng-pci </dev/null &
  vm=$!
  trap 'kill "$vm" 2>/dev/null || true' TERM INT HUP # a shell that waits passes no signal on by itself
  rc=0
  wait "$vm" || rc=$?
  while kill -0 "$vm" 2>/dev/null; do wait "$vm" || true; done # a signal ends wait early
  : <>"$job/out"                                               # the reader ends even if the guest never wrote
  wait "$reader" || true
}

# An emulated kernel panics once in a while before it has run a line of ours (seen once in some 60 boots, in
# misc_register). That says nothing about the job, so it gets another machine.
for try in 1 2 3; do
  boot
  if [ -e "$job/started" ] || [ $rc = 124 ] || [ $rc = 137 ] || [ $rc -gt 128 ]; then break; fi
  [ $try = 3 ] || echo "vm-run: the machine did not come up, booting another one" >&2
done

if [ -s "$job/rc" ]; then
  [ -z "$codefile" ] || cp "$job/rc" "$codefile"
  exit "$(cat "$job/rc")"
fi
case $rc in
  124 | 137) why="powered off after $limit s" rc=124 ;;
  *) why="the guest left no exit code (emulator: $rc)" rc=125 ;;
esac
echo "vm-run: $why; end of the kernel log:" >&2
tail -30 "$log" >&2 || true
exit $rc
