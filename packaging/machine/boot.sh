#!/usr/bin/env bash
# boot.sh SUITE JOB [FILE...]   boots a fresh Debian with systemd in a container, runs the script JOB in it as root and
# prints what it said. The FILEs are in /root/files then. Exits with the code of JOB; 124 when time ran out.
# Nothing leaves the container: it has no network but its own loopback. Needs root.
#   LIMIT=SECONDS   default 240
#   KEEP=DIR        the container is made in DIR and stays
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1 job=$2
shift 2
tar=$("$here/root.sh" "$suite")
root=${KEEP:-$(mktemp -d "${TMPDIR:-/var/tmp}/webgear-machine.XXXXXX")}
console=$(mktemp)
trap 'rm -f "$console"; [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$root"' EXIT
mkdir -p "$root"
tar -xf "$tar" -C "$root" --exclude='./dev/*'
mkdir -p "$root/root/files" "$root/etc/systemd/system/multi-user.target.wants"
[ $# = 0 ] || cp -R "$@" "$root/root/files/"
cp "$here/lib.sh" "$root/root/lib.sh"
cp "$job" "$root/root/job.sh"
# The job runs when the machine is up, and switches it off at its end.
cat >"$root/etc/systemd/system/job.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/bin/bash /root/job.sh >/root/said 2>&1; echo $? >/root/code; systemctl poweroff --no-block'
TimeoutStartSec=infinity
U
ln -s ../job.service "$root/etc/systemd/system/multi-user.target.wants/job.service"
rc=0
# systemd in a container wants control groups of the second version, whatever the host has mounted.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout -k 5 "${LIMIT:-240}" systemd-nspawn --quiet --boot --register=no --keep-unit \
  --private-network --console=pipe --directory="$root" </dev/null >"$console" 2>&1 || rc=$?
cat "$root/root/said" 2>/dev/null || true
if [ -s "$root/root/code" ]; then exit "$(cat "$root/root/code")"; fi
echo "boot.sh: the job did not end (container: $rc); end of the console:" >&2
tail -30 "$console" >&2
exit 124
