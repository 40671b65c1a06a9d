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
# LAB_ARCH=arm64 boots a machine of that kind, emulated; it sees the small root file system that setup.sh made.
# LAB_ACCEL=kvm or tcg chooses hardware virtualisation or emulation; the default is kvm where it works. The guest
# finds both choices in the same variables.
# LAB_LOG=FILE keeps the guest's kernel log. Without it, the log of a machine that died or whose CMD failed is kept
# among the last ten in logs/ beside the kernel, and named.
# LAB_BOOT=SECONDS is how long a machine may take to come up before another one is booted (default 120).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
arch=${LAB_ARCH:-amd64}
kernel=${WEBGEAR_CACHE:-$here/../../.cache}/lab
[ "$arch" = amd64 ] || kernel+=-$arch
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
[ -e "$kernel/stamp" ] || die "there is no $arch machine yet: run $here/setup.sh -a $arch"

append="quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on rcupdate.rcu_expedited=1"
case $arch in
  amd64)
    qemu=qemu-system-x86_64 machine=(-machine q35 -cpu "max,-la57") rootfs=/
    # tsc=reliable no_timer_check: on a busy host the kernel's own checks misjudge emulated timers.
    append+=" console=ttyS0 tsc=reliable no_timer_check"
    ;;
  arm64)
    # The processor of the Pi 4. "max" would emulate pointer authentication, which is slow.
    qemu=qemu-system-aarch64 machine=(-machine virt -cpu cortex-a72) rootfs=$kernel/root
    append+=" console=ttyAMA0"
    ;;
  *) die "LAB_ARCH=$arch: use amd64 or arm64" ;;
esac

# /dev/kvm may exist and open and still be unable to run a stock kernel (seen: KVM without hardware support, on
# which the boot code stops in "KVM internal error"). Only a boot tells, so one is made, and its verdict kept until
# the host restarts. It takes 2 s where KVM works.
kvm_works() {
  [ "$arch" = amd64 ] && [ -w /dev/kvm ] || return 1
  local verdict probe
  verdict=$kernel/kvm-$(cat /proc/sys/kernel/random/boot_id)
  if [ ! -s "$verdict" ]; then
    probe=$(mktemp)
    timeout -k 1 10 $qemu "${machine[@]}" -accel kvm -m 512 -nodefaults -no-user-config -display none \
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
log=${LAB_LOG:-$job/console.log}

# keep_log saves the kernel log of a job that went wrong, together with those of nine others.
keep_log() {
  [ "$log" = "$job/console.log" ] && [ -s "$log" ] || return 0
  mkdir -p "$kernel/logs"
  local kept
  kept=$kernel/logs/$(date +%Y%m%d-%H%M%S)-$$.log
  cp "$log" "$kept"
  # shellcheck disable=SC2012 # the names are ours
  ls -t "$kernel/logs" | tail -n +11 | while read -r old; do rm -f "$kernel/logs/$old"; done
  echo "vm-run: the guest's kernel log is kept: $kept" >&2
}
trap 'rm -rf "$job"' EXIT
printf %s "$share" >"$job/share"
printf %s "$mods" >"$job/mods"
{
  echo 'export HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  echo "export LAB_VM=1 LAB_ACCEL=$accel LAB_ARCH=$arch"
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
  timeout -k 5 "$limit" $qemu "${machine[@]}" "${flags[@]}" -smp "$cores" -m "$mem" \
    -nodefaults -no-user-config -display none -no-reboot \
    -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs.cpio" -append "$append ${LAB_APPEND:-}" \
    -serial file:"$log" -device virtio-serial-pci -chardev file,id=o,path="$job/out" -device virtserialport,chardev=o,name=o \
    -fsdev local,id=r,path="$rootfs",security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=r,mount_tag=root \
    -fsdev local,id=j,path="$job",security_model=none -device virtio-9p-pci,fsdev=j,mount_tag=job \
    -fsdev local,id=s,path="$share",security_model=none,multidevs=remap -device virtio-9p-pci,fsdev=s,mount_tag=share \
    -netdev user,id=n,restrict=on"$fwd" -device virtio-net-pci,netdev=n,romfile= -device virtio-rng-pci </dev/null &
  vm=$!
  trap 'kill "$vm" 2>/dev/null || true' TERM INT HUP # a shell that waits passes no signal on by itself
  boot_watch "$vm" >/dev/null 2>&1 & # no output: who reads ours need not wait for it
  watch=$!
  rc=0
  wait "$vm" || rc=$?
  while kill -0 "$vm" 2>/dev/null; do wait "$vm" || true; done # a signal ends wait early
  kill "$watch" 2>/dev/null || true
  wait "$watch" || true
  : <>"$job/out" # the reader ends even if the guest never wrote
  wait "$reader" || true
}

# boot_watch PID ends a machine that hangs on its way up, which would use up all of the job's time.
boot_watch() {
  local end=$((SECONDS + ${LAB_BOOT:-120}))
  while [ ! -e "$job/started" ]; do
    if [ $SECONDS -ge $end ]; then
      : >"$job/slow"
      kill "$1" 2>/dev/null || true
      return
    fi
    sleep 0.5
  done
}

# An emulated kernel panics once in a while before it has run a line of ours (seen once in some 60 boots, in
# misc_register), and may hang. That says nothing about the job, so it gets another machine.
for try in 1 2 3; do
  rm -f "$job/slow"
  boot
  [ ! -e "$job/started" ] || break
  if [ ! -e "$job/slow" ] && { [ $rc = 124 ] || [ $rc -ge 128 ]; }; then break; fi # out of time, or told to end
  [ $try = 3 ] || echo "vm-run: the machine did not come up, booting another one" >&2
done

if [ -s "$job/rc" ]; then
  [ -z "$codefile" ] || cp "$job/rc" "$codefile"
  code=$(cat "$job/rc")
  [ "$code" = 0 ] || keep_log
  exit "$code"
fi
case $rc in
  124 | 137) why="powered off after $limit s" rc=124 ;;
  *) why="the guest left no exit code (emulator: $rc)" rc=125 ;;
esac
# A kernel that died says why first and then where, at length.
if fatal=$(grep -m 1 -n -E 'Kernel panic|Oops|BUG:|FATAL' "$log" 2>/dev/null); then
  echo "vm-run: $why; the kernel log, from where it went wrong:" >&2
  tail -n "+${fatal%%:*}" "$log" | head -30 >&2
else
  echo "vm-run: $why; end of the kernel log:" >&2
  tail -30 "$log" >&2 || true
fi
keep_log
exit $rc
