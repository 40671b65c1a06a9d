#!/usr/bin/env bash
# qemu.sh SUITE ARCH JOB [FILE...]   boots an emulated computer with a Debian, a kernel of its own and virtual cameras,
# runs the script JOB in it as root and prints what it said. The FILEs are in /root/files then. Exits with the code of
# JOB; 124 when time ran out. The computer has no network but its own loopback.
#   LIMIT=SECONDS   default 600
#   DISK=FILE       the disk is FILE, made if it is not there, and stays. What is on it stays, too.
#   CLOCK=TIME      the computer's clock at power-on, such as 1971-01-01T00:00:00; default: the right time
#   KILL=FILE       power fails as soon as FILE is there; the exit code is 75 then
#   SAID=DIR        the folder that the job sees as /run/job, made if it is not there; stays
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 arch=$2 job=$3
shift 3
dir=$("$here/disk.sh" "$suite" "$arch")
work=$(mktemp -d "${TMPDIR:-/var/tmp}/webgear-qemu.XXXXXX")
trap 'rm -rf "$work"' EXIT
said=${SAID:-$work/job}
mkdir -p "$said/files"
rm -f "$said/code" "$said/said"
[ $# = 0 ] || cp -R "$@" "$said/files/"
cp "$here/lib.sh" "$said/lib.sh"
cp "$job" "$said/job.sh"
cat >"$said/start.sh" <<'S'
# Files are copied first: they are served, installed and run from there.
cp /run/job/lib.sh /run/job/job.sh /root/
rm -rf /root/files && cp -R /run/job/files /root/files
/bin/bash /root/job.sh >/run/job/said 2>&1
echo $? >/run/job/code
sync
S
disk=${DISK:-$work/disk.qcow2}
[ -e "$disk" ] || qemu-img create -q -f qcow2 -F qcow2 -b "$dir/disk.qcow2" "$disk"
append="root=/dev/vda rw quiet loglevel=4 panic=-1 mitigations=off nokaslr random.trust_cpu=on"
case $arch in
  amd64)
    machine=(qemu-system-x86_64 -machine q35 -cpu "max,-la57")
    append+=" console=ttyS0 tsc=reliable no_timer_check" # a busy host confuses the kernel's own checks of its timers
    ;;
  arm64)
    machine=(qemu-system-aarch64 -machine virt -cpu cortex-a72) # the processor of the Pi 4
    append+=" console=ttyAMA0"
    ;;
esac
# KVM is not asked for: where it is, it may be unable to run a stock kernel.
"${machine[@]}" -accel "tcg,thread=multi,tb-size=512" -smp 2 -m 1536 \
  -nodefaults -no-user-config -display none -no-reboot -rtc "base=${CLOCK:-utc}" \
  -kernel "$dir/vmlinuz" -initrd "$dir/initramfs.cpio" -append "$append" -serial file:"$work/console" \
  -drive if=virtio,format=qcow2,cache=writeback,file="$disk" -device virtio-rng-pci \
  -fsdev local,id=j,path="$said",security_model=none -device virtio-9p-pci,fsdev=j,mount_tag=job </dev/null &
vm=$!
trap 'kill -KILL "$vm" 2>/dev/null || true; rm -rf "$work"' EXIT
end=$((SECONDS + ${LIMIT:-600})) killed=
while kill -0 "$vm" 2>/dev/null; do
  # Nothing of what a computer without power has in its memory gets to the disk.
  if [ -n "${KILL:-}" ] && [ -e "$KILL" ]; then killed=1; fi
  if [ -n "$killed" ] || [ $SECONDS -ge $end ]; then
    kill -KILL "$vm"
    break
  fi
  sleep 0.05
done
rc=0
wait "$vm" 2>/dev/null || rc=$?
cat "$said/said" 2>/dev/null || true
if [ -n "$killed" ] && [ ! -e "$said/code" ]; then exit 75; fi
if [ -s "$said/code" ]; then exit "$(cat "$said/code")"; fi
echo "qemu.sh: the job did not end (emulator: $rc); end of the console:" >&2
tail -40 "$work/console" >&2
exit 124
